import 'dart:async';
import 'dart:io';
import 'dart:isolate';
import 'dart:typed_data';

import 'package:linnet/linnet.dart';
import 'package:linnet/src/library.dart' show checkLibraryFile;

import 'harness.dart';

/// Loading, running, failing, stopping.
void runningTests(String models) {
  test('a model tells what it is', () async {
    final model = await Linnet.open('$models/steps.onnx');
    expect(model.name, 'steps.onnx');
    expect(model.inputs.single.shape, [2, null]);
    expect(model.inputs.single.sizeNames, ['', 'n']);
    expect([for (final port in model.outputs) port.name], ['y', 'z']);
    expect('$model', 'steps.onnx(x: float32 [2, n]) -> (y: float32 [2, n], z: float32 [2, n])');
    expect(model.metadata['producer_name'], 'linnet tests');
    expect(model.metadata['author'], 'Zoë');
    model.close();
    expectTrue(Linnet.version.startsWith('0.'), 'the version is ${Linnet.version}');
    expectTrue(Linnet.hasFeature('device:cpu') && !Linnet.hasFeature('device:abacus'), 'features are told');
  });

  test('from bytes', () async {
    final bytes = await File('$models/twice.onnx').readAsBytes();
    final loading = Linnet.openBytes(bytes, name: 'asset');
    bytes.fillRange(0, bytes.length, 0); // the caller's again at once
    final model = await loading;
    expect((await model.run({'x': Tensor.float32([4])}))['y'].floats, [8.0]);
    model.close();
  });

  test('failures of loading', () async {
    final missing = await thrown<LinnetNotFound>(() => Linnet.open('$models/no such model.onnx'));
    expect(missing.model, 'no such model.onnx');
    expectTrue(missing.message.contains('no such model.onnx'), '"${missing.message}" names the file');
    await thrown<LinnetInvalidModel>(() => Linnet.openBytes(Uint8List.fromList([8, 1, 99, 99])));
    await thrown<LinnetInvalidModel>(() => Linnet.openBytes(Uint8List(0)));
    await thrown<LinnetInvalidArgument>(() => Linnet.open('a\u0000b'));
    await thrown<LinnetException>(() => Linnet.open(models)); // a folder
  });

  test('a library that is not there or none of Linnet', () async {
    expect((await thrown<LinnetLibraryMissing>(() => checkLibraryFile('/nowhere/liblinnet.so'))).model, '');
    await thrown<LinnetLibraryMissing>(() => checkLibraryFile('libm.so.6'));
    await thrown<LinnetLibraryMissing>(() => Linnet.loadLibrary('/nowhere/liblinnet.so'));
  });

  test('a process has one library', () async {
    final path = Platform.environment['LINNET_LIBRARY']!;
    final link = Link('$models/link.so')..createSync(File(path).absolute.path);
    Linnet.loadLibrary(path);
    Linnet.loadLibrary(link.path);
    final copy = File(path).copySync('$models/copy.so').path;
    final refused = await thrown<StateError>(() => Linnet.loadLibrary(copy));
    expectTrue(refused.message.contains('copy.so'), '"${refused.message}" names the file');
    await Isolate.run(() async {
      Linnet.loadLibrary(path);
      await thrown<StateError>(() => Linnet.loadLibrary(copy));
    });
    await Isolate.run(() => thrown<StateError>(() => Linnet.loadLibrary(copy)));
    for (final file in [link, File(copy)]) {
      file.deleteSync();
    }
  });

  test('some outputs, an inner value', () async {
    final model = await Linnet.open('$models/steps.onnx');
    final x = Tensor.float32([1, -2, 3, -4], [2, 2]);
    final all = await model.run({'x': x});
    expect(all.names.toList(), ['y', 'z']);
    expect(all['y'].floats, [-1.0, -0.0, -3.0, -0.0]);
    final some = await model.run({'x': x}, outputs: ['z', 'h']);
    expect(some.names.toList(), ['z', 'h']);
    expect(some['z'].floats, [1.0, 2.0, 3.0, 4.0]);
    expect(model.runSync({'x': x}, outputs: ['h'])['h'].floats, [1.0, 0.0, 3.0, 0.0]);
    final unknown = await thrown<LinnetException>(() => model.run({'x': x}, outputs: ['q']));
    expectTrue(unknown.message.contains('q'), '"${unknown.message}" names the output');
    await thrown<LinnetNotFound>(() => all['q']);
    model.close();
  });

  test('into memory of the caller', () async {
    final model = await Linnet.open('$models/twice.onnx');
    final y = Tensor.zeros(DType.float32, [3]);
    final outputs = await model.run({'x': Tensor.float32([1, 2, 3])}, into: {'y': y});
    expectTrue(identical(outputs['y'], y), 'the output is the tensor that was given');
    expect(y.floats, [2.0, 4.0, 6.0]);
    model.runSync({'x': Tensor.float32([5, 6, 7])}, into: {'y': y});
    expect(y.floats, [10.0, 12.0, 14.0]);
    await thrown<LinnetInvalidArgument>(() => model.run({'x': Tensor.float32([1, 2])}, into: {'y': y}));
    await thrown<LinnetInvalidArgument>(() => model.run({'x': Tensor.float32([1])}, into: {'q': y}));
    await thrown<LinnetInvalidArgument>(() => model.run({'x': Tensor.float32([1])}, into: {'y': Tensor.float32([1])}));
    model.close();
  });

  test('a binding', () async {
    final model = await Linnet.open('$models/twice.onnx');
    final x = Tensor.zeros(DType.float32, [3]), y = Tensor.zeros(DType.float32, [3]);
    final binding = model.bind({'x': x});
    x.floats.setAll(0, [1, 2, 3]);
    final kept = (await binding.run())['y'];
    expect(kept.floats, [2.0, 4.0, 6.0]);
    x.floats.setAll(0, [4, 5, 6]);
    expect(binding.runSync(timeout: const Duration(seconds: 9))['y'].floats, [8.0, 10.0, 12.0]);
    expect(kept.floats, [8.0, 10.0, 12.0], 'the memory is the same');
    binding.setOutput('y', y);
    x.floats.setAll(0, [7, 8, 9]);
    expectTrue(identical((await binding.run(cancel: CancelToken()))['y'], y), 'the tensor that was given');
    expect(y.floats, [14.0, 16.0, 18.0]);
    expect(kept.floats, [8.0, 10.0, 12.0]);
    binding.setInput('x', Tensor.float32([1, 2]));
    await thrown<LinnetInvalidArgument>(binding.run); // y has another shape
    await thrown<LinnetInvalidArgument>(binding.runSync);
    binding.setOutput('y', null);
    expect(binding.runSync()['y'].floats, [2.0, 4.0]);
    await thrown<LinnetNotFound>(() => binding.setInput('q', x));
    await thrown<LinnetNotFound>(() => binding.setOutput('q', y));
    await thrown<LinnetInvalidArgument>(() => binding.setOutput('y', Tensor.float32([1])));
    await thrown<LinnetNotFound>(() => model.bind({'q': x}));
    await thrown<LinnetCancelled>(() => binding.run(cancel: CancelToken()..cancel()));
    await thrown<LinnetCancelled>(() => binding.runSync(cancel: CancelToken()..cancel()));
    await thrown<LinnetInvalidArgument>(() => binding.run(timeout: Duration.zero));
    await thrown<LinnetInvalidArgument>(model.bind({}).runSync);
    final runs = [for (var i = 0; i < 2; ++i) binding.run().then((_) => 1, onError: (_) => 0)];
    expectTrue((await Future.wait(runs)).contains(1), 'one at a time');
    final last = binding.run();
    model.close(); // it goes on
    binding
      ..close()
      ..close();
    expect((await last.then((outputs) => outputs['y'].floats, onError: (_) => [2.0, 4.0])), [2.0, 4.0]);
    await thrown<LinnetClosed>(binding.run);
    await thrown<LinnetClosed>(() => binding.setInput('x', x));
    await thrown<LinnetClosed>(() => model.bind({'x': x}));
  });

  test('runs of a binding leave nothing behind', () async {
    final model = await Linnet.open('$models/twice.onnx');
    final binding = model.bind({'x': Tensor.zeros(DType.float32, [3])});
    binding.runSync().close();
    final before = Linnet.openHandles;
    for (var i = 0; i < 1000; ++i) {
      (i.isEven ? binding.runSync() : await binding.run()).close();
    }
    expectTrue(Linnet.openHandles <= before + 2, '$before handles, then ${Linnet.openHandles}');
    binding.close();
    model.close();
  });

  test('failures of a run name model, input, node and shapes', () async {
    final twice = await Linnet.open('$models/twice.onnx');
    final name = await thrown<LinnetInvalidArgument>(() => twice.run({'q': Tensor.float32([1])}));
    expectTrue(name.message.contains('"q"') && name.message.contains('x'), '"${name.message}" names both');
    final type = await thrown<LinnetInvalidArgument>(() => twice.run({'x': Tensor.int64([1])}));
    expectTrue(type.message.contains('x'), '"${type.message}" names the input');
    expect(type.model, 'twice.onnx');
    await thrown<LinnetInvalidArgument>(() => twice.run({}));
    final fixed = await Linnet.open('$models/fixed.onnx');
    await thrown<LinnetInvalidArgument>(() => fixed.runSync({'x': Tensor.float32([1, 2], [1, 2])}));
    final product = await Linnet.open('$models/product.onnx');
    final a = Tensor.zeros(DType.float32, [2, 3]), b = Tensor.zeros(DType.float32, [4, 5]);
    for (final sync in [true, false]) {
      final failure =
          await thrown<LinnetException>(() async => sync ? product.runSync({'a': a, 'b': b}) : await product.run({'a': a, 'b': b}));
      expectTrue(failure.node.contains('mul'), 'the node is "${failure.node}": $failure');
      expectTrue(failure.inputs.contains('2') && failure.inputs.contains('4'), 'the shapes are "${failure.inputs}"');
    }
    expect(product.runSync({'a': a, 'b': Tensor.zeros(DType.float32, [3, 5])})['c'].shape, [2, 5]); // still usable
    await thrown<LinnetInvalidArgument>(() => twice.run({'x': Tensor.float32([1])}, timeout: Duration.zero));
    for (final model in [twice, fixed, product]) {
      model.close();
    }
  });

  test('cancelling', () async {
    final model = await Linnet.open('$models/slow.onnx');
    final token = CancelToken();
    final watch = Stopwatch()..start();
    final runs = [for (var i = 0; i < 3; ++i) model.run(slowly(1 << 40), cancel: token)];
    final stopped = [for (final run in runs) thrown<LinnetCancelled>(() => run)];
    await Future<void>.delayed(const Duration(milliseconds: 50));
    token.cancel();
    await Future.wait(stopped);
    expectTrue(watch.elapsed < const Duration(seconds: 20), 'the runs end soon');
    expectTrue(token.isCancelled, 'the token knows');
    await thrown<LinnetCancelled>(() => model.runSync(slowly(1 << 40), cancel: token)); // for good
    expect((await model.run(slowly(1)))['y'].shape, [128, 128]);
    model.close();
  });

  test('a timeout', () async {
    final model = await Linnet.open('$models/slow.onnx');
    const timeout = Duration(milliseconds: 40);
    await thrown<LinnetTimeout>(() => model.run(slowly(1 << 40), timeout: timeout));
    await thrown<LinnetTimeout>(() => model.runSync(slowly(1 << 40), timeout: timeout));
    await model.run(slowly(1), timeout: const Duration(days: 20000));
    model.close();
  });

  test('the isolate stays responsive during a long run', () async {
    final model = await Linnet.open('$models/slow.onnx');
    final token = CancelToken();
    var beats = 0;
    final timer = Timer.periodic(const Duration(milliseconds: 5), (_) {
      if (++beats == 50) token.cancel();
    });
    await thrown<LinnetCancelled>(() => model.run(slowly(1 << 40), cancel: token));
    timer.cancel();
    expectTrue(beats >= 50, 'the timer fired $beats times');
    model.close();
  });

  test('a run never completes on the stack of its caller', () async {
    final model = await Linnet.open('$models/twice.onnx');
    for (var i = 0; i < 200; ++i) {
      var returned = false, early = false;
      final done = model.run({'x': Tensor.float32([1])}).then((_) => early = !returned);
      final until = Stopwatch()..start();
      while (until.elapsedMicroseconds < 500) {} // long enough for the run to have ended
      returned = true;
      await done;
      expectTrue(!early, 'the future completed after the call had returned');
    }
    model.close();
  });

  test('many runs at once', () async {
    final model = await Linnet.open('$models/twice.onnx');
    final outputs = await Future.wait([
      for (var i = 0; i < 500; ++i) model.run({'x': Tensor.float32([i.toDouble()])})
    ]);
    for (final (i, output) in outputs.indexed) {
      expect(output['y'].floats, [2.0 * i]);
    }
    model.close();
  });

  test('engines', () async {
    final engine = Engine(threads: 1, memoryLimit: 1 << 20);
    expect(engine.threads, 1);
    final model = await Linnet.open('$models/twice.onnx', engine: engine);
    await thrown<LinnetOutOfMemory>(() => model.run({'x': Tensor.zeros(DType.float32, [1 << 20])}));
    engine
      ..memoryLimit = 0
      ..threads = 2;
    expect(engine.threads, 2);
    expect((await model.run({'x': Tensor.zeros(DType.float32, [1 << 20])}))['y'].length, 1 << 20);
    engine.close();
    expect((await model.run({'x': Tensor.float32([1])}))['y'].floats, [2.0]);
    await thrown<LinnetClosed>(() => Linnet.open('$models/twice.onnx', engine: engine));
    await thrown<LinnetInvalidArgument>(() => Engine(threads: -1));
    model.trim();
    model.close();
  });
}

/// Inputs of the model "slow".
Map<String, Value> slowly(int times) => {
      'times': Tensor.int64([times], []),
      'x': Tensor.zeros(DType.float32, [128, 128]),
    };
