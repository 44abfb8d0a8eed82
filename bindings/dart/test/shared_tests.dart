import 'dart:isolate';

import 'package:linnet/linnet.dart';

import 'harness.dart';
import 'run_tests.dart' show slowly;

/// Several isolates, and isolates that end in the middle of things.
void sharedTests(String models) {
  test('several isolates run one model at once', () async {
    final model = await Linnet.open('$models/product.onnx');
    final shared = model.share();
    final sums = await Future.wait([for (var i = 1; i <= 4; ++i) Isolate.run(() => _products(shared, i))]);
    expect(sums, [for (var i = 1; i <= 4; ++i) 200 * 16.0 * i * 4]);
    expect(model.runSync(_matrices(1))['c'].floats.first, 4.0);
    model.close();
  });

  test('isolates with models of their own', () async {
    final sums = await Future.wait([
      for (var i = 1; i <= 3; ++i)
        Isolate.run(() async {
          final model = await Linnet.open('$models/product.onnx');
          final sum = await _products(model.share(), i);
          model.close();
          return sum;
        })
    ]);
    expect(sums, [for (var i = 1; i <= 3; ++i) 200 * 16.0 * i * 4]);
  });

  test('sharing a model that is closed meanwhile', () async {
    final model = await Linnet.open('$models/twice.onnx');
    final shared = model.share();
    final here = shared.open();
    model.close();
    expect((await here.run({'x': Tensor.float32([2])}))['y'].floats, [4.0]);
    await thrown<LinnetClosed>(shared.open);
    here.close();
  });

  test('an isolate that is killed in the middle of runs, as a hot restart does', () async {
    final model = await Linnet.open('$models/slow.onnx');
    final shared = model.share();
    for (var round = 0; round < 5; ++round) {
      final started = ReceivePort(), ended = ReceivePort();
      final isolate = await Isolate.spawn(_runsForLong, (started.sendPort, shared), onExit: ended.sendPort);
      await started.first;
      isolate.kill(priority: Isolate.immediate);
      await ended.first;
    }
    await Future<void>.delayed(const Duration(milliseconds: 300)); // their messages arrive nowhere
    expect((await model.run(slowly(1)))['y'].length, 128 * 128);
    model.close();
  });

  test('an isolate ends by itself when no run is under way', () async {
    final ended = ReceivePort();
    await Isolate.spawn(_once, models, onExit: ended.sendPort);
    await ended.first.timeout(const Duration(seconds: 30));
  });
}

Map<String, Value> _matrices(int factor) => {
      'a': Tensor.float32(List.filled(16, 1), [4, 4]),
      'b': Tensor.float32(List.filled(16, factor.toDouble()), [4, 4]),
    };

Future<double> _products(SharedModel shared, int factor) async {
  final model = shared.open();
  var sum = 0.0;
  for (var i = 0; i < 200; ++i) {
    final outputs = i.isEven ? await model.run(_matrices(factor)) : model.runSync(_matrices(factor));
    sum += outputs['c'].floats.reduce((a, b) => a + b);
  }
  model.close();
  return sum;
}

Future<void> _runsForLong((SendPort, SharedModel) message) async {
  final model = message.$2.open();
  final runs = [for (var i = 0; i < 8; ++i) model.run(slowly(100))];
  message.$1.send(null);
  await Future.wait(runs);
}

Future<void> _once(String models) async {
  final model = await Linnet.open('$models/twice.onnx');
  await model.run({'x': Tensor.float32([1])});
}
