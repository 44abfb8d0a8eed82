import 'dart:async';
import 'dart:io';
import 'dart:isolate';
import 'dart:math';
import 'dart:typed_data';

import 'package:linnet/linnet.dart';

import 'harness.dart';
import 'lifetime_tests.dart' show collectGarbage;

/// Optimizing, compiling, quantising, tuning.
void writingTests(String models) {
  final dense = '$models/dense.onnx', to = '$models/written';

  test('optimize', () async {
    final steps = <String>[];
    final report = await Linnet.optimize(dense, to,
        level: OptimizationLevel.basic, shapes: {'x': [5, 128]}, onProgress: (done, total, what) => steps.add(what));
    expect(report.nodesBefore, 3);
    expectTrue(report.changes.length > 3 && report.bytesAfter == File(to).lengthSync(), '$report');
    expectTrue(steps.length > 3 && steps.last == 'writing', 'told of $steps');
    final model = await Linnet.open(to);
    expect(model.inputs.single.shape, [5, 128]);
    model.close();
    await Linnet.optimize(dense, to, floats: DType.float16, sizes: {'n': 5}, keepFloat: ['Relu'], threads: 1);
    expectTrue(File(to).lengthSync() < 0.6 * File(dense).lengthSync(), 'half the size');
    expectTrue(await _cosine(dense, to) > 0.9999, 'near the model');
  });

  test('compile', () async {
    await Linnet.compile(dense, to);
    expectTrue(await _cosine(dense, to) > 0.999999, 'near the model');
  });

  for (final (name, scheme, least) in <(String, Quantization, double)>[
    ('dynamic', const DynamicQuantization(), 0.999),
    ('dynamic, per channel', const DynamicQuantization(perChannel: true, weightType: DType.uint8, reduceRange: true), 0.999),
    ('static', StaticQuantization([_sample(1), _sample(2)]), 0.99),
    ('static, lazily', StaticQuantization(_samples(4), activationType: DType.int16), 0.99),
    ('static, twice', StaticQuantization(_samples(4), smooth: true, smoothAlpha: 0.6, method: CalibrationMethod.mse), 0.99),
    ('static, a stream', StaticQuantization.stream(_stream, integerOperators: true, activationType: DType.uint8), 0.99),
    ('weights', const WeightQuantization(), 0.98),
    ('weights of 8 bits', const WeightQuantization(bits: 8, blockSize: 64, symmetric: false), 0.9999),
    ('weights, gptq', const WeightQuantization(method: BlockMethod.gptq, samples: _stream), 0.97),
  ]) {
    test('quantize: $name', () async {
      final report = await Linnet.quantize(dense, to, scheme, threads: 1);
      expect(report.bytesAfter, File(to).lengthSync());
      expectTrue(report.quantized >= 2 && report.bytesAfter < 0.4 * report.bytesBefore, '$report');
      final first = report.nodes.firstWhere((node) => node.node.contains('first'));
      expectTrue(first.result != null && first.weightSnr! > 10, '$first');
      final near = await _cosine(dense, to);
      expectTrue(near > least, 'the cosine $near is above $least');
    });
  }

  test('quantize: some nodes', () async {
    final report = await Linnet.quantize(dense, to, const DynamicQuantization(), exclude: ['sec*']);
    expect(report.quantized, 1);
    expectTrue(report.nodes.any((node) => node.result == null && node.reason!.isNotEmpty), '${report.nodes}');
  });

  test('quantize explains', () async {
    const explain = Explain(samples: _stream, sensitivity: 10);
    final report = await Linnet.quantize(dense, to, const DynamicQuantization(), explain: explain);
    expectTrue(report.quality!.samples > 1 && report.quality!.meanCosine! > 0.999, '${report.quality}');
    expectTrue(report.nodes.where((node) => node.result != null).every((node) => node.cosineAlone! > 0.999), 'alone');
    final calibrated = await Linnet.quantize(dense, to, StaticQuantization(_samples(3)), explain: const Explain(onlyFaster: true));
    expect(calibrated.quality!.samples, 3);
    for (final wrong in const [Explain(), Explain(samples: _stream, labels: [1]), Explain(samples: _stream, labelOutput: 'y'), Explain(samples: _stream, sensitivity: -1)]) {
      await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, '$models/never', const DynamicQuantization(), explain: wrong));
    }
    await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, '$models/never', StaticQuantization(_samples(3)), explain: explain));
    expectTrue(!File('$models/never').existsSync(), 'no file is left');
  });

  test('tune', () async {
    final folder = '$models/tuned', steps = <String>[];
    const limits = TuneLimits(maxLoss: 0.05);
    final report = await Linnet.tune(dense, folder, _stream,
        limits: limits,
        preference: TunePreference.size,
        budget: const Duration(seconds: 20),
        onProgress: (done, total, what) => steps.add(what));
    expect(report.chosen!.fate, 'timed');
    expectTrue(steps.length > 3 && File('$folder/manifest.json').existsSync(), 'told of $steps');
    expectTrue(await _cosine(dense, '$folder/model.onnx') > 0.9, 'near the model');
    final nothing = await Linnet.tune(dense, '$models/tiny', _stream,
        limits: const TuneLimits(maxBytes: 10), budget: const Duration(seconds: 20));
    expectTrue(nothing.chosen == null && nothing.beyond != null, '$nothing');
    await thrown<LinnetInvalidArgument>(() => Linnet.tune(dense, '$models/no', _stream, limits: const TuneLimits(maxLoss: -1)));
    await thrown<LinnetInvalidArgument>(() => Linnet.tune(dense, '$models/no', _stream, labels: [1]));
    await thrown<LinnetInvalidArgument>(() => Linnet.tune(dense, '$models/no', _stream, threads: [0]));
    await thrown<LinnetInvalidArgument>(() => Linnet.tune(dense, '$models/no', () => const Stream.empty()));
    await thrown<LinnetNotFound>(() => Linnet.tune('$models/none.onnx', '$models/no', _stream));
    final token = CancelToken();
    await thrown<LinnetCancelled>(() => Linnet.tune(dense, '$models/stopped', _stream,
        cancel: token, onProgress: (done, total, what) => token.cancel()));
    expectTrue(!File('$models/stopped/model.onnx').existsSync(), 'no model is left');
  });

  test('tune: samples to calibrate with, and nothing lost', () async {
    var asked = 0;
    Stream<Map<String, Value>> others() async* {
      ++asked;
      yield {'x': Tensor.float32(List.filled(5 * 128, 50), [5, 128])};
    }

    final report = await Linnet.tune(dense, '$models/calibrated', _stream,
        calibration: others, calibrationPath: 'calibrate', samplePath: 'judge', budget: const Duration(seconds: 20), limits: const TuneLimits(maxLoss: 1));
    expect(asked, 1);
    expectTrue(File('$models/calibrated/manifest.json').readAsStringSync().contains('calibrate'), 'in the manifest');
    expect(report.chosen!.fate, 'timed');
    final exact = await Linnet.tune(dense, '$models/exact', _stream,
        budget: const Duration(seconds: 20), limits: const TuneLimits(maxLoss: 0));
    expectTrue(exact.chosen!.arguments.first == 'optimize', '$exact');
    await thrown<FormatException>(() => Linnet.tune(dense, '$models/no', _stream, calibration: () => throw const FormatException('no stream')));
    await thrown<LinnetInvalidArgument>(() => Linnet.tune(dense, '$models/no', _stream, calibrationPath: 'calibrate'));
  });

  test('options without use', () async {
    for (final wrong in [
      StaticQuantization(_samples(1), percentile: 99),
      StaticQuantization(_samples(1), numBins: 64),
      StaticQuantization(_samples(1), smoothAlpha: 0.4),
      StaticQuantization(_samples(1), method: CalibrationMethod.mse, movingAverage: true),
      const WeightQuantization(damping: 0.1),
      const WeightQuantization(largestFirst: true),
      const WeightQuantization(method: BlockMethod.hqq, searchRanges: true),
    ]) {
      final failure = await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, '$models/never', wrong));
      expectTrue(failure.message.contains('has no use'), failure.message);
    }
    final level = await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, '$models/never', const WeightQuantization(accuracyLevel: 2)));
    expectTrue(level.message.contains('0 or 4'), level.message);
    await thrown<LinnetInvalidArgument>(() => Linnet.optimize(dense, '$models/never', convertIo: true));
    expectTrue(!File('$models/never').existsSync(), 'no file is left');
  });

  test('samples are asked for one at a time', () async {
    var given = 0;
    final token = CancelToken();
    var ended = false;
    Stream<Map<String, Value>> endless() async* {
      try {
        for (;;) {
          yield _sample(++given);
        }
      } finally {
        ended = true;
      }
    }

    await thrown<LinnetCancelled>(() => Linnet.quantize(dense, '$models/never', StaticQuantization.stream(endless),
        cancel: token, onProgress: (done, total, what) {
      if (what == 'calibration' && done == 3) token.cancel();
    }));
    expectTrue(given >= 3 && given <= 5, '$given samples were taken');
    await Future<void>.delayed(const Duration(milliseconds: 10));
    expectTrue(ended, 'the stream is cancelled');
    expectTrue(!File('$models/never').existsSync(), 'no file is left');
  });

  test('what a callback throws', () async {
    Iterable<Map<String, Value>> broken() sync* {
      yield _sample(1);
      throw const FormatException('the third file is gone');
    }

    await thrown<FormatException>(() => Linnet.quantize(dense, '$models/never', StaticQuantization(broken())));
    await thrown<FormatException>(() => Linnet.quantize(
        dense, '$models/never', StaticQuantization.stream(() => throw const FormatException('no stream'))));
    await thrown<FormatException>(() => Linnet.quantize(dense, '$models/never', StaticQuantization(_samples(100)),
        onProgress: (_, __, ___) => throw const FormatException('no progress')));
    expectTrue(!File('$models/never').existsSync(), 'no file is left');
  });

  test('what onProgress throws at any step', () async {
    for (final work in <Future<void> Function(String to, void Function(int, int, String) told)>[
      (to, told) => Linnet.quantize(dense, to, const DynamicQuantization(), onProgress: told),
      (to, told) => Linnet.optimize(dense, to, onProgress: told),
      (to, told) => Linnet.compile(dense, to, onProgress: told),
    ]) {
      var steps = 0;
      await work(to, (_, __, ___) => ++steps);
      for (var last = 0; last < steps; ++last) {
        var step = 0;
        await thrown<FormatException>(() => work('$models/never', (_, __, ___) {
              if (step++ == last) throw const FormatException('mine');
            }));
        expectTrue(!File('$models/never').existsSync(), 'a file is left after step $last of $steps');
      }
    }
  });

  test('failures of writing', () async {
    const scheme = DynamicQuantization();
    final missing = await thrown<LinnetNotFound>(() => Linnet.quantize('$models/no such model.onnx', to, scheme));
    expect(missing.model, 'no such model.onnx');
    await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, dense, scheme));
    await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, 'a\u0000b', scheme));
    await thrown<LinnetNotFound>(() => Linnet.quantize(dense, to, scheme, include: ['Matmul']));
    await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, to, const DynamicQuantization(weightType: DType.int16)));
    await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, to, const WeightQuantization(bits: 3)));
    await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, to, const WeightQuantization(bits: 0)));
    await thrown<LinnetInvalidArgument>(
        () => Linnet.quantize(dense, to, const WeightQuantization(method: BlockMethod.gptq)));
    await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, to, StaticQuantization(const [])));
    await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, to, StaticQuantization([const {}])));
    await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, to, StaticQuantization([
          {'q': Tensor.float32([1])}
        ])));
    await thrown<LinnetInvalidArgument>(() => Linnet.quantize(dense, to, StaticQuantization([
          {'x': Tensor.int64([1])}
        ])));
    await thrown<LinnetClosed>(() => Linnet.quantize(dense, to, StaticQuantization([
          {'x': Tensor.zeros(DType.float32, [5, 128])..close()}
        ])));
    await thrown<LinnetInvalidArgument>(() => Linnet.optimize(dense, to, withoutPasses: ['nothing']));
    await thrown<LinnetInvalidArgument>(() => Linnet.optimize(dense, to, sizes: {'q': 3}));
    await thrown<LinnetNotFound>(() => Linnet.optimize(dense, to, shapes: {'q': [3]}));
    await thrown<LinnetIoFailure>(() => Linnet.compile(dense, '$models/nowhere/x'));
    await thrown<LinnetCancelled>(() => Linnet.compile(dense, to, cancel: CancelToken()..cancel()));
    await thrown<LinnetInvalidArgument>(() => Linnet.compile(dense, to, threads: -1));
  });

  for (final (name, endless) in [('quantize', _quantizes), ('tune', _tunes), ('optimize and compile', _rewrites)]) {
    test('an isolate that ends meanwhile: $name', () async {
      final stopped = ReceivePort();
      final isolate = await Isolate.spawn(endless, models, onExit: stopped.sendPort);
      await Future<void>.delayed(const Duration(milliseconds: 200));
      isolate.kill(priority: Isolate.immediate);
      await stopped.first;
      await Future<void>.delayed(const Duration(milliseconds: 100));
      expectTrue(!File('$models/never').existsSync(), 'no file is left');
      await Linnet.compile(dense, to);
    });
  }

  test('what is closed while a model is tuned or quantised', () async {
    final sample = _sample(1), token = CancelToken();
    var told = 0;
    // The tensor is the engine's by the time that anything is tried.
    final report = await Linnet.tune(dense, '$models/closed', () => Stream.fromIterable([sample]), cancel: token, onProgress: (_, __, what) {
      if (!what.startsWith('reading')) (sample['x']! as Tensor).close();
      ++told;
    }, budget: const Duration(seconds: 10), limits: const TuneLimits(maxLoss: 1));
    expectTrue(report.chosen != null && told > 3, '$report');
    await thrown<LinnetClosed>(() => Linnet.tune(dense, '$models/no', () => Stream.fromIterable([sample])));
    final before = token..cancel(); // too late
    await thrown<LinnetCancelled>(() => Linnet.tune(dense, '$models/no', _stream, cancel: before));
  });

  test('the isolate stays responsive while a model is written', () async {
    var beats = 0;
    final timer = Timer.periodic(const Duration(milliseconds: 1), (_) => ++beats);
    final long = {'x': Tensor.zeros(DType.float32, [20000, 128])};
    await Linnet.quantize(dense, to, StaticQuantization([long, long]));
    timer.cancel();
    expectTrue(beats >= 5, 'the timer fired $beats times');
  });

  test('writing leaves no handles behind', () async {
    Future<void> work() async {
      for (var i = 0; i < 20; ++i) {
        await Linnet.quantize(dense, to, StaticQuantization(_samples(3)), threads: 1);
        await thrown<LinnetException>(() => Linnet.quantize(dense, to, StaticQuantization([const {}]), threads: 1));
      }
      collectGarbage();
      await Future<void>.delayed(const Duration(milliseconds: 50));
    }

    await work();
    final before = Linnet.openHandles;
    await work();
    expectTrue(Linnet.openHandles <= before + 5, '$before handles, then ${Linnet.openHandles}');
  });

  test('options of opening', () async {
    final bytes = await File('$models/outside.onnx').readAsBytes();
    final weights = Float32List.fromList([1, 2]).buffer.asUint8List();
    await thrown<LinnetException>(() => Linnet.openBytes(bytes));
    await thrown<LinnetException>(() => Linnet.openBytes(bytes, externalData: {'weights.bin': Uint8List(3)})); // too short
    final model = await Linnet.openBytes(bytes, externalData: {'weights.bin': weights});
    expect((await model.run({'x': Tensor.float32([10, 20])}))['y'].floats, [11.0, 22.0]);
    model.close();
    for (var i = 0; i < 2; ++i) {
      final sized = await Linnet.open(dense, sizes: {'n': 3}, cacheFolder: '$models/cache');
      expect(sized.inputs.single.shape, [3, 128]);
      sized.close();
    }
    expectTrue(Directory('$models/cache').listSync().isNotEmpty, 'the cache is used');
    await thrown<LinnetInvalidArgument>(() => Linnet.open(dense, sizes: {'q': 3}));
    await thrown<LinnetCancelled>(() => Linnet.open(dense, cancel: CancelToken()..cancel()));
  });
}

void _tunes(String models) => unawaited(Linnet.tune('$models/dense.onnx', '$models/killed',
    () => Stream.fromIterable(Iterable.generate(1 << 30, (i) => _sample(i)))));

Future<void> _rewrites(String models) async {
  for (var i = 0;; ++i) {
    await Linnet.optimize('$models/dense.onnx', '$models/killed.onnx', threads: 1);
    await Linnet.compile('$models/dense.onnx', '$models/killed.linnet', threads: 1);
  }
}

void _quantizes(String models) => unawaited(Linnet.quantize('$models/dense.onnx', '$models/never',
    StaticQuantization(Iterable.generate(1 << 30, (i) => _sample(i))), threads: 1));

Map<String, Value> _sample(int seed) {
  final random = Random(seed);
  return {'x': Tensor.float32([for (var i = 0; i < 5 * 128; ++i) random.nextDouble() - 0.5], [5, 128])};
}

Iterable<Map<String, Value>> _samples(int count) sync* {
  for (var i = 0; i < count; ++i) {
    yield _sample(i);
  }
}

Stream<Map<String, Value>> _stream() async* {
  for (var i = 0; i < 20; ++i) {
    await Future<void>.delayed(Duration.zero);
    yield _sample(i);
  }
}

Future<double> _cosine(String before, String after) async {
  final y = <Float32List>[];
  for (final path in [before, after]) {
    final model = await Linnet.open(path);
    y.add((await model.run(_sample(99)))['y'].floats);
    model.close();
  }
  double dot(Float32List a, Float32List b) =>
      Iterable<int>.generate(a.length).fold(0, (sum, i) => sum + a[i] * b[i]);
  return dot(y[0], y[1]) / sqrt(dot(y[0], y[0]) * dot(y[1], y[1]));
}
