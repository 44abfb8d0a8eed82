"""`linnet quantize static` on small models made here, with ONNX Runtime as the judge of what it writes."""

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

import tool
from cases import CASES


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--linnet", default="build/release/linnet")
    parser.add_argument("names", nargs="*", help="run only cases whose name contains one of these")
    args = parser.parse_args()
    tool.LINNET = str(Path(args.linnet).resolve())
    passed, failed = 0, 0
    for case in CASES:
        if args.names and not any(name in case.__name__ for name in args.names):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            try:
                case(Path(scratch))
                passed += 1
            except Exception:
                failed += 1
                print(f"{case.__name__}:\n{traceback.format_exc()}")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
