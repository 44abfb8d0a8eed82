import 'dart:ffi';
import 'dart:typed_data';

import 'exceptions.dart';
import 'library.dart';
import 'native.dart' as native;
import 'status.dart';
import 'words.dart';

/// The threads and the memory that models share. Without one of their own, the models of an isolate share [standard].
final class Engine implements Finalizable {
  Engine._(this._handle) {
    releaser.attach(this, Pointer.fromAddress(_handle));
  }

  /// [threads] compute each run (0: one for each core); [memoryLimit] is in bytes (0: none); up to [parallelRuns]
  /// asynchronous runs are under way at once (0: one for each core).
  factory Engine({int threads = 0, int memoryLimit = 0, int parallelRuns = 0}) {
    ensureLibrary();
    _require(threads, 'threads');
    _require(memoryLimit, 'memoryLimit');
    _require(parallelRuns, 'parallelRuns');
    final options = Struct.create<native.NativeEngineOptions>()
      ..structSize = sizeOf<native.NativeEngineOptions>()
      ..threads = threads
      ..memoryLimit = memoryLimit
      ..runners = parallelRuns;
    check(native.engineCreate(options.address, received.bytes.address.cast()));
    return Engine._(received[0]);
  }

  /// With one thread for each core and no limit.
  static final Engine standard = Engine();

  final int _handle;
  bool _closed = false;

  /// The native handle, for this package.
  int get handle => _closed ? throw const LinnetClosed('the engine is closed') : _handle;

  int get threads => native.engineThreads(handle);

  /// May be changed at any time; runs under way follow from their next step on.
  set threads(int count) {
    _require(count, 'threads');
    check(native.engineSetThreads(handle, count));
  }

  /// Bytes in use by runs.
  int get memoryUsed => native.engineMemoryUsed(handle);

  set memoryLimit(int bytes) {
    _require(bytes, 'memoryLimit');
    check(native.engineSetMemoryLimit(handle, bytes));
  }

  /// Models that were opened with the engine stay usable.
  void close() {
    _closed = true;
    native.release(_handle);
  }

  static void _require(int number, String name) {
    if (number < 0) throw LinnetInvalidArgument('$name is $number; it cannot be negative');
  }
}
