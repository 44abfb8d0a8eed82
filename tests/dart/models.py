"""Small models for the tests of the Dart package: write_models(FOLDER)."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def value(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def sequence(name, dtype):
    return helper.make_tensor_sequence_value_info(name, dtype, None)


def typed(name, build):
    info = onnx.ValueInfoProto(name=name)
    build(info.type)
    return info


def map_type(type_proto):
    type_proto.map_type.key_type = TensorProto.STRING
    type_proto.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    type_proto.map_type.value_type.tensor_type.shape.SetInParent()


def model(nodes, inputs, outputs, opset=25, ml=False):
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("ai.onnx.ml", 3)] if ml else [])
    graph = helper.make_graph(nodes, "graph", inputs, outputs)
    made = helper.make_model(graph, opset_imports=opsets, producer_name="linnet tests")
    made.ir_version = 13 if opset == 25 else 8
    helper.set_model_props(made, {"author": "Zoë"})
    return made


def slow():
    """`times` products of a matrix with itself, one after the other."""
    body = helper.make_graph(
        [helper.make_node("MatMul", ["m", "m"], ["product"]), helper.make_node("Identity", ["go"], ["still"])], "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("m", TensorProto.FLOAT, [128, 128])],
        [value("still", TensorProto.BOOL, []), value("product", TensorProto.FLOAT, [128, 128])])
    return model([helper.make_node("Loop", ["times", "", "x"], ["y"], name="repeat", body=body)],
                 [value("times", TensorProto.INT64, []), value("x", TensorProto.FLOAT, [128, 128])],
                 [value("y", TensorProto.FLOAT, [128, 128])], opset=17)


def dense():
    """y = Relu(x W) V."""
    noise = np.random.default_rng(1)
    made = model([helper.make_node("MatMul", ["x", "w"], ["a"], name="first"), helper.make_node("Relu", ["a"], ["b"]),
                  helper.make_node("MatMul", ["b", "v"], ["y"], name="second")],
                 [value("x", TensorProto.FLOAT, ["n", 128])], [value("y", TensorProto.FLOAT, ["n", 128])], opset=17)
    made.graph.initializer.extend(numpy_helper.from_array(noise.normal(size=(128, 128)).astype(np.float32), name) for name in "wv")
    return made


def outside():
    """y = x + w, whose elements [1, 2] are in a file "weights.bin" that is not there."""
    made = model([helper.make_node("Add", ["x", "w"], ["y"])], [value("x", TensorProto.FLOAT, [2])], [value("y", TensorProto.FLOAT, [2])], opset=17)
    weights = made.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="weights.bin")
    return made


def write_models(folder):
    floats = TensorProto.FLOAT
    models = {
        "twice": model([helper.make_node("Add", ["x", "x"], ["y"], name="add")],
                       [value("x", floats, ["count"])], [value("y", floats, ["count"])], opset=17),
        "steps": model([helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Neg", ["h"], ["y"]),
                        helper.make_node("Abs", ["x"], ["z"])],
                       [value("x", floats, [2, "n"])], [value("y", floats, [2, "n"]), value("z", floats, [2, "n"])], opset=17),
        "product": model([helper.make_node("MatMul", ["a", "b"], ["c"], name="mul")],
                         [value("a", floats, ["m", "k"]), value("b", floats, ["l", "n"])], [value("c", floats, ["m", "n"])], opset=17),
        "dense": dense(),
        "outside": outside(),
        "fixed": model([helper.make_node("Neg", ["x"], ["y"])], [value("x", floats, [2, 3])], [value("y", floats, [2, 3])], opset=17),
        "upper": model([helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action="UPPER")],
                       [value("x", TensorProto.STRING, ["n"])], [value("y", TensorProto.STRING, ["n"])], opset=17),
        "collect": model([helper.make_node("SequenceConstruct", ["a", "b"], ["s"])],
                         [value("a", floats, ["n"]), value("b", floats, ["m"])], [sequence("s", floats)], opset=17),
        "pick": model([helper.make_node("SequenceAt", ["s", "i"], ["y"])],
                      [sequence("s", floats), value("i", TensorProto.INT64, [])], [value("y", floats, None)], opset=17),
        "to_maps": model([helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["cat", "dög"])],
                         [value("x", floats, ["n", 2])],
                         [typed("y", lambda t: map_type(t.sequence_type.elem_type))], opset=17, ml=True),
        "from_map": model([helper.make_node("DictVectorizer", ["x"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a", "b", "c"])],
                          [typed("x", map_type)], [value("y", floats, [1, 3])], opset=17, ml=True),
        "has_element": model([helper.make_node("OptionalHasElement", ["x"], ["y"])],
                             [typed("x", lambda t: t.optional_type.elem_type.tensor_type.__setattr__("elem_type", floats))],
                             [value("y", TensorProto.BOOL, [])], opset=18),
        "slow": slow(),
    }
    for number in range(1, 27):  # onnx.TensorProto.DataType
        info = value("x", number, ["n"]), value("y", number, ["n"])
        models[f"identity_{number}"] = model([helper.make_node("Identity", ["x"], ["y"])], [info[0]], [info[1]])
    for name, made in models.items():
        onnx.save(made, folder / f"{name}.onnx")
