import 'dart:ffi';
import 'dart:typed_data';

/// The type of a tensor's elements, with the name and number that ONNX gives it.
enum DType {
  undefined(0, 0),
  float32(1, 32),
  uint8(2, 8),
  int8(3, 8),
  uint16(4, 16),
  int16(5, 16),
  int32(6, 32),
  int64(7, 64),
  string(8, 0),
  bool(9, 8),
  float16(10, 16),
  float64(11, 64),
  uint32(12, 32),
  uint64(13, 64),
  complex64(14, 64),
  complex128(15, 128),
  bfloat16(16, 16),
  float8e4m3fn(17, 8),
  float8e4m3fnuz(18, 8),
  float8e5m2(19, 8),
  float8e5m2fnuz(20, 8),
  uint4(21, 4),
  int4(22, 4),
  float4e2m1(23, 4),
  float8e8m0(24, 8),
  uint2(25, 2),
  int2(26, 2);

  const DType(this.onnx, this.bits);

  /// The number of `onnx.TensorProto.DataType`.
  final int onnx;

  /// Bits of one element; 0 for texts. Elements of fewer than 8 bits are packed, low bits first.
  final int bits;

  static DType of(int onnx) => values[onnx];

  /// Items of the Dart list that holds [count] elements: a complex number is two of them, small elements share one.
  int listLength(int count) => switch (this) {
        complex64 || complex128 => count * 2,
        _ => bits > 0 && bits < 8 ? (count * bits + 7) ~/ 8 : count,
      };

  /// A new list of zeros.
  TypedData newList(int length) => switch (this) {
        float32 || complex64 => Float32List(length),
        float64 || complex128 => Float64List(length),
        int8 => Int8List(length),
        int16 => Int16List(length),
        int32 => Int32List(length),
        int64 => Int64List(length),
        uint16 || float16 || bfloat16 => Uint16List(length),
        uint32 => Uint32List(length),
        uint64 => Uint64List(length),
        _ => Uint8List(length),
      };

  /// Native memory as a list, without a copy. With a `finalizer`, the list owns `token`.
  TypedData listAt(Pointer<Void> at, int length, {Pointer<NativeFinalizerFunction>? finalizer, Pointer<Void>? token}) =>
      switch (this) {
        float32 || complex64 => at.cast<Float>().asTypedList(length, finalizer: finalizer, token: token),
        float64 || complex128 => at.cast<Double>().asTypedList(length, finalizer: finalizer, token: token),
        int8 => at.cast<Int8>().asTypedList(length, finalizer: finalizer, token: token),
        int16 => at.cast<Int16>().asTypedList(length, finalizer: finalizer, token: token),
        int32 => at.cast<Int32>().asTypedList(length, finalizer: finalizer, token: token),
        int64 => at.cast<Int64>().asTypedList(length, finalizer: finalizer, token: token),
        uint16 || float16 || bfloat16 => at.cast<Uint16>().asTypedList(length, finalizer: finalizer, token: token),
        uint32 => at.cast<Uint32>().asTypedList(length, finalizer: finalizer, token: token),
        uint64 => at.cast<Uint64>().asTypedList(length, finalizer: finalizer, token: token),
        _ => at.cast<Uint8>().asTypedList(length, finalizer: finalizer, token: token),
      };
}
