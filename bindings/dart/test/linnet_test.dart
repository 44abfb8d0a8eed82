// All tests: LINNET_LIBRARY=liblinnet.so dart test/linnet_test.dart MODELS [PART OF A NAME]
// MODELS is the folder that tests/dart/models.py of Linnet's repository writes.
import 'harness.dart';
import 'lifetime_tests.dart';
import 'run_tests.dart';
import 'shared_tests.dart';
import 'type_tests.dart';
import 'writing_tests.dart';

Future<void> main(List<String> arguments) async {
  final models = arguments.first;
  typeTests(models);
  runningTests(models);
  lifetimeTests(models);
  sharedTests(models);
  writingTests(models);
  await runTests(arguments.length > 1 ? arguments[1] : '');
}
