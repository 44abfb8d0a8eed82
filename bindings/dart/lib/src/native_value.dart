/// Values on their way into a run and out of one.
library;

import 'dart:convert';
import 'dart:ffi';
import 'dart:typed_data';

import 'dtype.dart';
import 'native.dart' as native;
import 'status.dart';
import 'text.dart';
import 'value.dart';
import 'words.dart';

/// A handle for [value]. One that was made for the purpose is added to [made], to be released after the call.
int handleOf(Value value, List<int> made) {
  if (value is Tensor) {
    final own = value.handle;
    if (own != 0) return own;
  }
  final handle = switch (value) {
    Tensor(dtype: DType.string) => _ofTexts(value),
    Tensor() => _ofList(value),
    SequenceValue(:final dtype, :final elements) => _ofSequence(dtype, elements, made),
    MapsValue(:final elements) => _ofSequence(elements.isEmpty ? DType.float32 : elements.first.values.dtype, elements, made),
    MapValue() => _ofMap(value, made),
    NoValue() => _ofNothing(),
  };
  made.add(handle);
  return handle;
}

int _ofNothing() {
  check(native.valueCreateNone(received.bytes.address.cast()));
  return received[0];
}

int _ofList(Tensor tensor) {
  final shape = tensor.shape;
  check(native.valueCreateTensor(
      tensor.dtype.onnx, Int64List.fromList(shape).address, shape.length, received.bytes.address.cast()));
  final handle = received[0];
  check(native.valueView(handle, view.address));
  final from = tensor.data;
  if (from.lengthInBytes != 0) {
    final to = view.data.asTypedList(view.bytes);
    to.setRange(0, from.lengthInBytes, from.buffer.asUint8List(from.offsetInBytes, from.lengthInBytes));
  }
  return handle;
}

int _ofTexts(Tensor tensor) {
  final texts = [for (final text in tensor.strings) utf8.encode(text)];
  final block = NativeBytes(texts.fold(0, (sum, text) => sum + text.length));
  final pointers = Words(texts.length), lengths = Words(texts.length);
  final bytes = block.list;
  var at = 0;
  for (var i = 0; i < texts.length; ++i) {
    bytes.setAll(at, texts[i]);
    pointers[i] = block.at.address + at;
    lengths[i] = texts[i].length;
    at += texts[i].length;
  }
  try {
    check(native.valueCreateStrings(
        pointers.bytes.address.cast(),
        lengths.bytes.address.cast(),
        Int64List.fromList(tensor.shape).address,
        tensor.shape.length,
        received.bytes.address.cast()));
  } finally {
    block.close();
  }
  return received[0];
}

int _ofSequence(DType dtype, List<Value> elements, List<int> made) {
  final handles = Words(elements.length);
  for (var i = 0; i < elements.length; ++i) {
    handles[i] = handleOf(elements[i], made);
  }
  check(native.valueCreateSequence(
      dtype.onnx, handles.bytes.address.cast(), elements.length, received.bytes.address.cast()));
  return received[0];
}

int _ofMap(MapValue map, List<int> made) {
  final keys = handleOf(map.keys, made), values = handleOf(map.values, made);
  check(native.valueCreateMap(keys, values, received.bytes.address.cast()));
  return received[0];
}

/// Outputs up to this size are copied into a list of Dart's, which costs less than having native memory collected.
const int _copiedBytes = 4096;

/// The value of a handle, which is taken over. [shares]: a tensor of numbers shows the handle's memory, however small.
Value valueOf(int handle, {bool shares = false}) {
  check(native.valueView(handle, view.address));
  final kind = view.kind, dtype = DType.of(view.dtype), count = view.count;
  switch (kind) {
    case 1:
      final sizes = view.shape;
      final shape = List<int>.generate(view.rank, (i) => sizes[i], growable: false);
      if (dtype == DType.string) {
        final texts = List.generate(count, (i) {
          final at = native.valueString(handle, i, received.bytes.address.cast());
          return textAt(at, received[0]);
        });
        native.release(handle);
        return Tensor.strings(texts, shape);
      }
      final fixed = List<int>.unmodifiable(shape);
      if (shares || view.bytes > _copiedBytes) return Tensor.ofHandle(dtype, fixed, handle, view.bytes, view.data);
      final list = dtype.newList(dtype.listLength(count));
      list.buffer.asUint8List().setRange(0, list.lengthInBytes, view.data.asTypedList(list.lengthInBytes));
      native.release(handle);
      return Tensor.ofList(dtype, fixed, list);
    case 2 || 3:
      final parts = [for (var i = 0; i < (kind == 2 ? count : 2); ++i) _elementOf(handle, i)];
      native.release(handle);
      return kind == 3
          ? MapValue(parts[0] as Tensor, parts[1] as Tensor)
          : parts.every((part) => part is Tensor)
              ? SequenceValue(dtype, parts.cast<Tensor>())
              : MapsValue(parts.cast<MapValue>());
    default:
      native.release(handle);
      return const NoValue();
  }
}

Value _elementOf(int handle, int i) {
  check(native.valueAt(handle, i, received.bytes.address.cast()));
  return valueOf(received[0]);
}

/// Bytes in Linnet's memory, for what a struct or a long call points to.
final class NativeBytes implements Finalizable {
  NativeBytes._(this.handle, this.at, this.length) {
    releaser.attach(this, Pointer.fromAddress(handle), detach: this);
  }

  factory NativeBytes(int length) {
    check(native.valueCreateTensor(
        DType.uint8.onnx, Int64List.fromList([length]).address, 1, received.bytes.address.cast()));
    final handle = received[0];
    check(native.valueView(handle, view.address));
    return NativeBytes._(handle, view.data, length);
  }

  final int handle;
  final Pointer<Uint8> at;
  final int length;

  /// Valid until [close].
  Uint8List get list => at.asTypedList(length);

  void close() {
    releaser.detach(this);
    native.release(handle);
  }

  /// From here on somebody else releases the handle.
  void giveAway() => releaser.detach(this);
}
