"""bindings/node: builds the addon over the library that was built, and runs its tests with node --test and the TypeScript compiler."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from call_costs import costs  # noqa: E402

PACKAGE = ROOT / "bindings/node"


def call(*command, **options):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        print(done.stdout[-4000:])
        print("0 passed, 1 failed, 0 skipped")
        sys.exit(1)


def build(library, folder):
    """Packages come from the network only when they are missing."""
    lock, installed = PACKAGE / "package-lock.json", PACKAGE / "node_modules/.lock"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        call("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=PACKAGE)
        shutil.copyfile(lock, installed)
    call("cmake", "-S", PACKAGE, "-B", folder, "-G", "Ninja", f"-DLINNET_LIBRARY={library.resolve()}")
    call("cmake", "--build", folder, "--target", "linnet_node")


def check_package(folder):
    """The packed package, installed without the network or scripts, runs a model with the addon that it carries."""
    call("node", PACKAGE / "prebuild.js", folder)
    with tempfile.TemporaryDirectory() as project:
        environment = {name: value for name, value in os.environ.items() if name != "LINNET_NODE_ADDON"}
        call("npm", "pack", "--ignore-scripts", "--pack-destination", project, cwd=PACKAGE)
        (Path(project) / "package.json").write_text("{}")
        call("npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", *Path(project).glob("*.tgz"), cwd=project)
        model = next(folder.glob("models/*.onnx"))
        call("node", "-e", f"require('linnet').InferenceSession.create({str(model)!r}).then((s) => s.release())", cwd=project, env=environment)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet")
    linnet = parser.parse_args().linnet
    library = linnet.with_name("liblinnet.so")
    if not shutil.which("node") or not shutil.which("npm"):
        print("no node and npm; ./dev setup installs them")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    folder = library.parent / "node"
    build(library, folder)
    call(sys.executable, PACKAGE / "test/make_models.py", folder / "models")
    compiled = subprocess.run([PACKAGE / "node_modules/.bin/tsc", "--noEmit", "--strict", "--target", "es2022", "--module", "commonjs",
                               "--lib", "es2022,dom", PACKAGE / "test/types.ts"], capture_output=True, text=True)  # fmt: skip
    environment = dict(os.environ, LINNET_NODE_ADDON=str(folder / "linnet.node"), LINNET_TEST_MODELS=str(folder / "models"), FORCE_COLOR="0",
                       LINNET_COSTS=costs(linnet, folder))  # fmt: skip
    tests = sorted((PACKAGE / "test").glob("*.test.js"))
    done = subprocess.run(["node", "--expose-gc", "--test", *tests], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=environment, cwd=PACKAGE)  # fmt: skip
    check_package(folder)
    counts = {name: int(count) for name, count in re.findall(r"^(?:#|ℹ) (pass|fail|skipped) (\d+)$", done.stdout, re.MULTILINE)}
    failed = counts.get("fail", 0) or int(done.returncode != 0)
    for line in compiled.stdout.splitlines():
        print("index.d.ts:", line)
    kept = [line.lstrip("# ") for line in done.stdout.splitlines() if "measured:" in line]
    print(done.stdout[-8000:] if failed else "\n".join(kept))
    failed += compiled.returncode != 0
    print(f"{counts.get('pass', 0) + (compiled.returncode == 0) + 1} passed, {failed} failed, {counts.get('skipped', 0)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
