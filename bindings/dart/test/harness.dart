/// The little of a test framework that these tests need, so that they run where pub.dev is out of reach.
library;

import 'dart:async';
import 'dart:io';

final List<(String, FutureOr<void> Function())> _tests = [];

void test(String name, FutureOr<void> Function() body) => _tests.add((name, body));

final class Failure implements Exception {
  Failure(this.message);
  final String message;
  @override
  String toString() => message;
}

void expect(Object? found, Object? expected, [String about = '']) {
  if (!_equal(found, expected)) throw Failure('${about.isEmpty ? '' : '$about: '}expected $expected, found $found');
}

void expectTrue(bool condition, String what) {
  if (!condition) throw Failure('not so: $what');
}

bool _equal(Object? a, Object? b) {
  if (a is List && b is List) {
    return a.length == b.length && Iterable<int>.generate(a.length).every((i) => _equal(a[i], b[i]));
  }
  return a == b || (a is double && b is double && a.isNaN && b.isNaN);
}

/// The exception of type [T] that [body] throws or completes with.
Future<T> thrown<T extends Object>(FutureOr<void> Function() body) async {
  try {
    await body();
  } on T catch (exception) {
    return exception;
  }
  throw Failure('no $T was thrown');
}

/// Runs all tests, or those whose name contains [only], and ends with the line that tests/run_suites.py reads.
Future<void> runTests([String only = '']) async {
  var passed = 0, failed = 0;
  for (final (name, body) in _tests.where((test) => test.$1.contains(only))) {
    try {
      await Future.sync(body).timeout(const Duration(minutes: 5));
      ++passed;
      print('ok      $name');
    } catch (error, trace) {
      ++failed;
      print('FAILED  $name: $error\n$trace');
    }
  }
  print('$passed passed, $failed failed, 0 skipped');
  exitCode = failed == 0 ? 0 : 1;
}
