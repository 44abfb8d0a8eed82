/// As much of `package:hooks` as hook/build.dart needs, for where pub.dev is out of reach: what the protocol's JSON says,
/// as https://github.com/dart-lang/native/tree/main/pkgs/hooks documents it.
library;

import 'dart:convert';
import 'dart:io';

typedef Json = Map<String, Object?>;

final class BuildInput {
  BuildInput(this.json);
  final Json json;

  Uri _folder(String name) => Uri.directory(json[name]! as String);
  String get packageName => json['package_name']! as String;
  Uri get packageRoot => _folder('package_root');
  Uri get outputDirectoryShared => _folder('out_dir_shared');
  HookConfig get config => HookConfig(json['config']! as Json);
  UserDefines get userDefines => UserDefines((json['user_defines'] as Json?)?['workspace_pubspec'] as Json?);
}

final class HookConfig {
  HookConfig(this.json);
  final Json json;
}

final class UserDefines {
  UserDefines(this._source);
  final Json? _source;

  Uri? path(String key) => switch ((_source?['defines'] as Json?)?[key]) {
        final String path => Uri.file(_source!['base_path']! as String).resolve(path),
        _ => null,
      };
}

final class BuildOutputBuilder {
  final List<Uri> dependencies = [];
  final AssetsBuilder assets = AssetsBuilder();
}

final class AssetsBuilder {
  final List<Json> json = [];
}

Future<void> build(
    List<String> arguments, Future<void> Function(BuildInput input, BuildOutputBuilder output) builder) async {
  final path = arguments.single.substring('--config='.length);
  final input = BuildInput(jsonDecode(File(path).readAsStringSync()) as Json);
  final output = BuildOutputBuilder();
  await builder(input, output);
  File(input.json['out_file']! as String).writeAsStringSync(jsonEncode({
    'assets': output.assets.json,
    'dependencies': [for (final uri in output.dependencies) uri.toFilePath()],
    'status': 'success',
  }));
}
