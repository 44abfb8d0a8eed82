import 'dart:ffi';
import 'dart:typed_data';

final bool _wide = sizeOf<UintPtr>() == 8;

/// A list of pointer-sized numbers, such as handles, that can be lent to a leaf call as `words.bytes.address.cast()`.
final class Words {
  Words(int length) : this._(Uint8List(length * sizeOf<UintPtr>()));
  Words._(this.bytes) : _list = _wide ? bytes.buffer.asUint64List() : bytes.buffer.asUint32List();

  final Uint8List bytes;
  final List<int> _list;

  int operator [](int i) => _list[i];
  void operator []=(int i, int word) => _list[i] = word;
}

/// The word that output parameters are received in. Calls of one isolate never overlap, so one will do.
final Words received = Words(1);
