/// How models are loaded, and texts for native functions.
library;

import 'dart:ffi';
import 'dart:typed_data';

import 'cancel_token.dart';
import 'exceptions.dart';
import 'native.dart' as native;
import 'native_value.dart';
import 'status.dart';
import 'text.dart';
import 'words.dart';

native.NativeSource newSource() =>
    Struct.create<native.NativeSource>()..structSize = sizeOf<native.NativeSource>();

/// Of the file, without folders.
String fileName(String path) => path.split(RegExp(r'[/\\]')).last;

/// Load options in native form, to be closed after the call.
final class LoadOptions implements Finalizable {
  LoadOptions(
      {Map<String, int> sizes = const {},
      List<String> withoutPasses = const [],
      Map<String, Uint8List> externalData = const {},
      String? cacheFolder,
      CancelToken? cancel}) {
    check(native.loadOptionsCreate(received.bytes.address.cast()));
    handle = received[0];
    releaser.attach(this, Pointer.fromAddress(handle), detach: this);
    try {
      sizes.forEach((name, size) => check(native.loadOptionsFixSize(handle, nulTerminated(name).address, size)));
      for (final pass in withoutPasses) {
        check(native.loadOptionsDisablePass(handle, nulTerminated(pass).address));
      }
      externalData.forEach(_supply);
      if (cacheFolder != null) check(native.loadOptionsSetCacheFolder(handle, nulTerminated(cacheFolder).address));
      if (cancel != null) check(native.loadOptionsSetCancel(handle, cancel.handle));
    } catch (_) {
      close();
      rethrow;
    }
  }

  late final int handle;

  void _supply(String location, Uint8List data) {
    final block = NativeBytes(data.length)..list.setAll(0, data);
    check(native.loadOptionsSupplyExternalData(
        handle, nulTerminated(location).address, block.at, data.length, native.releaseAddress, block.handle));
    block.giveAway();
  }

  void close() {
    releaser.detach(this);
    native.release(handle);
  }
}

/// Texts and lists in native memory, for the time of a call.
final class NativeTexts {
  final List<NativeBytes> _blocks = [];

  Pointer<Uint8> _bytes(Uint8List bytes) {
    final block = NativeBytes(bytes.length)..list.setAll(0, bytes);
    _blocks.add(block);
    return block.at;
  }

  Pointer<Uint8> text(String text) => _bytes(nulTerminated(text));

  Pointer<Uint8> path(String path) {
    if (path.contains('\u0000')) throw const LinnetInvalidArgument('the path contains a NUL character');
    return text(path);
  }

  Pointer<UintPtr> words(List<int> list) {
    final words = Words(list.length);
    for (final (i, word) in list.indexed) {
      words[i] = word;
    }
    return _bytes(words.bytes).cast();
  }

  Pointer<UintPtr> texts(Iterable<String> list) => words([for (final one in list) text(one).address]);

  Pointer<Int64> numbers(List<int> list) => _bytes(Int64List.fromList(list).buffer.asUint8List()).cast();

  Pointer<UintPtr> lists(Iterable<List<int>> lists) =>
      words([for (final list in lists) _bytes(Int64List.fromList(list).buffer.asUint8List()).address]);

  void close() {
    for (final block in _blocks) {
      block.close();
    }
    _blocks.clear();
  }
}
