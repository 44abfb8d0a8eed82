"""Fills a folder with small models to start fuzzing from: the onnx package's test cases, and those of further folders."""

import shutil
import sys
from pathlib import Path

import onnx

MAX_BYTES = 64 << 10

if __name__ == "__main__":
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    data = Path(onnx.__file__).parent / "backend/test/data"
    for folder in [data, *map(Path, sys.argv[2:])]:
        for model in sorted(folder.rglob("model.onnx")):
            if model.stat().st_size <= MAX_BYTES:
                shutil.copy(model, corpus / f"{model.parent.name}.onnx")
