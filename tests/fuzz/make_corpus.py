"""Fills a folder with small models to start fuzzing from: those of the onnx package's test cases."""

import shutil
import sys
from pathlib import Path

import onnx

MAX_BYTES = 4096

if __name__ == "__main__":
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    data = Path(onnx.__file__).parent / "backend/test/data"
    for model in sorted(data.glob("*/*/model.onnx")):
        if model.stat().st_size <= MAX_BYTES:
            shutil.copy(model, corpus / f"{model.parent.name}.onnx")
