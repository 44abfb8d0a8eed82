// What a run through this package costs beside the same run through the C interface:
// LINNET_LIBRARY=liblinnet.so dart test/overhead.dart MODELS
import 'dart:ffi';
import 'dart:io';
import 'dart:typed_data';

import 'package:linnet/linnet.dart';
import 'package:linnet/src/native.dart' as native;
import 'package:linnet/src/native_value.dart';
import 'package:linnet/src/run_frame.dart';
import 'package:linnet/src/status.dart';
import 'package:linnet/src/words.dart';

const int _rounds = 40, _runs = 500;

@Native<UintPtr Function(UintPtr, Int64, Pointer<Int32>)>(symbol: 'linnet_task_wait')
external int _taskWait(int task, int milliseconds, Pointer<Int32> ended);

/// Microseconds for one run: the best of many rounds, which other work on the machine disturbs least.
final class Overhead {
  double c = double.infinity, cAsync = double.infinity, sync = double.infinity, async = double.infinity;

  /// To a runner thread and back.
  double get wakes => cAsync - c;

  @override
  String toString() => 'C ${c.toStringAsFixed(1)} us, runSync +${(sync - c).toStringAsFixed(1)}; '
      'two thread wakes +${wakes.toStringAsFixed(1)}, run +${(async - c).toStringAsFixed(1)}';
}

/// Measures a model with an input x and an output y of this shape.
Future<Overhead> measure(String path, List<int> shape) async {
  final model = await Linnet.open(path, engine: Engine(threads: 1));
  final input = {'x': Tensor.float32(Float32List(shape.reduce((a, b) => a * b)), shape)};
  // The same through the C interface: what a program in C would do, with the input made once.
  final made = <int>[];
  final frame = RunFrame(1, ['y'])..clear();
  frame.inputs[0] = handleOf(input['x']!, made);
  void callC() {
    check(native.sessionRun(
        model.session, nullptr, nullptr, frame.inputs, 1, nullptr, frame.outputs, 1));
    native.release(frame.outputs[0]);
    frame.outputs[0] = 0;
  }

  void callAsyncC() {
    check(native.sessionRunAsync(model.session, nullptr, nullptr, frame.inputs, 1, nullptr, nullptr, 1, nullptr,
        received.bytes.address.cast()));
    final task = received[0];
    check(_taskWait(task, -1, nullptr));
    native.release(task);
  }

  final best = Overhead();
  final watch = Stopwatch();
  double took() => watch.elapsedMicroseconds / _runs;
  for (var round = 0; round < _rounds; ++round) {
    watch
      ..reset()
      ..start();
    for (var i = 0; i < _runs; ++i) {
      callC();
    }
    if (took() < best.c) best.c = took();
    watch.reset();
    for (var i = 0; i < _runs; ++i) {
      callAsyncC();
    }
    if (took() < best.cAsync) best.cAsync = took();
    watch.reset();
    for (var i = 0; i < _runs; ++i) {
      model.runSync(input);
    }
    if (took() < best.sync) best.sync = took();
    watch.reset();
    for (var i = 0; i < _runs; ++i) {
      await model.run(input);
    }
    if (took() < best.async) best.async = took();
  }
  frame.close();
  made.forEach(native.release);
  model.close();
  return best;
}

/// Microseconds to get at the elements of a 4 MB output, beside those to copy them.
Future<(double, double)> measureReading(String models) async {
  final model = await Linnet.open('$models/twice.onnx');
  const count = 1 << 20;
  final x = {'x': Tensor.zeros(DType.float32, [count])};
  var reading = double.infinity, copying = double.infinity;
  final copy = Float32List(count);
  for (var round = 0; round < 20; ++round) {
    final outputs = model.runSync(x);
    final watch = Stopwatch()..start();
    final list = outputs['y'].floats;
    if (watch.elapsedMicroseconds < reading) reading = watch.elapsedMicroseconds.toDouble();
    watch.reset();
    copy.setAll(0, list);
    if (watch.elapsedMicroseconds < copying) copying = watch.elapsedMicroseconds.toDouble();
    outputs.close();
  }
  model.close();
  return (reading, copying);
}

/// More than this is a failure, on a busy machine too.
const double _mostMicroseconds = 30;

Future<void> main(List<String> arguments) async {
  final models = arguments.first;
  for (final (path, shape) in [
    ('$models/twice.onnx', [1]),
    ('$models/twice.onnx', [1000]),
    ('$models/dense.onnx', [12, 128]), // takes some 50 us
  ]) {
    final found = await measure(path, shape);
    print('measured: ${path.split('/').last} of $shape: $found');
    if (found.sync - found.c > _mostMicroseconds) exitCode = 1;
  }
  final (reading, copying) = await measureReading(arguments.first);
  print('measured: a 4 MB output is read in $reading us; to copy it would take $copying us');
  if (reading > copying) exitCode = 1;
}
