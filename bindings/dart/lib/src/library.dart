import 'dart:ffi';
import 'dart:io';

import 'exceptions.dart';
import 'native.dart' as native;
import 'text.dart';

const int _abiVersion = 1;

bool _ready = false;

/// Makes sure that the functions of `native.dart` can be called, or throws [LinnetLibraryMissing].
///
/// They are there when the build hook has bundled the library or when an isolate of this process has loaded it. Else it
/// is loaded from [path], or from the path in the environment variable `LINNET_LIBRARY`. Throws a [StateError] where
/// another one than that at [path] is in use.
void ensureLibrary([String? path]) {
  if (_ready || _resolves()) {
    if (path != null) _refuseAnother(path);
    if (_ready) return;
  } else {
    final given = path ?? Platform.environment['LINNET_LIBRARY'];
    if (given == null) {
      throw const LinnetLibraryMissing('the native library is not part of this app; either let the build hook bundle '
          'it (see the README of the package), or tell where it is: Linnet.loadLibrary(path), or the environment '
          'variable LINNET_LIBRARY');
    }
    _loadForProcess(given);
    if (!_resolves()) throw LinnetLibraryMissing('$given is another version than this package needs');
  }
  final found = native.abiVersion();
  if (found != _abiVersion) {
    throw LinnetLibraryMissing('the native library is version ${textAt(native.version())}, whose interface is number '
        '$found; this package needs number $_abiVersion');
  }
  _ready = true;
}

bool _resolves() {
  try {
    native.abiVersion();
    return true;
  } on ArgumentError {
    return false;
  }
}

void _refuseAnother(String path) {
  final asked = checkLibraryFile(path).lookup<NativeFunction<Uint32 Function()>>('linnet_abi_version');
  if (asked != Native.addressOf<NativeFunction<Uint32 Function()>>(native.abiVersion)) {
    throw StateError('$path cannot be loaded: this process uses another native library of Linnet already, from the app, '
        'from LINNET_LIBRARY or from an earlier call of loadLibrary');
  }
}

/// Throws a [LinnetLibraryMissing] that says why the file at [path] will not do.
DynamicLibrary checkLibraryFile(String path) {
  final DynamicLibrary library;
  try {
    library = DynamicLibrary.open(path);
  } on ArgumentError catch (e) {
    throw LinnetLibraryMissing('$path cannot be loaded: ${e.message}');
  }
  if (!library.providesSymbol('linnet_abi_version')) {
    throw LinnetLibraryMissing('$path is not the library of Linnet');
  }
  return library;
}

/// Loads a library so that its symbols are found in the process as a whole, where `native.dart` looks for them without
/// a code asset. DynamicLibrary.open would keep them to itself, but for Windows.
void _loadForProcess(String path) {
  checkLibraryFile(path);
  if (Platform.isWindows) return;
  const now = 2;
  final global = switch (Abi.current()) {
    Abi.androidArm || Abi.androidIA32 => 2,
    _ when Platform.isMacOS || Platform.isIOS => 8,
    _ => 0x100,
  };
  native.dlopen(nulTerminated(path).address, now | global);
}
