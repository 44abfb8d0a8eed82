"""bindings/python: builds its wheel over the library that was built, installs it aside, and runs its tests with pytest."""

import argparse
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from call_costs import costs  # noqa: E402

PACKAGE = ROOT / "bindings/python"
COUNTS = re.compile(r"(\d+) (passed|failed|skipped|errors?)\b")


def call(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout[-4000:])
        print("0 passed, 1 failed, 0 skipped")
        sys.exit(1)
    return done.stdout


def install(library, build):
    """The folder with the installed package."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheels, site = build / "wheels", build / "site"
    for old in wheels.glob("*.whl"):
        old.unlink()
    call(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, PACKAGE,
         "--config-settings", f"build-dir={build / 'cmake'}",
         "--config-settings", f"cmake.define.LINNET_LIBRARY={library.resolve()}")  # fmt: skip
    call(*pip, "install", "--no-deps", "--no-index", "--upgrade", "--target", site, *wheels.glob("*.whl"))
    return site


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet")
    parser.add_argument("pytest", nargs="*")
    arguments = parser.parse_args()
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        print("no Python.h for this interpreter; ./dev setup installs it")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    library = arguments.linnet.with_name("liblinnet.so")
    site = install(library, library.parent / "python")
    environment = dict(os.environ, PYTHONPATH=str(site), LINNET_TEST_MODELS=str(library.parent / "python/models"),
                       LINNET_COSTS=costs(arguments.linnet, library.parent / "python"))  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", PACKAGE, PACKAGE / "tests"]
    done = subprocess.run([*map(str, command), *arguments.pytest], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=environment, cwd=PACKAGE / "tests")  # fmt: skip
    counts = {kind.rstrip("s") if kind.startswith("error") else kind: int(count) for count, kind in COUNTS.findall(done.stdout.splitlines()[-1])}
    failed = counts.get("failed", 0) + counts.get("error", 0) or int(done.returncode != 0)
    kept = [line for line in done.stdout.splitlines() if line.startswith("measured")] if not failed else [done.stdout[-6000:]]
    print("\n".join(kept))
    print(f"{counts.get('passed', 0)} passed, {failed} failed, {counts.get('skipped', 0)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
