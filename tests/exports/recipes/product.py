"""What a recipe makes, and how it is written: the layout of ONNX's model tests, with a meta.json beside the model."""

import dataclasses
import json
import shutil
import zlib
from typing import Any, Callable

import numpy as np
import onnx
from onnx import numpy_helper


@dataclasses.dataclass
class Product:
    """A model, a list of inputs for each data set (in the order of the graph's) and the outputs that the framework gave."""

    model: onnx.ModelProto
    cases: list[list[Any]]
    expected: list[list[Any]]
    exporter: str
    expected_from: str
    rtol: float = 1e-3
    atol: float = 1e-4


@dataclasses.dataclass
class Recipe:
    name: str
    what: str
    build: Callable[[], Product]


RECIPES: dict[str, Recipe] = {}


def recipe(name, what):
    def add(build):
        assert name not in RECIPES, f"two recipes are called {name}"
        RECIPES[name] = Recipe(name, what, build)
        return build

    return add


def seed_of(name):
    return zlib.crc32(name.encode()) & 0x7FFFFFFF


def fed(model):
    """The graph's inputs that have no initializer."""
    given = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in given]


def write(made, product, folder):
    """Returns the bytes written."""
    inputs, outputs = fed(product.model), list(product.model.graph.output)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(product.model.SerializeToString(deterministic=True))
    for k, (case, expected) in enumerate(zip(product.cases, product.expected, strict=True)):
        place = folder / f"test_data_set_{k}"
        place.mkdir()
        for kind, infos, values in ("input", inputs, case), ("output", outputs, expected):
            for i, (info, value) in enumerate(zip(infos, values, strict=True)):
                proto = numpy_helper.from_list(value, info.name) if isinstance(value, list) else numpy_helper.from_array(np.asarray(value), info.name)
                (place / f"{kind}_{i}.pb").write_bytes(proto.SerializeToString(deterministic=True))
    meta = {"what": made.what, "exporter": product.exporter, "expected_from": product.expected_from, "rtol": product.rtol, "atol": product.atol}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check_lively(product):
    """Refuses numbers that are not finite or hardly differ: they would show nothing."""
    for expected in product.expected:
        for info, value in zip(product.model.graph.output, expected):
            value = np.asarray(value)
            if value.dtype.kind == "f" and value.size > 1:
                assert np.isfinite(value).all(), f"output {info.name} is not finite"
                assert value.std() > 1e-4, f"output {info.name} is nearly constant"


def difference_to_onnxruntime(product):
    """Empty where ONNX Runtime, unoptimised, agrees with the framework; it is no judge, but tells a broken export."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    names = [value.name for value in fed(product.model)]
    try:
        session = onnxruntime.InferenceSession(product.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for k, (case, expected) in enumerate(zip(product.cases, product.expected)):
            for info, ours, theirs in zip(product.model.graph.output, session.run(None, dict(zip(names, case))), expected):
                if np.asarray(theirs).dtype.kind not in "fiub" or isinstance(theirs, list):
                    if list(np.asarray(ours, object).ravel()) != list(np.asarray(theirs, object).ravel()):
                        return f"set {k}, {info.name}: other values"
                elif ours.shape != theirs.shape or ours.dtype != theirs.dtype:
                    return f"set {k}, {info.name}: {ours.dtype}{ours.shape} for {theirs.dtype}{theirs.shape}"
                elif not np.allclose(ours, theirs, product.rtol, product.atol):
                    return f"set {k}, {info.name}: {np.abs(ours.astype(float) - theirs.astype(float)).max():.3g} off"
    except Exception as error:  # its exceptions have no common base
        return str(error).splitlines()[0][:200]
    return ""
