"""Suites of cases: functions that get a folder of their own, and pass unless they raise; False says that one was skipped."""

import argparse
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def arguments_of(doc):
    """A parser of what every such suite takes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help="only cases whose name has one of these parts")
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet")
    return parser


def run_cases(jobs, parts, context):
    """`jobs`: names and functions. Each function gets context(folder). The exit code."""
    passed = failed = skipped = 0
    for name, function in jobs:
        if parts and not any(part in name for part in parts):
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                if function(context(Path(folder))) is False:
                    skipped += 1
                else:
                    passed += 1
            except Exception:
                failed += 1
                print(f"{name}:\n{traceback.format_exc(limit=-4)}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0
