"""Exports of the frameworks, small enough for the tree, give what the frameworks gave.

make.py makes them, and larger ones, for which `linnet check FOLDER...` does the same.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import conformance  # noqa: E402

if __name__ == "__main__":
    arguments = conformance.arguments_for(__doc__)
    cases = {model.parent.name: model.parent for model in (HERE / "models").glob("*/model.onnx")}
    sys.exit(conformance.hold_against_manifest(arguments, cases, HERE / "manifest.txt"))
