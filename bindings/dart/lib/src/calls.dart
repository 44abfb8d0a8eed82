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
  _Call(this.task, this.completer, this.finish) {
    releaser.attach(this, Pointer.fromAddress(task), detach: this);
  }
  final int task;
  final Completer<Object?> completer;
  final Object? Function(int task) finish;
}

final Map<int, _Call> _underWay = {};
int _lastNumber = 0;
final RawReceivePort _port = RawReceivePort(_ended, 'linnet')..keepIsolateAlive = false;

final native.NativeCompletion _completion = Struct.create<native.NativeCompletion>()
  ..structSize = sizeOf<native.NativeCompletion>()
  ..post = NativeApi.postCObject;

/// Starts a call and completes when it has ended, with what [finish] makes of its task.
///
/// [start] passes the completion on and receives the task in [received]; it returns the status.
Future<T> callAsync<T>(String model, int Function(native.NativeCompletion completion) start,
    T Function(int task) finish) {
  final number = ++_lastNumber;
  _completion
    ..port = _port.sendPort.nativePort
    ..message = number;
  check(start(_completion), model: model);
  final completer = Completer<T>();
  _underWay[number] = _Call(received[0], completer, (task) {
    check(native.taskResult(task), model: model);
    return finish(task);
  });
  _port.keepIsolateAlive = true;
  return completer.future;
}

void _ended(Object? message) {
  final call = _underWay.remove(message);
  if (call == null) return;
  if (_underWay.isEmpty) _port.keepIsolateAlive = false;
  try {
    call.completer.complete(call.finish(call.task));
  } catch (error, trace) {
    call.completer.completeError(error, trace);
  } finally {
    releaser.detach(call);
    native.release(call.task);
  }
}
