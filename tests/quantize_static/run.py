"""`linnet quantize static` on small models made here, with ONNX Runtime as the judge of what it writes."""

import sys
from pathlib import Path

import tool
from cases import CASES

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import suite_cases  # noqa: E402


def main():
    arguments = suite_cases.arguments_of(__doc__).parse_args()
    tool.LINNET = str(arguments.linnet.resolve())
    jobs = [(f.__name__, f) for f in CASES]
    return suite_cases.run_cases(jobs, arguments.part, lambda folder: folder)


if __name__ == "__main__":
    sys.exit(main())
