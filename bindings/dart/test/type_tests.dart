import 'dart:typed_data';

import 'package:linnet/linnet.dart';

import 'harness.dart';

/// Every type of element, sequences, maps and optionals, in and out.
void typeTests(String models) {
  final lists = <DType, TypedData>{
    DType.float32: Float32List.fromList([1.5, -2, double.nan, double.infinity, 1e-40]),
    DType.float64: Float64List.fromList([1.5, -2, double.nan, 1e300, 1e-310]),
    DType.int8: Int8List.fromList([-128, -1, 0, 1, 127]),
    DType.int16: Int16List.fromList([-32768, -1, 0, 1, 32767]),
    DType.int32: Int32List.fromList([-2147483648, -1, 0, 1, 2147483647]),
    DType.int64: Int64List.fromList([-9223372036854775808, -1, 0, 1, 9223372036854775807]),
    DType.uint8: Uint8List.fromList([0, 1, 127, 128, 255]),
    DType.uint16: Uint16List.fromList([0, 1, 127, 32768, 65535]),
    DType.uint32: Uint32List.fromList([0, 1, 127, 2147483648, 4294967295]),
    DType.uint64: Uint64List.fromList([0, 1, 127, 1 << 63, -1]),
    DType.bool: Uint8List.fromList([0, 1, 1, 0, 1]),
    DType.float16: Uint16List.fromList([0, 0x3c00, 0x7bff, 0xfc00, 0x7e01]),
    DType.bfloat16: Uint16List.fromList([0, 0x3f80, 0x7f7f, 0xff80, 0x7fc1]),
    DType.complex64: Float32List.fromList([for (var i = 0; i < 10; ++i) i - 4.5]),
    DType.complex128: Float64List.fromList([for (var i = 0; i < 10; ++i) i - 4.5]),
    for (final small in [DType.float8e4m3fn, DType.float8e4m3fnuz, DType.float8e5m2, DType.float8e5m2fnuz, DType.float8e8m0])
      small: Uint8List.fromList([0, 1, 0x7e, 0x80, 0xfe]),
    // Five elements; the bits after the last are zeros.
    for (final nibble in [DType.uint4, DType.int4, DType.float4e2m1]) nibble: Uint8List.fromList([0x21, 0xf8, 0x07]),
    for (final crumb in [DType.uint2, DType.int2]) crumb: Uint8List.fromList([0xe4, 0x03]),
  };
  for (final MapEntry(key: dtype, value: list) in lists.entries) {
    for (final sync in [true, false]) {
      test('${dtype.name} in and out${sync ? ', sync' : ''}', () async {
        final model = await Linnet.open('$models/identity_${dtype.onnx}.onnx');
        expect(model.inputs.single.dtype, dtype);
        final x = Tensor.raw(dtype, list, [5]);
        final y = (sync ? model.runSync({'x': x}) : await model.run({'x': x}))['y'];
        expect(y.dtype, dtype);
        expect(y.shape, [5]);
        expect(y.length, 5);
        expect(y.data.runtimeType, list.runtimeType);
        final bytes = y.data.buffer.asUint8List(y.data.offsetInBytes, y.data.lengthInBytes);
        expect(bytes, list.buffer.asUint8List());
        model.close();
      });
    }
  }

  test('texts in and out', () async {
    final model = await Linnet.open('$models/identity_8.onnx');
    final texts = ['', 'plain', 'Grüße', '日本語', 'a\u0000b', '🦜' * 1000];
    expect((await model.run({'x': Tensor.strings(texts)}))['y'].strings, texts);
    expect(model.runSync({'x': Tensor.strings(texts)})['y'].strings, texts);
    expect(model.runSync({'x': Tensor.zeros(DType.string, [3])})['y'].strings, ['', '', '']);
    expect(model.runSync({'x': Tensor.strings([])})['y'].shape, [0]);
    final upper = await Linnet.open('$models/upper.onnx');
    expect((await upper.run({'x': Tensor.strings(['cat', 'Dog'])}))['y'].strings, ['CAT', 'DOG']);
    model.close();
    upper.close();
  });

  test('plain lists, bools and parts of buffers', () async {
    final floats = await Linnet.open('$models/twice.onnx');
    expect(floats.runSync({'x': Tensor.float32([1, 2.5, 3])})['y'].floats, [2.0, 5.0, 6.0]);
    final all = Float32List.fromList([9, 1, 2, 9]);
    expect(floats.runSync({'x': Tensor(Float32List.sublistView(all, 1, 3))})['y'].floats, [2.0, 4.0]);
    expect(floats.runSync({'x': Tensor.float32([])})['y'].shape, [0]);
    final bools = await Linnet.open('$models/identity_9.onnx');
    expect(bools.runSync({'x': Tensor.bools([true, false, true])})['y'].bools, [true, false, true]);
    final ints = await Linnet.open('$models/identity_7.onnx');
    expect(ints.runSync({'x': Tensor.int64([1 << 40, -5])})['y'].ints, [1 << 40, -5]);
    for (final model in [floats, bools, ints]) {
      model.close();
    }
  });

  test('sequences in and out', () async {
    final collect = await Linnet.open('$models/collect.onnx'), pick = await Linnet.open('$models/pick.onnx');
    final outputs = await collect.run({'a': Tensor.float32([1, 2]), 'b': Tensor.float32([3])});
    final sequence = outputs.value('s') as SequenceValue;
    expect([for (final part in sequence.elements) part.floats], [[1.0, 2.0], [3.0]]);
    expect(pick.runSync({'s': sequence, 'i': Tensor.int64([-1], [])})['y'].floats, [3.0]);
    expect((await thrown<LinnetInvalidArgument>(() => outputs['s'])).message.contains('"s"'), true);
    expectTrue(collect.outputs.single.kind == ValueKind.sequence, 'the port is a sequence');
    collect.close();
    pick.close();
  });

  test('maps in and out', () async {
    final out = await Linnet.open('$models/to_maps.onnx');
    final maps = (await out.run({'x': Tensor.float32([0.25, 0.75, 1, 0], [2, 2])})).value('y') as MapsValue;
    expect(maps.elements.length, 2);
    expect(maps.elements.first.keys.strings, ['cat', 'dög']);
    expect(maps.elements.first.values.floats, [0.25, 0.75]);
    expect('$maps', '[{cat: 0.25, dög: 0.75}, {cat: 1.0, dög: 0.0}]');
    final into = await Linnet.open('$models/from_map.onnx');
    final map = MapValue(Tensor.strings(['c', 'a']), Tensor.float32([3, 1]));
    expect(into.runSync({'x': map})['y'].floats, [1.0, 0.0, 3.0]);
    out.close();
    into.close();
  });

  test('optionals, with content and without', () async {
    final model = await Linnet.open('$models/has_element.onnx');
    expect(model.inputs.single.kind, ValueKind.optional);
    expect(model.runSync({'x': Tensor.float32([1])})['y'].bools, [true]);
    expect(model.runSync({'x': const NoValue()})['y'].bools, [false]);
    expect((await model.run({}))['y'].bools, [false]);
    model.close();
  });

  test('a tensor that does not fit its list, or is read as what it is not', () async {
    await thrown<LinnetInvalidArgument>(() => Tensor.float32([1, 2, 3], [2, 2]));
    await thrown<LinnetInvalidArgument>(() => Tensor.float32([], [0, -1]));
    await thrown<LinnetInvalidArgument>(() => Tensor.raw(DType.int4, Uint8List(2), [5]));
    await thrown<LinnetInvalidArgument>(() => Tensor.raw(DType.float16, Float32List(2), [2]));
    await thrown<LinnetInvalidArgument>(() => Tensor(ByteData(4)));
    final wrong = await thrown<LinnetInvalidArgument>(() => Tensor.int64([1]).floats);
    expectTrue(wrong.message.contains('.ints'), '"${wrong.message}" names the right getter');
    expect(Tensor.bools([true, false]).toString(), 'bool [2] (true, false)');
    expect(Tensor.float32([for (var i = 0; i < 8; ++i) 1], [2, 4]).toString(), 'float32 [2, 4] (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, ...)');
    expect('${SequenceValue(DType.int64, [Tensor.int64([1]), Tensor.int64([2, 3])])}', '[int64 [1] (1), int64 [2] (2, 3)]');
    expect('${const NoValue()}', 'nothing');
  });
}
