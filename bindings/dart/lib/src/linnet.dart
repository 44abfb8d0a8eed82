import 'dart:ffi';
import 'dart:typed_data';

import 'calls.dart';
import 'engine.dart';
import 'exceptions.dart';
import 'library.dart';
import 'model.dart';
import 'native.dart' as native;
import 'native_value.dart';
import 'status.dart';
import 'text.dart';
import 'words.dart';

/// Opens models.
abstract final class Linnet {
  /// Loads the native library from a path, in an app that does not bundle it: once, before anything else. Other isolates
  /// of the app have it then, too. Throws [LinnetLibraryMissing].
  static void loadLibrary(String path) => ensureLibrary(path);

  /// The version of the native library.
  static String get version {
    ensureLibrary();
    return textAt(native.version());
  }

  /// Whether this build on this machine has a feature, such as `isa:avx2` or `op:ai.onnx.Conv`.
  static bool hasFeature(String name) {
    ensureLibrary();
    return native.hasFeature(nulTerminated(name).address) != 0;
  }

  /// Native objects that are open in this process: for tests that look for leaks.
  static int get openHandles {
    ensureLibrary();
    return native.openHandles();
  }

  /// Opens the model in a file. The work is done on other threads.
  static Future<LinnetModel> open(String path, {Engine? engine}) async {
    ensureLibrary();
    if (path.contains('\u0000')) throw const LinnetInvalidArgument('the path contains a NUL character');
    final text = nulTerminated(path);
    final block = NativeBytes(text.length)..list.setAll(0, text);
    try {
      final source = _newSource()..path = block.at;
      return await _load(path.split(RegExp(r'[/\\]')).last, source, engine ?? Engine.standard);
    } finally {
      block.close();
    }
  }

  /// Opens a model that is in memory, such as a Flutter asset; the bytes are copied once, as one block. [name] is what
  /// exceptions call the model.
  static Future<LinnetModel> openBytes(Uint8List bytes, {Engine? engine, String name = 'model'}) async {
    ensureLibrary();
    final block = NativeBytes(bytes.length)..list.setAll(0, bytes);
    final source = _newSource()
      ..data = block.at
      ..size = bytes.length
      ..release = native.releaseAddress
      ..user = block.handle;
    final loading = _load(name, source, engine ?? Engine.standard);
    block.giveAway();
    return loading;
  }

  static native.NativeSource _newSource() =>
      Struct.create<native.NativeSource>()..structSize = sizeOf<native.NativeSource>();

  static Future<LinnetModel> _load(String name, native.NativeSource source, Engine engine) => callAsync(
          name,
          (completion) => native.modelLoadAsync(
              engine.handle, source.address, 0, completion.address, received.bytes.address.cast()), (task) {
        check(native.taskModel(task, received.bytes.address.cast()), model: name);
        return LinnetModel.ofHandle(name, received[0]);
      });
}
