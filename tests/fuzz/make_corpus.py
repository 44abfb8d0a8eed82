"""Fills a folder with small models to start fuzzing from: the onnx package's test cases, those of further folders, and
cases that tests/differential draws, which cover what the package's tests leave out.

For hostile_models.py, a folder beside it has the tests' inputs: tensors, each after its length.
"""

import importlib
import pkgutil
import shutil
import struct
import sys
from pathlib import Path

import onnx

MAX_BYTES = 64 << 10
DRAWN = 3  # cases of each generator


def write_tensors(tensors, to):
    encoded = [tensor.SerializeToString() for tensor in tensors]
    if encoded:
        to.write_bytes(b"".join(struct.pack("<I", len(e)) + e for e in encoded))


def test_inputs(case, model):
    ports = [port.name for port in model.graph.input]
    for path in case.glob("test_data_set_0/input_*.pb"):
        number = int(path.stem.removeprefix("input_"))
        if path.stat().st_size > MAX_BYTES or number >= len(ports) or not model.graph.input[number].type.HasField("tensor_type"):
            continue
        tensor = onnx.TensorProto.FromString(path.read_bytes())
        tensor.name = ports[number]
        yield tensor


def drawn_cases():
    """Name, model and inputs."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "differential"))
    import case
    import cases

    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"cases.{module.name}")
    for generator in sorted(case.GENERATORS):
        for seed in range(DRAWN):
            try:
                made = case.make_case(generator, seed)
            except case.Refused:
                continue
            tensors = [case.constant(k, v) for k, v in made.inputs.items() if not isinstance(v, list)]
            yield f"{generator.replace('/', '_')}_{seed}", made.model, tensors


if __name__ == "__main__":
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    inputs = corpus.with_name(corpus.name + "_inputs")
    inputs.mkdir(parents=True, exist_ok=True)
    data = Path(onnx.__file__).parent / "backend/test/data"
    for folder in [data, *map(Path, sys.argv[2:])]:
        for path in sorted(folder.rglob("model.onnx")):
            if path.stat().st_size > MAX_BYTES:
                continue
            name = path.parent.name
            shutil.copy(path, corpus / f"{name}.onnx")
            model = onnx.load(str(path), load_external_data=False)
            write_tensors(test_inputs(path.parent, model), inputs / f"{name}.inputs")
    for name, model, tensors in drawn_cases():
        encoded = model.SerializeToString()
        if len(encoded) <= MAX_BYTES:
            (corpus / f"{name}.onnx").write_bytes(encoded)
            write_tensors(tensors, inputs / f"{name}.inputs")
