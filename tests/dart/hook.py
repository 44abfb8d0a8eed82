"""hook/build.dart on the Dart VM, through its protocol: JSON in, JSON out. check(VM, SCRATCH)."""

import json
import os
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent.parent / "bindings/dart"
FAKES = Path(__file__).with_name("hook_packages")
LIBRARY_NAMES = {"linux": "liblinnet.so", "android": "liblinnet.so", "macos": "liblinnet.dylib", "ios": "liblinnet.dylib", "windows": "linnet.dll"}
# What the protocol demands beside the target's name.
OF_SYSTEM = {"android": {"android": {"target_ndk_api": 30}}, "macos": {"macos": {"target_version": 13}}, "ios": {"ios": {"target_sdk": "iphoneos", "target_version": 13}}}
# Stands for CMake: leaves a library behind the names of its versions, and its own arguments.
CMAKE = """#!/bin/sh
echo "$@" >> "{log}"
[ "$1" = --build ] || exit 0
mkdir -p "$2" && echo library > "$2/liblinnet.so.0.1.0"
ln -sf liblinnet.so.0.1.0 "$2/liblinnet.so.1" && ln -sf liblinnet.so.1 "$2/liblinnet.so"
"""


class Hook:
    def __init__(self, vm, scratch, packages):
        self.scratch = scratch
        config = scratch / "hook_packages.json"
        config.write_text(packages or json.dumps({"configVersion": 2, "packages": [
            {"name": name, "rootUri": (FAKES / name).as_uri(), "packageUri": "lib/", "languageVersion": "3.7"} for name in ("hooks", "code_assets")]}))
        self.command = [str(vm), f"--packages={config}", str(PACKAGE / "hook/build.dart")]

    def run(self, root, target, defines=None, types=("code_assets/code",), path=""):
        """The file of the asset, relative to the root, or None; and all dependencies. Or what it says when it fails."""
        system, architecture = target.split("_")
        shared, out = self.scratch / "shared", self.scratch / "output.json"
        shared.mkdir(exist_ok=True)
        out.unlink(missing_ok=True)
        given = {
            "package_name": "linnet", "package_root": f"{root}/", "out_dir_shared": f"{shared}/", "out_file": str(out),
            "config": {"build_asset_types": list(types), "linking_enabled": False, "extensions": {"code_assets": {
                "link_mode_preference": "dynamic", "target_os": system, "target_architecture": architecture, **OF_SYSTEM.get(system, {})}}},
        }  # fmt: skip
        if defines:
            given["user_defines"] = {"workspace_pubspec": {"base_path": str(self.scratch / "app/pubspec.yaml"), "defines": defines}}
        (self.scratch / "input.json").write_text(json.dumps(given))
        environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
        done = subprocess.run([*self.command, f"--config={self.scratch / 'input.json'}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        if done.returncode:
            return done.stdout
        told = json.loads(out.read_text())
        assets = [asset["encoding"] for asset in told.get("assets", [])]
        assert len(assets) < 2 and told.get("status", "success") == "success", told
        if not assets:
            return None, []
        assert assets[0]["id"] == "package:linnet/src/native.dart" and assets[0]["link_mode"] == {"type": "dynamic_loading_bundle"}, told
        assert assets[0]["file"] in told["dependencies"], told
        return Path(assets[0]["file"]), [Path(name) for name in told["dependencies"]]


def made(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("library\n")
    return path


def check(vm, scratch, packages=""):
    """`packages`: a package configuration, where the packages `hooks` and `code_assets` are at hand."""
    hook = Hook(vm, scratch, packages)
    root = scratch / "linnet"
    (root / "hook").mkdir(parents=True)
    assert hook.run(root, "linux_x64") == (None, []), "nothing is there"

    named = made(scratch / "app/native/own.so")
    defines = {"library_android_arm64": "native/phone.so", "library": "native/own.so"}
    assert hook.run(root, "linux_x64", defines)[0] == named
    failed = hook.run(root, "android_arm64", defines)
    assert isinstance(failed, str) and "phone.so" in failed and "is not there" in failed, failed
    phone = made(scratch / "app/native/phone.so")
    assert hook.run(root, "android_arm64", defines)[0] == phone
    assert hook.run(root, "linux_x64", defines, types=()) == (None, []), "no code is asked for"

    for target in ("linux_x64", "android_arm64", "macos_arm64", "windows_x64", "ios_arm64"):
        prebuilt = made(root / "prebuilt" / target / LIBRARY_NAMES[target.split("_")[0]])
        assert hook.run(root, target)[0] == prebuilt, target
    assert hook.run(root, "linux_x64", defines)[0] == named, "a named library goes before"

    tree = scratch / "tree"
    package, log = tree / "bindings/dart", scratch / "cmake.log"
    package.mkdir(parents=True)
    sources = {made(tree / name) for name in ("CMakeLists.txt", "src/load.cpp", "src/ops/conv.cpp")}
    made(tree / "include/linnet/linnet.h")
    made(scratch / "bin/cmake").write_text(CMAKE.format(log=log))
    (scratch / "bin/cmake").chmod(0o755)
    assert hook.run(package, "linux_arm64", path=scratch / "bin") == (None, []), "of another machine"
    file, dependencies = hook.run(package, "linux_ia32", path=scratch / "bin")  # that of the VM
    assert file.name == "liblinnet.so" and not file.is_symlink() and file.read_text() == "library\n", file
    assert sources <= set(dependencies), dependencies
    configured, built = log.read_text().splitlines()
    assert f"-S {tree}" in configured and "-DLINNET_BUILD_TESTS=OFF" in configured and "--target linnet" in built, log.read_text()
    (scratch / "bin/cmake").write_text("#!/bin/sh\necho no compiler\nexit 1\n")
    failed = hook.run(package, "linux_ia32", path=scratch / "bin")
    assert isinstance(failed, str) and "no compiler" in failed, failed
