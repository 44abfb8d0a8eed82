import 'dart:ffi';
import 'dart:typed_data';

import 'library.dart';
import 'native.dart' as native;
import 'status.dart';
import 'words.dart';

/// Stops runs and other calls: pass one to any number of them, and [cancel] ends them all with a `LinnetCancelled`.
///
/// A token stays cancelled; make a new one for the next run.
final class CancelToken implements Finalizable {
  CancelToken._(this.handle) {
    releaser.attach(this, Pointer.fromAddress(handle));
  }

  factory CancelToken() {
    ensureLibrary();
    check(native.cancelCreate(received.bytes.address.cast()));
    return CancelToken._(received[0]);
  }

  /// The native handle, for this package.
  final int handle;

  bool _cancelled = false;
  bool get isCancelled => _cancelled;

  /// Stops the runs that have this token at their next step. Returns at once.
  void cancel() {
    _cancelled = true;
    native.cancelRequest(handle);
  }
}
