"""ONNX's own test cases (operators, small graphs, and the "light" models) against the manifest beside this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import conformance  # noqa: E402
from materialise import materialise  # noqa: E402

if __name__ == "__main__":
    arguments = conformance.arguments_for(__doc__)
    cases = materialise(conformance.ROOT / "build/onnx_tests")
    here = Path(__file__).resolve().parent
    sys.exit(conformance.hold_against_manifest(arguments, cases, here / "manifest.txt", here / "left_out.txt"))
