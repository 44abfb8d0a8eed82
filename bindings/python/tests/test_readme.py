"""The examples of the README run; the package is typed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import through

import linnet

README = Path(__file__).resolve().parent.parent / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def test_there_are_examples():
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("code", EXAMPLES)
def test_example(code, tmp_path):
    (tmp_path / "model.onnx").write_bytes(through("Neg", shape=["batch", 3]))
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_types_are_shipped():
    folder = Path(linnet.__file__).parent
    assert (folder / "py.typed").exists()
    stub = (folder / "_native.pyi").read_text()
    assert "class OrtValue" in stub and "def from_dlpack" in stub
