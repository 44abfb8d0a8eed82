"""make_models.py FOLDER: the models of the tests."""

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

FOLDER = Path(sys.argv[1])
TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "string": 8, "bool": 9, "float16": 10,
    "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16, "float8e4m3fn": 17,
    "float8e4m3fnuz": 18, "float8e5m2": 19, "float8e5m2fnuz": 20, "uint4": 21, "int4": 22, "float4e2m1": 23,
}  # fmt: skip


def tensor(name, dtype=TensorProto.FLOAT, shape=("n",)):
    return helper.make_tensor_value_info(name, dtype, shape)


def save(name, nodes, inputs, outputs, opset=17, initializers=()):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=10)
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())


FOLDER.mkdir(parents=True, exist_ok=True)
node = helper.make_node
for name, dtype in TYPES.items():
    save(f"identity_{name}", [node("Identity", ["x"], ["y"])], [tensor("x", dtype, [None, 2])], [tensor("y", dtype, [None, 2])], 23)
save("add", [node("Add", ["a", "b"], ["y"]), node("Neg", ["y"], ["z"])], [tensor("a"), tensor("b")], [tensor("y"), tensor("z")])
save("neg", [node("Neg", ["x"], ["y"])], [tensor("x", shape=["batch", 3])], [tensor("y", shape=["batch", 3])])
body = helper.make_graph(
    [node("Identity", ["go"], ["go_on"]), node("MatMul", ["v", "v"], ["w"]), node("Tanh", ["w"], ["v_next"])], "body",
    [tensor("i", TensorProto.INT64, []), tensor("go", TensorProto.BOOL, []), tensor("v", shape=[64, 64])],
    [tensor("go_on", TensorProto.BOOL, []), tensor("v_next", shape=[64, 64])])  # fmt: skip
save("slow", [node("Loop", ["count", "", "x"], ["y"], body=body)],
     [tensor("count", TensorProto.INT64, []), tensor("x", shape=[64, 64])], [tensor("y", shape=[64, 64])])  # fmt: skip
sequence = helper.make_tensor_sequence_value_info
save("sequence", [node("SequenceInsert", ["s", "x"], ["t"])], [sequence("s", TensorProto.FLOAT, None), tensor("x", shape=None)],
     [sequence("t", TensorProto.FLOAT, None)])  # fmt: skip
port = helper.make_value_info("m", helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])))
save("vectorise", [node("DictVectorizer", ["m"], ["y"], domain="ai.onnx.ml", int64_vocabulary=[3, 5, 9])], [port], [tensor("y", shape=[None, 3])])
noise = np.random.default_rng(1)
weights = [helper.make_tensor(name, TensorProto.FLOAT, [128, 128], noise.normal(size=128 * 128)) for name in "wv"]
save("product", [node("MatMul", ["x", "w"], ["a"], name="first"), node("Relu", ["a"], ["b"]), node("MatMul", ["b", "v"], ["y"], name="second")],
     [tensor("x", shape=["n", 128])], [tensor("y", shape=["n", 128])], initializers=weights)  # fmt: skip
maps = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])))
save("zipmap", [node("ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["cat", "dog"])], [tensor("x", shape=[None, 2])],
     [helper.make_value_info("maps", maps)])  # fmt: skip
