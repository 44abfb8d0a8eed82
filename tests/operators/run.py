"""Every type and every version that an operator's definition allows: cases made of ONNX's own, see typed_cases.py, and nodes
of every operator set, see old_forms.py, and docs/operators.md, which lists them. left_out.txt has the cases that cannot be, each with a reason."""

import fnmatch
import hashlib
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "onnx_nodes")]
import conformance  # noqa: E402
import old_forms  # noqa: E402
import operators_doc  # noqa: E402
import typed_cases  # noqa: E402
from materialise import materialise  # noqa: E402

LEAST = 3300  # cases that are made; fewer means that something was lost on the way


def typed(onnx_cases, destination):
    """The folders of all cases, made anew when the scripts change."""
    stamp = destination / "made_by"
    made_by = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(HERE.glob("*.py")))).hexdigest()
    if not stamp.exists() or stamp.read_text() != made_by:
        shutil.rmtree(destination, ignore_errors=True)
        for line in typed_cases.make(onnx_cases, destination / "typed"):
            print("not made:", line)
        old_forms.make(destination / "old")
        stamp.write_text(made_by)
    return {kind: {str(f.parent.relative_to(destination / kind)): f.parent for f in destination.glob(f"{kind}/**/model.onnx")}
            for kind in ("typed", "old")}


def main():
    arguments = conformance.arguments_for(__doc__)
    onnx_cases = conformance.ROOT / "build/onnx_tests"
    materialise(onnx_cases)
    cases = typed(onnx_cases, conformance.ROOT / "build/operator_cases")
    reasons = conformance.read_reasons(HERE / "left_out.txt")
    passed = failed = skipped = 0
    used = set()
    for kind, folders in cases.items():
        folders = {n: f for n, f in folders.items() if not arguments.case or any(part in n for part in arguments.case)}
        results = conformance.check_all(arguments.linnet, list(folders.values()), [])
        for name, folder in sorted(folders.items()):
            result = results.get(folder, {"status": "crash", "message": "no result"})
            passes = result["status"] == "pass" or kind == "old" and old_forms.accepted(result)
            pattern = next((p for p in reasons if fnmatch.fnmatchcase(name, p)), None)
            if pattern:
                used.add(pattern)
            if passes and not pattern:
                passed += 1
            elif pattern and not passes:
                skipped += 1
            else:
                failed += 1
                print(f"{name}: {result['status']}: {result.get('message', '')}" + (" (left_out.txt says why it fails)" if pattern else ""))
    if not arguments.case:
        for pattern in reasons.keys() - used:
            failed += 1
            print(f"left_out.txt: no case is called {pattern}")
        if len(cases["typed"]) < LEAST:
            failed += 1
            print(f"only {len(cases['typed'])} typed cases were made, not {LEAST}")
        if operators_doc.PAGE.read_text() == operators_doc.page(arguments.linnet):
            passed += 1
        else:
            failed += 1
            print("docs/operators.md is stale: python tests/operators/operators_doc.py writes it")
    for pattern, reason in reasons.items():
        print(f"left out: {pattern}: {reason}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
