"""What liblinnet.so shows and needs: exports, libraries at run time, size."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MAY_NEED = re.compile(r"(libc|libm|libstdc\+\+|libgcc_s|ld-linux[-\w]*)\.so\.\d+")
MOST_BYTES = 5_000_000


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def exports(library):
    names = [line.split()[-1].split("@")[0] for line in output("nm", "-D", "--defined-only", library).splitlines()]
    return [f"exports {name}" for name in names if not name.startswith("linnet_")] or ([] if names else ["exports nothing"])


def declared(library):
    """Every function of linnet.h is there."""
    header = (ROOT / "include/linnet/linnet.h").read_text()
    names = set(re.findall(r"^LINNET_API[^;(]*?\b(linnet_\w+)\s*\(", header, re.MULTILINE))
    return [f"lacks {name}" for name in sorted(names - set(re.findall(r"\blinnet_\w+", output("nm", "-D", "--defined-only", library))))]


def needs(library):
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", library))
    return [f"needs {name} at run time" for name in needed if not MAY_NEED.fullmatch(name)]


def size(library):
    with tempfile.NamedTemporaryFile() as stripped:
        output("strip", "-o", stripped.name, library)
        count = Path(stripped.name).stat().st_size
    return [f"is {count} bytes stripped, more than {MOST_BYTES}"] if count > MOST_BYTES else []


def c_header(_):
    """The header is plain C."""
    command = ["gcc", "-std=c99", "-pedantic-errors", "-Wall", "-Werror", "-fsyntax-only", "-x", "c", "-I", ROOT / "include", "-"]
    done = subprocess.run(command, input="#include <linnet/linnet.h>\n", text=True, capture_output=True)
    return ["linnet.h is not C99: " + done.stderr.splitlines()[0]] if done.returncode else []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet")
    library = parser.parse_args().linnet.with_name("liblinnet.so")
    checks = [exports, declared, needs, size, c_header]
    failures = {check.__name__: found for check in checks if (found := check(library))}
    for name, found in failures.items():
        print("\n".join(f"{name}: liblinnet.so {line}" for line in found[:10]))
    print(f"{len(checks) - len(failures)} passed, {len(failures)} failed, 0 skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
