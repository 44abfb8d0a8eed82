"""What liblinnet.so shows and needs: exports, binary interface, libraries at run time, size; and programs over an installed one."""

import argparse
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import abi

ROOT = Path(__file__).resolve().parent.parent.parent
HEADER = ROOT / "include/linnet/linnet.h"
MAY_NEED = re.compile(r"(libc|libm|libstdc\+\+|libgcc_s|ld-linux[-\w]*)\.so\.\d+")
MOST_BYTES = 5_000_000


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def exports(library):
    names = [line.split()[-1].split("@")[0] for line in output("nm", "-D", "--defined-only", library).splitlines()]
    return [f"exports {name}" for name in names if not name.startswith("linnet_")] or ([] if names else ["exports nothing"])


def declared(library):
    """Every function of linnet.h is there."""
    names = set(abi.functions(HEADER.read_text()))
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


def bits_of(library):
    return 32 if "ELF32" in output("readelf", "-h", library) else 64


def interface(library):
    """Functions, sizes, offsets and numbers are those of the committed list."""
    bits = bits_of(library)
    listed = Path(__file__).with_name(f"abi_{bits}.txt")
    before = listed.read_text().splitlines() if listed.exists() else []
    changes = [line for line in difflib.unified_diff(before, abi.lines(HEADER.read_text(), bits), lineterm="", n=0) if re.match(r"[-+](?![-+])", line)]
    return [f"differs from {listed.name}: {line}" for line in changes] + (
        ["after a wanted change: tests/library/run.py --update-abi"] if changes else [])


def exact_exports(library):
    """No function beyond the header's."""
    names = set(re.findall(r"\b(linnet_\w+)", output("nm", "-D", "--defined-only", library)))
    return [f"exports {name}, which linnet.h does not declare" for name in sorted(names - set(abi.functions(HEADER.read_text())))]


def printed_program(document, language):
    text = (ROOT / document).read_text()
    return re.search(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE).group(1)


def write_model(path):
    """y = relu(x) of any shape."""
    import onnx

    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10), path)


def write_values_model(path):
    """Outputs that are no tensors: a list, and a classifier's list of maps."""
    import onnx
    from onnx import helper

    tensor = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(onnx.TensorProto.STRING, tensor))
    outputs = [helper.make_tensor_sequence_value_info("list", onnx.TensorProto.FLOAT, None), helper.make_value_info("scores", maps)]
    nodes = [
        helper.make_node("SequenceConstruct", ["x", "x"], ["list"]),
        helper.make_node("ZipMap", ["x"], ["scores"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"]),
    ]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])], outputs)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def write_image_model(folder):
    """image.onnx takes i.pgm, and model.onnx x.npy."""
    import numpy
    import onnx

    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 1, 1]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10), folder / "image.onnx")
    (folder / "i.pgm").write_bytes(b"P5 1 1 255\n\xff")
    numpy.save(folder / "x.npy", numpy.ones((3, 2), numpy.float32))


def consumer(library):
    """Projects outside the tree find, build and run against an installed library: by CMake and by pkg-config. The command line decodes images there."""
    if bits_of(library) != 64:
        return []
    with tempfile.TemporaryDirectory() as scratch:
        prefix, project, build, model = (Path(scratch, name) for name in ("prefix", "project", "build", "model.onnx"))
        shutil.copytree(Path(__file__).with_name("consumer"), project)
        (project / "program.c").write_text(printed_program("docs/c-api.md", "c"))
        (project / "quickstart.cpp").write_text(printed_program("README.md", "cpp"))
        write_values_model(values := Path(scratch, "values.onnx"))
        write_model(model)
        write_image_model(Path(scratch))
        pkg_config = prefix / "lib/pkgconfig"
        flags = f"$(PKG_CONFIG_PATH={pkg_config} pkg-config --cflags --libs linnet) -Wl,-rpath,{prefix}/lib"
        steps = [
            f"cmake --install {library.parent} --prefix {prefix}",
            f"cmake -S {project} -B {build} -DCMAKE_PREFIX_PATH={prefix} -DCMAKE_BUILD_TYPE=Release",
            f"cmake --build {build}",
            f"test -f {prefix}/lib/liblinnet_image.so",
            f"{prefix}/bin/linnet run {model} --input x={scratch}/x.npy",
            f"cd / && PATH={prefix}/bin linnet run {scratch}/image.onnx --input x={scratch}/i.pgm",
            f"test \"$({build}/consumer_c {model})\" = \"$(printf '1\\n2')\"",
            f"test \"$({build}/consumer_cpp {model})\" = \"$(printf '1\\n2')\"",
            f"gcc -std=c99 -Wall -Wextra -Wno-missing-field-initializers -Werror {project}/program.c {flags} -o {scratch}/c",
            f"{scratch}/c {model}",
            f"g++ -std=c++20 -Wall -Wextra -Werror {project}/program.cpp {flags} -o {scratch}/cpp",
            f"{scratch}/cpp {model}",
            f"g++ -std=c++20 -Wall -Wextra -Werror {project}/quickstart.cpp {flags} -o {scratch}/quickstart",
            f"test \"$({scratch}/quickstart {model})\" = 'y: 1 2  first 0'",
            f"! g++ -std=c++17 {project}/quickstart.cpp {flags} -o {scratch}/old 2>{scratch}/said && grep -q 'needs C++20' {scratch}/said",
            f"test \"$({scratch}/quickstart {values})\" = \"$(printf 'list: no tensor, count 2\\nscores: no tensor, count 1')\"",
        ]
        for step in steps:
            done = subprocess.run(step, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "LC_ALL": "C"})
            if done.returncode:
                return [f"consumer: {step}\n{done.stdout}"]
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet")
    parser.add_argument("--update-abi", action="store_true", help="write the lists of the binary interface anew")
    arguments = parser.parse_args()
    if arguments.update_abi:
        for bits in (32, 64):
            Path(__file__).with_name(f"abi_{bits}.txt").write_text("\n".join(abi.lines(HEADER.read_text(), bits)) + "\n")
        return 0
    library = arguments.linnet.with_name("liblinnet.so")
    checks = [exports, declared, exact_exports, interface, needs, size, c_header, consumer]
    failures = {check.__name__: found for check in checks if (found := check(library))}
    for name, found in failures.items():
        print("\n".join(f"{name}: liblinnet.so {line}" for line in found[:10]))
    print(f"{len(checks) - len(failures)} passed, {len(failures)} failed, 0 skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
