"""examples/detect against the magika package on ONNX Runtime: the same labels over many files of many languages."""

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from magika import Magika

ROOT = Path(__file__).resolve().parent.parent.parent
LEAST_FILES, LEAST_LABELS = 200, 30
# Where a file is mostly padding, the model divides by a variance that is nothing but rounding: ONNX Runtime's own score
# of such a file changes by more than 0.01 with the number of files in a batch.
SCORE_TOLERANCE = 0.02
# Files that a Debian system has; every one of them is optional, so that the test runs on any machine.
SYSTEM_GLOBS = {
    "/usr/include": "*.h", "/usr/include/c++": "**/*", "/usr/lib/python3": "**/*.py", "/usr/lib/python3.11": "*.py",
    "/usr/share/perl": "**/*.pm", "/usr/share/cmake-3.25/Modules": "*.cmake", "/usr/share/aclocal": "*.m4", "/usr/bin": "*",
    "/usr/share/doc": "*/copyright", "/etc": "*.conf", "/usr/share/zoneinfo/Europe": "*", "/usr/share/icons": "**/*.svg",
    "/usr/lib/x86_64-linux-gnu": "*.so", "/usr/share/mime": "*", "/usr/share/i18n/locales": "*",
}
PER_GLOB = 12


def variants(text):
    yield "whole", text
    yield "half", text[: len(text) // 2]
    yield "tail", text[-len(text) // 3 :]
    yield "dos", text.replace(b"\n", b"\r\n")
    yield "indented", b" \n\t" * 900 + text + b"\n" * 700
    yield "long", text * (12_000 // len(text) + 1)


def edge_cases():
    noise = random.Random(1)
    letters = b"The quick brown fox jumps over the lazy dog. "
    yield "empty", b""
    for size in (1, 7, 8, 9, 1023, 1024, 1025, 2047, 2048, 4095, 4096, 4097, 8192, 8193):
        yield f"text_{size}", (letters * 200)[:size]
        yield f"noise_{size}", noise.randbytes(size)
    yield "few_bytes_not_utf8", b"\xff\xfe\x00"
    yield "few_bytes_utf8", "äöü".encode()
    for name, few in {"surrogate": b"\xed\xa0\x80", "overlong": b"\xc0\xaf", "past_the_last": b"\xf4\x90\x80\x80", "cut": b"\xe2\x82"}.items():
        yield f"few_bytes_{name}", few
    for size in (100, 4096, 5000, 10_000):
        yield f"whitespace_{size}", b" \t\n\r\v\f"[:6] * (size // 6)
        yield f"whitespace_then_few_{size}", b" " * size + b"abc"
        yield f"few_then_whitespace_{size}", b"abc" + b"\n" * size
        yield f"whitespace_then_code_{size}", b"\n" * size + b"import os\n\nprint(os.getcwd())\n" * 3
    yield "block_cuts_a_character", b" " * 4095 + "ä".encode() + b" " * 5000
    yield "zeros", bytes(5000)
    yield "gzip", gzip.compress(letters * 50, mtime=0)


def corpus(scratch):
    contents = [(path.name, path.read_bytes()) for path in sorted((ROOT / "examples/detect/snippets").iterdir())]
    for name, text in contents:
        for variant, changed in variants(text):
            path = scratch / f"{variant}-{name}"
            path.write_bytes(changed)
            yield path
    for name, content in edge_cases():
        path = scratch / f"edge-{name}"
        path.write_bytes(content)
        yield path
    archive = scratch / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "text")
    yield from [archive, scratch, Path("/dev/null")]
    for folder, pattern in SYSTEM_GLOBS.items():
        found = sorted(p for p in Path(folder).glob(pattern) if p.is_file() and os.access(p, os.R_OK))
        yield from found[:: max(1, len(found) // PER_GLOB)][:PER_GLOB]


def labels_of_package(paths):
    magika = Magika()
    answers = {}
    for start in range(0, len(paths), 64):
        for result in magika.identify_paths(paths[start : start + 64]):
            answers[str(result.path)] = (str(result.output.label), result.score)
    return answers


def labels_of_example(detect, paths):
    model = Path(os.environ["LINNET_CACHE"]) / "magika-1.0.3"
    subprocess.run([sys.executable, ROOT / "examples/detect/fetch_model.py", model], check=True)
    done = subprocess.run([detect, model, "--json", *paths], stdout=subprocess.PIPE)
    if done.returncode != 0:
        return {}
    return {answer["path"]: (answer["label"], answer["score"]) for answer in json.loads(done.stdout)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet")
    detect = parser.parse_args().linnet.with_name("detect")
    os.environ.setdefault("LINNET_CACHE", str(Path.home() / ".cache/linnet"))
    with tempfile.TemporaryDirectory() as scratch:
        paths = list(dict.fromkeys(corpus(Path(scratch))))
        expected = labels_of_package(paths)
        found = labels_of_example(detect, paths)
    failures = []
    for path, (label, score) in expected.items():
        own_label, own_score = found.get(path, ("nothing", 0))
        if own_label != label or abs(own_score - score) > SCORE_TOLERANCE:
            failures.append(f"{path}: {own_label} ({own_score:.4f}), the package says {label} ({score:.4f})")
    for option in "-h", "--help":
        said = subprocess.run([ROOT / "demo", option], capture_output=True, text=True)
        if said.returncode != 0 or not said.stdout.startswith("usage: ./demo ") or said.stderr:
            failures.append(f"./demo {option}: {said.stdout}{said.stderr}")
    labels = {label for label, _ in expected.values()}
    if len(expected) < LEAST_FILES or len(labels) < LEAST_LABELS:
        failures.append(f"{len(expected)} files of {len(labels)} types are too few to tell")
    print("\n".join([f"{len(expected)} files of {len(labels)} types", *failures]))
    print(f"{len(expected) - len(failures)} passed, {len(failures)} failed, 0 skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
