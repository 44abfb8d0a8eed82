// Ends the process while models are written: dart test/exit_during_writing.dart MODELS MILLISECONDS
import 'dart:async';
import 'dart:io';

import 'package:linnet/linnet.dart';

Future<void> main(List<String> arguments) async {
  final models = arguments.first;
  Iterable<Map<String, Value>> endless() sync* {
    for (;;) {
      yield {'x': Tensor.zeros(DType.float32, [5, 128])};
    }
  }

  for (var i = 0; i < 3; ++i) {
    unawaited(Linnet.quantize('$models/dense.onnx', '$models/never$i', StaticQuantization(endless()), threads: 1));
  }
  await Future<void>.delayed(Duration(milliseconds: int.parse(arguments[1])));
  exit(7);
}
