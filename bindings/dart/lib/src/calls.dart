/// Asynchronous calls: each is a task of Linnet's, whose end is told by a message to this isolate's port.
///
/// A message to an isolate that is gone is dropped, so an app may be restarted at any time.
library;

import 'dart:async';
import 'dart:ffi';
import 'dart:isolate';
import 'dart:typed_data';

import 'native.dart' as native;
import 'status.dart';
import 'words.dart';

final class _Call implements Finalizable {
  _Call(this.task, this.completer, this.finish, this.onProgress, this.sample) {
    releaser.attach(this, Pointer.fromAddress(task), detach: this);
  }
  final int task;
  final Completer<Object?> completer;
  final Object? Function(int task) finish;
  final Progress? onProgress;
  final SampleGiver? sample;
  (Object, StackTrace)? failure; // of the caller's functions; goes before what the task says of it

  void fail(Object error, StackTrace trace) {
    failure ??= (error, trace);
    native.taskCancel(task);
  }

  void tell(int done, int total, String what) {
    try {
      if (failure == null) onProgress?.call(done, total, what);
    } catch (error, trace) {
      fail(error, trace);
    } finally {
      native.taskContinue(task);
    }
  }

  Future<void> giveSample(int pass, List<String> names) async {
    try {
      final inputs = await sample!(pass, names);
      try {
        final words = inputs ?? Words(0);
        final status = native.taskGiveSample(task, words.bytes.address.cast(), inputs == null ? 0 : names.length);
        // One that was cancelled does not ask any more.
        if (native.statusCode(status) != 1) check(status);
        native.release(status);
      } finally {
        for (var i = 0; inputs != null && i < names.length; ++i) {
          native.release(inputs[i]);
        }
      }
    } catch (error, trace) {
      fail(error, trace);
    }
  }
}

/// Told before each stage of a call: how many of [total] (0: not known) are done, and what comes.
typedef Progress = void Function(int done, int total, String what);

/// Gives handles of the values of the next sample, for the inputs of these names; null after the last one. They are
/// taken over. [pass] counts up when the samples are needed again.
typedef SampleGiver = Future<Words?> Function(int pass, List<String> names);

final Map<int, _Call> _underWay = {};
int _lastNumber = 0;
final RawReceivePort _port = RawReceivePort(_told, 'linnet')..keepIsolateAlive = false;

final native.NativeCompletion _completion = Struct.create<native.NativeCompletion>()
  ..structSize = sizeOf<native.NativeCompletion>()
  ..post = NativeApi.postCObject;

/// Starts a call and completes when it has ended, with what [finish] makes of its task.
///
/// [start] passes the completion on and receives the task in [received]; it returns the status.
Future<T> callAsync<T>(String model, int Function(native.NativeCompletion completion) start,
    T Function(int task) finish, {Progress? onProgress, SampleGiver? sample}) {
  final number = ++_lastNumber;
  _completion
    ..port = _port.sendPort.nativePort
    ..message = number
    ..postProgress = onProgress == null ? 0 : 2; // LINNET_POST_AND_WAIT: what it throws comes in time
  check(start(_completion), model: model);
  final completer = Completer<T>();
  _underWay[number] = _Call(received[0], completer, (task) {
    check(native.taskResult(task), model: model);
    return finish(task);
  }, onProgress, sample);
  _port.keepIsolateAlive = true;
  return completer.future;
}

void _told(Object? message) {
  if (message is! List<Object?>) return _ended(message);
  final call = _underWay[message[0]];
  if (call == null) return;
  if (message.length == 4) {
    call.tell(message[1] as int, message[2] as int, message[3] as String);
  } else {
    unawaited(call.giveSample(message[1] as int, (message[2] as List<Object?>).cast<String>()));
  }
}

void _ended(Object? message) {
  final call = _underWay.remove(message);
  if (call == null) return;
  if (_underWay.isEmpty) _port.keepIsolateAlive = false;
  try {
    if (call.failure case (final error, final trace)) {
      call.completer.completeError(error, trace);
    } else {
      call.completer.complete(call.finish(call.task));
    }
  } catch (error, trace) {
    call.completer.completeError(error, trace);
  } finally {
    releaser.detach(call);
    native.release(call.task);
  }
}
