/// As much of `package:code_assets` as hook/build.dart needs; see `package:hooks` beside it.
library;

import 'package:hooks/hooks.dart';

final class OS {
  OS(this.name);
  final String name;

  String dylibFileName(String library) => switch (name) {
        'windows' => '$library.dll',
        'macos' || 'ios' => 'lib$library.dylib',
        _ => 'lib$library.so',
      };
}

final class Architecture {
  Architecture(this.name);
  final String name;
}

final class CodeConfig {
  CodeConfig(this._json);
  final Json _json;

  OS get targetOS => OS(_json['target_os']! as String);
  Architecture get targetArchitecture => Architecture(_json['target_architecture']! as String);
}

extension CodeAssetHookConfig on HookConfig {
  bool get buildCodeAssets => (json['build_asset_types']! as List<Object?>).contains('code_assets/code');
  CodeConfig get code => CodeConfig((json['extensions']! as Json)['code_assets']! as Json);
}

final class DynamicLoadingBundled {}

final class CodeAsset {
  CodeAsset({required this.package, required this.name, required this.linkMode, required this.file});
  final String package;
  final String name;
  final DynamicLoadingBundled linkMode;
  final Uri? file;
}

extension CodeAssets on AssetsBuilder {
  CodeAssetsBuilder get code => CodeAssetsBuilder(this);
}

final class CodeAssetsBuilder {
  CodeAssetsBuilder(this._assets);
  final AssetsBuilder _assets;

  void add(CodeAsset asset) => _assets.json.add({
        'type': 'code_assets/code',
        'encoding': {
          'id': 'package:${asset.package}/${asset.name}',
          'file': asset.file?.toFilePath(),
          'link_mode': {'type': 'dynamic_loading_bundle'},
        },
      });
}
