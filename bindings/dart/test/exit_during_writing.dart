// Ends the process while models are written: dart test/exit_during_writing.dart MODELS MILLISECONDS CALL
import 'dart:async';
import 'dart:io';

import 'package:linnet/linnet.dart';

Future<void> main(List<String> arguments) async {
  final [models, milliseconds, call] = arguments;
  final model = '$models/dense.onnx';
  Iterable<Map<String, Value>> endless() sync* {
    for (;;) {
      yield {'x': Tensor.zeros(DType.float32, [5, 128])};
    }
  }

  for (var i = 0; i < 3; ++i) {
    final to = '$models/never$i';
    unawaited(switch (call) {
      'static' => Linnet.quantize(model, to, StaticQuantization(endless()), threads: 1),
      'dynamic' => _again((n) => Linnet.quantize(model, to, const DynamicQuantization(), threads: 1)),
      'optimize' => _again((n) => Linnet.optimize(model, to, threads: 1)),
      'compile' => _again((n) => Linnet.compile(model, to, threads: 1)),
      _ => _again((n) => Linnet.tune(model, '$to.$n', () => Stream.fromIterable(endless().take(3)))),
    });
  }
  await Future<void>.delayed(Duration(milliseconds: int.parse(milliseconds)));
  exit(7);
}

Future<void> _again(Future<void> Function(int number) work) async {
  for (var number = 0;; ++number) {
    await work(number);
  }
}
