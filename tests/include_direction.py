"""Fails where an include runs against the order of the floors (docs/architecture.md)."""

import re
import sys
from pathlib import Path

# What the files of a folder of src/ may include, beside their own folder. "load" stands for the files directly in src/.
KNOWS = {
    "base": [],
    "tensor": ["base"],
    "kernels": ["base"],
    "onnx": ["base", "tensor"],
    "graph": ["base", "tensor", "onnx"],
    "ops": ["base", "tensor", "kernels", "graph"],
    "infer": ["base", "tensor", "graph", "ops"],
    "optimize": ["base", "tensor", "kernels", "graph", "ops", "infer"],
    "plan": ["base", "tensor", "kernels", "graph", "ops", "infer"],
    "run": ["base", "tensor", "kernels", "graph", "ops", "infer", "plan"],
    "compiled": ["base", "tensor", "onnx", "graph", "plan"],
    "load": ["base", "tensor", "kernels", "onnx", "graph", "ops", "infer", "optimize", "plan", "run", "compiled"],
    "quality": ["base", "tensor"],
    "quantize": ["base", "tensor", "kernels", "onnx", "graph", "ops", "infer", "optimize", "plan", "run", "load", "quality"],
    "tune": ["base", "tensor", "kernels", "graph", "ops", "optimize", "plan", "run", "load", "quantize", "quality"],
    "c_api": ["base", "tensor", "kernels", "onnx", "graph", "ops", "infer", "optimize", "plan", "run", "load", "quantize", "quality", "tune", "linnet"],
}
# In these folders only the named files may include onnx/: the graph does not know the format it came from.
ONNX_ONLY_IN = {"graph": re.compile(r"builder|export|onnx")}

# Examples are written as somebody outside this tree would: over the public headers.
EXAMPLES_KNOW = re.compile(r"linnet/")

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def backward_arrows(src):
    for path in sorted(p for p in src.rglob("*") if p.suffix in {".h", ".cpp", ".inc"}):
        relative = path.relative_to(src)
        folder = relative.parts[0] if len(relative.parts) > 1 else "load"
        for include in INCLUDE.findall(path.read_text(encoding="utf-8")):
            target = include.split("/")[0] if "/" in include else "load"
            if target == folder or target == "hwy":
                continue
            if folder not in KNOWS:
                yield f"src/{relative}: the folder '{folder}' is missing in the table of tests/include_direction.py"
                break
            if target not in KNOWS[folder]:
                yield f"src/{relative} includes {include}, but {folder} knows only: {', '.join(KNOWS[folder]) or 'itself'}"
            elif target == "onnx" and folder in ONNX_ONLY_IN and not ONNX_ONLY_IN[folder].search(path.name):
                yield f"src/{relative} includes {include}, which in {folder} only what builds from and exports to a file may"


def examples_that_reach_inside(examples):
    for path in sorted(p for p in examples.rglob("*") if p.suffix in {".h", ".cpp"} and "snippets" not in p.parts):
        for include in INCLUDE.findall(path.read_text(encoding="utf-8")):
            if "/" in include and not EXAMPLES_KNOW.match(include):
                yield f"{path.relative_to(examples.parent)} includes {include}, which is not a public header"


def main():
    root = Path(__file__).resolve().parent.parent
    found = [*backward_arrows(root / "src"), *examples_that_reach_inside(root / "examples")]
    print("\n".join(found))
    print(f"{0 if found else 1} passed, {len(found)} failed, 0 skipped")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
