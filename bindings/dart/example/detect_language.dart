// dart run example/detect_language.dart MODEL_FOLDER FILE...: in which languages are these files written?
import 'dart:io';

import 'package:linnet/linnet.dart';

Future<void> main(List<String> arguments) async {
  final detector = await LanguageDetector.open(arguments.first);
  for (final path in arguments.skip(1)) {
    final found = await detector.detect(await File(path).readAsString());
    print('$path: ${found.description}, $found');
  }
  detector.close();
}
