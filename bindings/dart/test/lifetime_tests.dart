import 'dart:io';
import 'dart:typed_data';

import 'package:linnet/linnet.dart';

import 'harness.dart';

int get _megabytes => ProcessInfo.currentRss >> 20;

/// Closing, forgetting, and what memory does meanwhile.
void lifetimeTests(String models) {
  test('what is closed', () async {
    final model = await Linnet.open('$models/twice.onnx');
    final x = Tensor.zeros(DType.float32, [2]);
    x.close();
    x.close();
    await thrown<LinnetClosed>(() => model.run({'x': x}));
    await thrown<LinnetClosed>(() => x.data);
    final small = Tensor.float32([1])..close();
    await thrown<LinnetClosed>(() => model.runSync({'x': small}));
    model.close();
    model.close();
    expect((await thrown<LinnetClosed>(() => model.run({'x': Tensor.float32([1])}))).model, 'twice.onnx');
    await thrown<LinnetClosed>(() => model.runSync({'x': Tensor.float32([1])}));
    await thrown<LinnetClosed>(model.share);
    await thrown<LinnetClosed>(model.trim);
  });

  test('closing during runs lets them end', () async {
    final model = await Linnet.open('$models/twice.onnx');
    final runs = [
      for (var i = 0; i < 50; ++i) model.run({'x': Tensor.float32([1.0 * i])})
    ];
    model.close();
    for (final (i, run) in runs.indexed) {
      expect((await run)['y'].floats, [2.0 * i]);
    }
  });

  test('a list outlives its tensor', () async {
    final model = await Linnet.open('$models/twice.onnx');
    final kept = <Float32List>[];
    for (var i = 0; i < 50; ++i) {
      final x = Tensor.zeros(DType.float32, [10000]);
      x.floats.fillRange(0, 10000, 1.0 * i);
      final outputs = model.runSync({'x': x});
      kept.add(Float32List.sublistView(outputs['y'].floats, 5000));
      outputs.close();
      x.close();
    }
    model.close();
    collectGarbage();
    for (final (i, list) in kept.indexed) {
      expect(list.first, 2.0 * i);
      expect(list.last, 2.0 * i);
    }
  });

  test('4 MB in and out without a copy', () async {
    final model = await Linnet.open('$models/twice.onnx');
    const count = 1 << 20;
    final x = Tensor.zeros(DType.float32, [count]);
    x.floats[count - 1] = 3;
    expect((x.data as Float32List)[count - 1], 3.0, 'the list is the memory');
    final y = (await model.run({'x': x}))['y'];
    expect(y.floats[count - 1], 6.0);
    y.floats[0] = 7;
    expect(y.data.buffer.asFloat32List(y.data.offsetInBytes, 1)[0], 7.0, 'the list is the memory');
    final again = (await model.run({'x': y}))['y']; // an output as input, as it is
    expect(again.floats[0], 14.0);
    model.close();
  });

  test('a hundred thousand runs without growth', () async {
    final model = await Linnet.open('$models/twice.onnx');
    final input = {'x': Tensor.float32(List.filled(100, 1))};
    Future<void> runs(int count) async {
      for (var i = 0; i < count; ++i) {
        if (i % 5 == 0) {
          await model.run(input);
        } else {
          model.runSync(input);
        }
      }
    }

    await runs(3000);
    collectGarbage();
    final handles = Linnet.openHandles, before = _megabytes;
    await runs(100000);
    collectGarbage();
    expectTrue(Linnet.openHandles <= handles + 4, 'handles: $handles, then ${Linnet.openHandles}');
    expectTrue(_megabytes <= before + 16, 'memory: $before MB, then $_megabytes MB');
    model.close();
  });

  test('forgotten outputs give their memory back', () async {
    final model = await Linnet.open('$models/twice.onnx');
    final x = {'x': Tensor.zeros(DType.float32, [1 << 20])};
    var most = 0;
    for (var i = 0; i < 300; ++i) {
      final outputs = i.isEven ? await model.run(x) : model.runSync(x); // 4 MB each, 1.2 GB in all
      if (i % 3 == 0) expect(outputs['y'].floats[5], 0.0);
      if (_megabytes > most) most = _megabytes;
    }
    expectTrue(most < 700, 'the process grew to $most MB');
    model.close();
  });

  test('everything that is forgotten is closed by the collector', () async {
    collectGarbage();
    final before = Linnet.openHandles;
    await () async {
      for (var i = 0; i < 20; ++i) {
        final model = await Linnet.open('$models/twice.onnx', engine: i.isEven ? Engine(threads: 1) : null);
        await model.run({'x': Tensor.zeros(DType.float32, [5000])}, cancel: CancelToken());
      }
    }();
    for (var i = 0; i < 10 && Linnet.openHandles > before + 20; ++i) {
      collectGarbage();
      await Future<void>.delayed(const Duration(milliseconds: 20));
    }
    expectTrue(Linnet.openHandles <= before + 20, '$before handles, then ${Linnet.openHandles} of more than 140');
  });

  test('closed models leave nothing behind', () async {
    Future<void> use() async {
      final model = await Linnet.open('$models/steps.onnx');
      final outputs = await model.run({'x': Tensor.zeros(DType.float32, [2, 3000])}, outputs: ['h', 'y']);
      outputs.close();
      model.close();
    }

    await use();
    final before = Linnet.openHandles;
    for (var i = 0; i < 20; ++i) {
      await use();
    }
    expectTrue(Linnet.openHandles <= before + 25, '$before handles, then ${Linnet.openHandles}');
  });
}

/// Makes the collector run, by leaving it a lot to collect.
void collectGarbage() {
  var kept = <List<int>>[];
  for (var i = 0; i < 400; ++i) {
    kept.add(List.filled(50000, i));
    if (i % 50 == 0) kept = [];
  }
}
