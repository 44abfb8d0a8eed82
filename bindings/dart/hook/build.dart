// Bundles Linnet's library with the app (https://dart.dev/tools/hooks), under the name by which lib/src/native.dart asks
// for it. In this order:
//
// 1. The file that the app's pubspec.yaml names, one for each target or one for all:
//
//      hooks:
//        user_defines:
//          linnet:
//            library_android_arm64: native/arm64/liblinnet.so
//            library: native/liblinnet.so
//
// 2. prebuilt/OS_ARCHITECTURE/ of this package.
// 3. For the machine that builds: compiled with CMake from the repository that this package is part of.
//
// Where there is none, nothing is bundled, as hooks should not fail for that; the app can still load a library by path.
import 'dart:ffi' show Abi;
import 'dart:io';

import 'package:code_assets/code_assets.dart';
import 'package:hooks/hooks.dart';

Future<void> main(List<String> arguments) async {
  await build(arguments, (input, output) async {
    if (!input.config.buildCodeAssets) return;
    final library = _given(input) ?? _prebuilt(input) ?? await _compiled(input, output);
    if (library == null) return;
    output.dependencies.add(library);
    output.assets.code.add(CodeAsset(
      package: input.packageName,
      name: 'src/native.dart',
      linkMode: DynamicLoadingBundled(),
      file: library,
    ));
  });
}

String _target(CodeConfig code) => '${code.targetOS.name}_${code.targetArchitecture.name}';

Uri? _given(BuildInput input) {
  final path =
      input.userDefines.path('library_${_target(input.config.code)}') ?? input.userDefines.path('library');
  if (path != null && !File.fromUri(path).existsSync()) {
    throw Exception('${path.toFilePath()}, which pubspec.yaml names as the library of linnet, is not there');
  }
  return path;
}

Uri? _prebuilt(BuildInput input) {
  final code = input.config.code;
  final path = input.packageRoot.resolve('prebuilt/${_target(code)}/${code.targetOS.dylibFileName('linnet')}');
  return File.fromUri(path).existsSync() ? path : null;
}

Future<Uri?> _compiled(BuildInput input, BuildOutputBuilder output) async {
  final code = input.config.code, target = _target(code);
  final source = input.packageRoot.resolve('../../');
  if (!File.fromUri(source.resolve('include/linnet/linnet.h')).existsSync()) return null;
  if (Abi.current().toString() != target) return null;
  final folder = input.outputDirectoryShared.resolve('$target/');
  await _run('cmake', [
    '-S', source.toFilePath(), '-B', folder.toFilePath(), '-DCMAKE_BUILD_TYPE=Release', //
    for (final part in ['TESTS', 'CLI', 'EXAMPLES', 'IMAGE']) '-DLINNET_BUILD_$part=OFF',
  ]);
  await _run('cmake', ['--build', folder.toFilePath(), '--target', 'linnet', '--config', 'Release', '--parallel']);
  output.dependencies.add(source.resolve('CMakeLists.txt'));
  await for (final file in Directory.fromUri(source.resolve('src/')).list(recursive: true)) {
    if (file is File) output.dependencies.add(file.uri);
  }
  // A copy without the links that CMake's name for a version is behind.
  final library = await File.fromUri(folder.resolve(code.targetOS.dylibFileName('linnet'))).resolveSymbolicLinks();
  final copy = folder.resolve('bundle/${code.targetOS.dylibFileName('linnet')}');
  await Directory.fromUri(folder.resolve('bundle/')).create();
  await File(library).copy(copy.toFilePath());
  return copy;
}

Future<void> _run(String program, List<String> arguments) async {
  final done = await Process.run(program, arguments);
  if (done.exitCode != 0) {
    throw Exception('$program ${arguments.join(' ')} failed:\n${done.stdout}${done.stderr}');
  }
}
