"""The Dart package on a real Dart VM, with the 32-bit library: its own tests, the examples as the READMEs print them, and
LanguageDetector against examples/detect.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import hook
import native_types
from dart_vm import dart_vm
from models import write_models

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "bindings/dart"
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.MULTILINE)
SCORE_TOLERANCE = 2.0  # per cent: see tests/demo/run.py


class Dart:
    """Runs Dart programs with the package and the library at hand."""

    def __init__(self, vm, scratch, library):
        packages = scratch / "package_config.json"
        version = re.search(r"sdk: \^(\d+\.\d+)", (PACKAGE / "pubspec.yaml").read_text())[1]
        packages.write_text(json.dumps({"configVersion": 2, "packages": [
            {"name": "linnet", "rootUri": PACKAGE.as_uri(), "packageUri": "lib/", "languageVersion": version}]}))
        self.scratch, self.command = scratch, [str(vm), f"--packages={packages}"]
        self.environment = {**os.environ, "LINNET_LIBRARY": str(library)}

    def run(self, program, *arguments, timeout=600):
        done = subprocess.run([*self.command, str(program), *map(str, arguments)], env=self.environment, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout


    def compiled(self, program):
        """The program in a form that starts at once."""
        kernel = self.scratch / f"{program.stem}.dill"
        subprocess.run([*self.command, "--snapshot-kind=kernel", f"--snapshot={kernel}", str(program)], check=True, timeout=600)
        return kernel


def printed_examples(readme):
    return [block for block in re.findall(r"^```dart\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)
            if " main(" in block]


def check_readme(dart, scratch, models):
    """The README's example is the package's, and every program that a README prints runs as it is."""
    example = (PACKAGE / "example/linnet_example.dart").read_text()
    first, = printed_examples(ROOT / "README.md")
    assert first == example, "README.md and bindings/dart/example/linnet_example.dart differ"
    for number, program in enumerate([first, *printed_examples(PACKAGE / "README.md")]):
        path = scratch / f"printed_{number}.dart"
        path.write_text(program)
        code, output = dart.run(path, models / "steps.onnx")
        assert code == 0, output
        if "quantize" in program:
            assert "nodes quantised" in output, output
            continue
        if number == 0:
            code, maps = dart.run(path, models / "to_maps.onnx")
            assert code == 0 and "y: [{cat: 0.0, dög: 0.0}]" in maps, maps
        assert "y: float32 [2, 1] (-0.0, -0.0)" in output and "z: float32 [2, 1] (0.0, 0.0)" in output, output


def check_exit(dart, models):
    """A process may end while runs are under way, and while models are written."""
    runs, writing = (dart.compiled(PACKAGE / f"test/exit_during_{name}.dart") for name in ("runs", "writing"))
    for program, *call in ([runs], [writing, "static"], [writing, "dynamic"], [writing, "optimize"], [writing, "compile"], [writing, "tune"]):
        for milliseconds in (0, 2, 10, 50, 150):
            code, output = dart.run(program, models, milliseconds, *call)
            assert code == 7 and not output, f"{program.stem} {call}: exit code {code} after {milliseconds} ms\n{output}"
            for search in models.glob("never*.*"):  # tune goes on with one that was interrupted only where it is asked to
                if search.is_dir():
                    shutil.rmtree(search)
        if "static" in call:
            assert not list(models.glob("never*")), "a file is left"


def check_overhead(dart, models):
    """What a run costs beside the same run in C; the program knows its limits."""
    code, output = dart.run(PACKAGE / "test/overhead.dart", models)
    print(output.strip())
    assert code == 0, "over the limits"


def check_detector(dart, detect):
    """LanguageDetector gives the answers of examples/detect."""
    model = Path(os.environ.get("LINNET_CACHE", Path.home() / ".cache/linnet")) / "magika-1.0.3"
    subprocess.run([sys.executable, ROOT / "examples/detect/fetch_model.py", model], check=True)
    snippets = sorted((ROOT / "examples/detect/snippets").iterdir())
    expected = json.loads(subprocess.run([detect, model, "--json", *snippets], check=True, stdout=subprocess.PIPE).stdout)
    code, output = dart.run(PACKAGE / "example/detect_language.dart", model, *snippets)
    assert code == 0, output
    found = dict(re.findall(r"^(.*?): .*, (\S+ \([\d.]+ %\))$", output, re.MULTILINE))
    for answer in expected:
        label, score = re.fullmatch(r"(\S+) \(([\d.]+) %\)", found.get(answer["path"], "nothing (0 %)")).groups()
        assert label == answer["label"] and abs(float(score) - 100 * answer["score"]) < SCORE_TOLERANCE, \
            f"{answer['path']}: {label} {score} %, expected {answer}"
    assert len(expected) >= 50, f"{len(expected)} snippets are too few"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet")
    parser.add_argument("--library", type=Path, default=ROOT / "build/i386/liblinnet.so")
    parser.add_argument("--only", default="", help="tests whose name has this")
    arguments = parser.parse_args()
    if not arguments.library.exists():
        print(f"{arguments.library} is not there; ./dev build i386 --target liblinnet.so builds it")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    cache = Path(os.environ.get("LINNET_CACHE", Path.home() / ".cache/linnet"))
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        models = scratch / "models"
        models.mkdir()
        write_models(models)
        vm = dart_vm(cache)
        dart = Dart(vm, scratch, arguments.library)
        code, output = dart.run(PACKAGE / "test/linnet_test.dart", models, arguments.only)
        counts = SUMMARY.findall(output)
        passed, failed, skipped = map(int, counts[-1]) if counts else (0, 1, 0)
        if code != 0 and not failed:
            failed = 1
        if failed:
            print(re.sub(r"^ok  .*\n", "", output, flags=re.MULTILINE))
        checks = {"the examples as printed": lambda: check_readme(dart, scratch, models),
                  "native.dart on every system": lambda: native_types.check(ROOT / "include/linnet/linnet.h", PACKAGE / "lib/src/native.dart"),
                  "the build hook": lambda: hook.check(vm, scratch),
                  "exit during runs": lambda: check_exit(dart, models),
                  "overhead": lambda: check_overhead(dart, models),
                  "LanguageDetector": lambda: check_detector(dart, arguments.linnet.with_name("detect"))}
        for name, check in checks.items():
            if arguments.only not in name:
                continue
            try:
                check()
                passed += 1
            except Exception:
                failed += 1
                print(f"FAILED  {name}\n{traceback.format_exc()}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
