// Ends the process while runs are under way and about to end: dart test/exit_during_runs.dart MODELS MILLISECONDS
import 'dart:async';
import 'dart:io';

import 'package:linnet/linnet.dart';

import 'run_tests.dart' show slowly;

Future<void> main(List<String> arguments) async {
  final model = await Linnet.open('${arguments.first}/slow.onnx');
  for (var i = 1; i <= 40; ++i) {
    unawaited(model.run(slowly(i)));
  }
  await Future<void>.delayed(Duration(milliseconds: int.parse(arguments[1])));
  exit(7);
}
