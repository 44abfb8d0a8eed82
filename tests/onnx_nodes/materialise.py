"""Lays the test cases of the pinned onnx wheel out as folders that `linnet check` reads.

    DESTINATION/<kind>/<case>/model.onnx, test_data_set_<k>/{input,output}_<i>.pb, meta.json (rtol, atol)

The data sets of the "light" models, of which the wheel has the graph and the output, are made as its own runner makes them:
an input counts up from 0 to 1.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

VERSION = "1.22.0"
# What the wheel is known to hold, without the training domain. Fewer means that something was lost on the way.
EXPECTED = {"node": 1758, "simple": 21, "pytorch-converted": 82, "pytorch-operator": 35, "light": 9}
DEFAULT_TOLERANCE = {"rtol": 1e-3, "atol": 1e-7}  # of the wheel's own runner
TRAINING_DOMAIN = b"ai.onnx.preview.training"


def write_proto(array, path):
    path.write_bytes(numpy_helper.from_array(array).SerializeToString())


def counting_up(value_info):
    shape = [dim.dim_value for dim in value_info.type.tensor_type.shape.dim]
    count = int(np.prod(shape))
    return (np.arange(count).reshape(shape) / count).astype(np.float32)


def copy_case(source, destination):
    shutil.copytree(source, destination)
    own = json.loads((source / "data.json").read_text()) if (source / "data.json").exists() else {}
    tolerance = {key: own.get(key, default) for key, default in DEFAULT_TOLERANCE.items()}
    (destination / "meta.json").write_text(json.dumps(tolerance))


def light_case(data, description, destination):
    """`description`: a data.json under real/, whose url names a model under light/."""
    own = json.loads(description.read_text())
    model_path = data / "light" / Path(own["url"]).name
    sets = destination / "test_data_set_0"
    sets.mkdir(parents=True)
    shutil.copy(model_path, destination / "model.onnx")
    graph = onnx.load(model_path).graph
    initialized = {tensor.name for tensor in graph.initializer}
    for i, value_info in enumerate(v for v in graph.input if v.name not in initialized):
        write_proto(counting_up(value_info), sets / f"input_{i}.pb")
    for i in range(len(graph.output)):
        shutil.copy(model_path.with_name(f"{model_path.stem}_output_{i}.pb"), sets / f"output_{i}.pb")
    tolerance = {key: own.get(key, default) for key, default in DEFAULT_TOLERANCE.items()}
    (destination / "meta.json").write_text(json.dumps(tolerance))


def materialise(destination):
    """Name -> folder of every case. Raises where the wheel holds fewer than expected."""
    stamp = destination / "complete"
    if not stamp.exists():
        if onnx.__version__ != VERSION:
            raise RuntimeError(f"onnx {VERSION} is needed (tests/requirements.txt), not {onnx.__version__}")
        shutil.rmtree(destination, ignore_errors=True)
        data = Path(onnx.__file__).parent / "backend/test/data"
        for kind in EXPECTED.keys() - {"light"}:
            for model in sorted((data / kind).glob("*/model.onnx")):
                if TRAINING_DOMAIN not in model.read_bytes():
                    copy_case(model.parent, destination / kind / model.parent.name)
        for description in sorted((data / "real").glob("*/data.json")):
            light_case(data, description, destination / "light" / description.parent.name)
    cases = {f"{f.parent.parent.name}/{f.parent.name}": f.parent for f in destination.glob("*/*/model.onnx")}
    for kind, expected in EXPECTED.items():
        found = sum(name.startswith(f"{kind}/") for name in cases)
        if found < expected:
            raise RuntimeError(f"only {found} of {expected} '{kind}' cases found; delete {destination} and try again")
    stamp.touch()
    return cases


if __name__ == "__main__":
    print(len(materialise(Path(sys.argv[1]))), "cases in", sys.argv[1])
