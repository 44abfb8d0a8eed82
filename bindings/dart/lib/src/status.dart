import 'dart:ffi';

import 'exceptions.dart';
import 'native.dart' as native;
import 'text.dart';

/// Throws what a `linnet_status` tells and releases it; returns when there is none.
@pragma('vm:prefer-inline')
void check(int status, {String model = ''}) {
  if (status != 0) throw exceptionOf(status, model: model);
}

/// The exception that tells what [status] does. Releases it.
LinnetException exceptionOf(int status, {String model = ''}) {
  final exception = exceptionFor(native.statusCode(status), textAt(native.statusMessage(status)),
      model: model, node: textAt(native.statusNode(status)), inputs: textAt(native.statusInputs(status)));
  native.release(status);
  return exception;
}

/// Closes the handles of objects that were forgotten. A handle that is closed already is ignored.
final NativeFinalizer releaser = NativeFinalizer(native.releaseAddress);
