"""Models that the tests run, made with onnx.helper."""

import gc
import os
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import linnet
from linnet import _native

ROOT = Path(__file__).resolve().parents[3]
SHARED_MODELS = Path(os.environ.get("LINNET_SHARED", ROOT / "../shared")) / "models"


def model_bytes(nodes, inputs, outputs, initializers=(), opset=17, **about):
    graph = helper.make_graph(nodes, "graph", list(inputs), list(outputs), list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=10, **about)
    helper.set_model_props(model, {"made by": "a test"})
    return model.SerializeToString()


def tensor(name, dtype=TensorProto.FLOAT, shape=("n",)):
    return helper.make_tensor_value_info(name, dtype, shape)


def through(op="Identity", dtype=TensorProto.FLOAT, shape=None, opset=17):
    """y = op(x)."""
    return model_bytes([helper.make_node(op, ["x"], ["y"])], [tensor("x", dtype, shape)], [tensor("y", dtype, shape)], opset=opset)


@pytest.fixture
def add():
    """y = a + b of float32[n, 3]; z = -y."""
    nodes = [helper.make_node("Add", ["a", "b"], ["y"]), helper.make_node("Neg", ["y"], ["z"])]
    shape = ["n", 3]
    return model_bytes(nodes, [tensor("a", shape=shape), tensor("b", shape=shape)], [tensor("y", shape=shape), tensor("z", shape=shape)],
                       producer_name="tests", doc_string="adds")  # fmt: skip


@pytest.fixture(scope="session")
def slow():
    """A loop that runs for minutes unless it is stopped."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("MatMul", ["v", "v"], ["w"]), helper.make_node("Tanh", ["w"], ["v_next"])],
        "body", [tensor("i", TensorProto.INT64, []), tensor("go", TensorProto.BOOL, []), tensor("v", shape=[64, 64])],
        [tensor("go_on", TensorProto.BOOL, []), tensor("v_next", shape=[64, 64])])  # fmt: skip
    return model_bytes([helper.make_node("Loop", ["count", "", "x"], ["y"], body=body)],
                       [tensor("count", TensorProto.INT64, []), tensor("x", shape=[64, 64])], [tensor("y", shape=[64, 64])])  # fmt: skip


@pytest.fixture
def slow_feed():
    return {"count": np.array(10**8, np.int64), "x": np.eye(64, dtype=np.float32)}


@pytest.fixture(autouse=True)
def nothing_leaks():
    linnet._session.default_engine()
    gc.collect()
    before = _native.open_handles()
    yield
    deadline = time.monotonic() + 30  # what was cancelled lets go of its handles once it has noticed
    while True:
        gc.collect()
        if _native.open_handles() <= before or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    assert _native.open_handles() <= before
