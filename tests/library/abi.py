"""The binary interface of linnet.h as text: functions, sizes, offsets and numbers, one a line."""

import platform
import re
import subprocess
import tempfile
from pathlib import Path


def _declarations(header):
    """The header without comments, preprocessor lines and line breaks."""
    text = re.sub(r"/\*.*?\*/", " ", header, flags=re.DOTALL)
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\s+", " ", text)


def functions(header):
    found = re.findall(r"LINNET_API ([^;]*?\b(linnet_\w+) ?\(.*?\));", _declarations(header))
    return {name: signature for signature, name in found}


def _fields(body):
    """Names of a struct's fields, function pointers among them."""
    names = []
    for declaration in filter(None, (part.strip() for part in body.split(";"))):
        pointer = re.search(r"\(\*(\w+)\)", declaration)
        names += [pointer.group(1)] if pointer else [re.search(r"(\w+)$", part.strip()).group(1) for part in declaration.split(",")]
    return names


def lines(header, bits):
    """What the compiler makes of the header, on a system of so many bits."""
    text = _declarations(header)
    out = [f"function {signature}" for _, signature in sorted(functions(header).items())]
    body = []
    for struct, content in re.findall(r"typedef struct (\w+) \{(.*?)\} \w+;", text):
        body.append(f'printf("struct {struct} %zu\\n", sizeof({struct}));')
        for field in _fields(content):
            body.append(f'printf("field {struct}.{field} %zu %zu\\n", offsetof({struct}, {field}), sizeof((({struct}*)0)->{field}));')
    for enum, content in re.findall(r"typedef enum (\w+) LINNET_ENUM_BASE_ \{(.*?)\} \w+;", text):
        body.append(f'printf("enum {enum} %zu\\n", sizeof({enum}));')
        for name in re.findall(r"(LINNET_\w+) =", content):
            body.append(f'printf("number {name} %d\\n", {name});')
    program = "#include <linnet/linnet.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(body) + "\nreturn 0;\n}\n"
    include = Path(__file__).resolve().parent.parent.parent / "include"
    with tempfile.TemporaryDirectory() as scratch:
        executable = Path(scratch, "layout")
        subprocess.run(["gcc", *([f"-m{bits}"] if platform.machine() in ("x86_64", "i686") else []), "-x", "c", "-I", include, "-o", executable, "-"], input=program, text=True, check=True)
        out += subprocess.run([executable], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return out
