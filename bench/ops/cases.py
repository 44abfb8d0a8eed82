"""What bench/ops measures: a case or more an operator, with the sizes that the benchmark panel's models have.

Weights, scales and the like are constants; what a layer before would compute is an input.
"""

import dataclasses

import numpy as np
import onnx
from case import TYPE_NAMES, constant
from linnet_c import number_of
from onnx import helper

# (operator, case) -> why it may be slower than the limit.
EXCEPT = {
    ("AveragePool", "128 2x2/2 56"): "reorders a channels-first input and output; between convolutions nothing is reordered",
    ("MaxPool", "64 3x3/2 112"): "reorders a channels-first input and output; between convolutions nothing is reordered",
    ("Resize", "256x20x20 x2 nearest"): "short channels-first rows; between convolutions whole pixels are copied",
    ("Col2Im", "64x28x28 3x3"): "adds rows without AVX: the type is any number's, and the operator is rare",
    ("DynamicQuantizeLSTM", "64 steps, 128"): "exact, where theirs saturates without VNNI; each step is short",
    ("CDist", "100x64 euclidean"): "sums differences, where theirs multiplies matrices and cancels for rows that are near",
    **{(op, "128x768"): "counts its numbers, so that any number of threads draws the same; theirs follow from one another"
       for op in ("RandomNormalLike", "RandomUniformLike", "Bernoulli")},
    ("RegexFullMatch", "1000 words"): "simulates the automaton in linear time; RE2 caches its states",
}

CASES = []  # (operator, name, function): arrays live only while their case runs


@dataclasses.dataclass
class Case:
    operator: str
    name: str
    data: bytes
    inputs: dict


def data(seed, *shape, low=-1.0, high=1.0, dtype=np.float32):
    rng = np.random.Generator(np.random.PCG64(seed))
    if np.dtype(dtype).kind in "iu":
        return rng.integers(low, high, shape, dtype=dtype, endpoint=True)
    return rng.uniform(low, high, shape).astype(dtype)


def ints(*values):
    return np.array(values, np.int64)


def text(shape):
    words = np.array(["the", "quick", "Brown", "fox", "jumps"], object)
    return words[np.random.Generator(np.random.PCG64(0)).integers(0, 5, shape)]


def add(operator, name, inputs, attributes=None, free=1, outputs=1, opset=21, domain="", frees=None):
    """inputs: a function that makes them, None for one left out. The first `free`, or those in `frees`, are inputs of the model;
    the others are constants."""

    def make():
        made = inputs()
        names = [f"in{i}" if array is not None else "" for i, array in enumerate(made)]
        open_ = set(range(free) if frees is None else frees)
        ports = [helper.make_tensor_value_info(names[i], number_of(array), array.shape) for i, array in enumerate(made) if i in open_ and array is not None]
        outs = [f"out{i}" for i in range(outputs)]
        graph = helper.make_graph(
            [helper.make_node(operator, names, outs, domain=domain, **(attributes or {}))], "case", ports,
            [onnx.ValueInfoProto(name=out) for out in outs],
            [constant(names[i], array) for i, array in enumerate(made) if i not in open_ and array is not None],
        )  # fmt: skip
        imports = [helper.make_opsetid("", opset if domain == "" else 21)] + ([helper.make_opsetid(domain, opset)] if domain else [])
        model = helper.make_model(graph, opset_imports=imports, ir_version=10)
        return Case(operator, name, model.SerializeToString(), {names[i]: array for i, array in enumerate(made) if i in open_ and array is not None})

    CASES.append((operator, name, make))


# --- elementwise: a layer of BERT-base (128 tokens), a feature map of ResNet-50
for op in ["Abs", "Neg", "Relu", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSigmoid",
           "HardSwish", "Elu", "Selu", "Celu", "LeakyRelu", "ThresholdedRelu", "Mish", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Atan", "Asinh", "Shrink", "IsNaN", "IsInf"]:  # fmt: skip
    add(op, "128x768", lambda op=op: [data(1, 128, 768, low=0.1 if op in ("Log", "Sqrt") else -3, high=3)], opset=21)
for op in ["Acos", "Asin", "Atanh"]:
    add(op, "128x768", lambda: [data(1, 128, 768, low=-0.9, high=0.9)])
add("Acosh", "128x768", lambda: [data(1, 128, 768, low=1.1, high=9)])
add("Gelu", "128x3072", lambda: [data(1, 128, 3072, low=-3, high=3)])
add("Gelu", "128x3072 tanh", lambda: [data(1, 128, 3072, low=-3, high=3)], {"approximate": "tanh"})
add("Clip", "1x96x112x112 to 6", lambda: [data(1, 1, 96, 112, 112, low=-3, high=9), np.float32(0).reshape(()), np.float32(6).reshape(())])
for op in ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "PRelu"]:
    add(op, "128x768", lambda: [data(1, 128, 768, low=0.5, high=2), data(2, 128, 768, low=0.5, high=2)], free=2)
for op in ["Add", "Mul"]:
    add(op, "1x64x56x56 per channel", lambda: [data(1, 1, 64, 56, 56), data(2, 64, 1, 1)])
    add(op, "128x768 row", lambda: [data(1, 128, 768), data(2, 768)])
    add(op, "int64 1x128", lambda: [data(1, 1, 128, low=0, high=99, dtype=np.int64), data(2, 1, 128, low=0, high=99, dtype=np.int64)], free=2)
add("Add", "mask 1x12x128x128", lambda: [data(1, 1, 12, 128, 128), data(2, 1, 1, 1, 128)], free=2)
add("Pow", "128x768 squared", lambda: [data(1, 128, 768), np.float32(2).reshape(())])
add("Mod", "int64 4096", lambda: [data(1, 4096, low=0, high=9999, dtype=np.int64), ints(64)])
add("Div", "int64 4096", lambda: [data(1, 4096, low=0, high=9999, dtype=np.int64), ints(64)])
for op in ["Sum", "Mean"]:
    add(op, "3 of 128x768", lambda: [data(i, 128, 768) for i in range(3)], free=3)
for op in ["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"]:
    add(op, "128x768", lambda: [data(1, 128, 768), data(2, 128, 768)], free=2)
    add(op, "int64 1x1x128x128", lambda: [data(1, 1, 1, 128, 128, low=0, high=9, dtype=np.int64), data(2, 1, 1, 1, 128, low=0, high=9, dtype=np.int64)], free=2)
for op in ["And", "Or", "Xor"]:
    add(op, "1x1x128x128", lambda: [data(1, 1, 1, 128, 128) > 0, data(2, 1, 1, 128, 128) > 0], free=2)
add("Not", "1x1x128x128", lambda: [data(1, 1, 1, 128, 128) > 0])
for op in ["BitwiseAnd", "BitwiseOr", "BitwiseXor"]:
    add(op, "int32 65536", lambda: [data(1, 65536, low=0, high=999, dtype=np.int32), data(2, 65536, low=0, high=999, dtype=np.int32)], free=2)
add("BitwiseNot", "int32 65536", lambda: [data(1, 65536, low=0, high=999, dtype=np.int32)])
add("BitShift", "uint32 65536", lambda: [data(1, 65536, low=0, high=999, dtype=np.uint32), np.array(3, np.uint32)], {"direction": "LEFT"})
add("Where", "1x12x128x128", lambda: [data(1, 1, 1, 128, 128) > 0, data(2, 1, 12, 128, 128), np.float32(-1e9).reshape(())], free=2)
add("Where", "128x768", lambda: [data(1, 128, 768) > 0, data(2, 128, 768), data(3, 128, 768)], free=3)
for source, target in [("float", "float16"), ("float16", "float"), ("int64", "float"), ("float", "int64"), ("bool", "float"), ("int32", "int64"), ("uint8", "float"), ("float", "bool"), ("float", "bfloat16"), ("float", "uint8")]:
    kinds = {"float": np.float32, "float16": np.float16, "int64": np.int64, "int32": np.int32, "uint8": np.uint8, "bool": np.bool_}
    add("Cast", f"128x768 {source} to {target}", lambda source=source: [data(1, 128, 768, low=0, high=100).astype(kinds[source])], {"to": TYPE_NAMES[target]})

# --- reductions and normalisation
for op in ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"]:
    add(op, "128x768 last", lambda: [data(1, 1, 128, 768, low=0.9, high=1.1), ints(-1)])
    add(op, "1x128x768 middle", lambda: [data(1, 1, 128, 768, low=0.9, high=1.1), ints(1)])
add("ReduceMean", "1x64x56x56 plane", lambda: [data(1, 1, 64, 56, 56), ints(2, 3)])
add("ReduceMax", "int64 1x1024", lambda: [data(1, 1, 1024, low=0, high=999, dtype=np.int64), ints(1)])
for op in ["ArgMax", "ArgMin"]:
    add(op, "1x30522 last", lambda: [data(1, 1, 30522)], {"axis": -1})
    add(op, "1x21x65x65 channels", lambda: [data(1, 1, 21, 65, 65)], {"axis": 1})
add("CumSum", "int64 1x128", lambda: [data(1, 1, 128, low=0, high=1, dtype=np.int64), np.array(1, np.int64)])
add("CumSum", "64x4096", lambda: [data(1, 64, 4096), np.array(1, np.int64)])
for op in ["Softmax", "LogSoftmax"]:
    add(op, "1x12x128x128", lambda: [data(1, 1, 12, 128, 128, low=-5, high=5)], {"axis": -1})
    add(op, "1x1000", lambda: [data(1, 1, 1000, low=-5, high=5)], {"axis": -1})
add("Softmax", "1x16x4x400 channels", lambda: [data(1, 1, 16, 4, 400, low=-5, high=5)], {"axis": 1})
add("Hardmax", "128x768", lambda: [data(1, 128, 768)], {"axis": -1})
add("LpNormalization", "1x512", lambda: [data(1, 128, 512)], {"axis": -1})
add("MeanVarianceNormalization", "1x3x224x224", lambda: [data(1, 1, 3, 224, 224)], {"axes": [0, 2, 3]})
add("LayerNormalization", "128x768", lambda: [data(1, 1, 128, 768), data(2, 768), data(3, 768)], {"axis": -1})
add("RMSNormalization", "128x2048", lambda: [data(1, 1, 128, 2048), data(2, 2048)], {"axis": -1}, opset=23)
add("InstanceNormalization", "1x64x56x56", lambda: [data(1, 1, 64, 56, 56), data(2, 64), data(3, 64)])
add("BatchNormalization", "1x64x56x56", lambda: [data(1, 1, 64, 56, 56), data(2, 64), data(3, 64), data(4, 64), data(5, 64, low=0.5)])
add("GroupNormalization", "1x320x32x32", lambda: [data(1, 1, 320, 32, 32), data(2, 320), data(3, 320)], {"num_groups": 32})
add("LRN", "1x96x27x27", lambda: [data(1, 1, 96, 27, 27)], {"size": 5})
add("SkipLayerNormalization", "128x768", lambda: [data(1, 1, 128, 768), data(2, 1, 128, 768), data(3, 768), data(4, 768)], free=2, opset=1, domain="com.microsoft")
add("BiasGelu", "128x3072", lambda: [data(1, 1, 128, 3072), data(2, 3072)], opset=1, domain="com.microsoft")
add("FastGelu", "128x3072", lambda: [data(1, 1, 128, 3072), data(2, 3072)], opset=1, domain="com.microsoft")
add("QuickGelu", "50x3072", lambda: [data(1, 1, 50, 3072)], opset=1, domain="com.microsoft")

# --- products
add("MatMul", "128x768 768x768", lambda: [data(1, 128, 768), data(2, 768, 768)])
add("MatMul", "8x768 768x3072", lambda: [data(1, 8, 768), data(2, 768, 3072)])
add("MatMul", "1x1280 1280x1000", lambda: [data(1, 1, 1280), data(2, 1280, 1000)])
add("MatMul", "1x12x128x64 1x12x64x128", lambda: [data(1, 1, 12, 128, 64), data(2, 1, 12, 64, 128)], free=2)
add("MatMul", "1x12x128x128 1x12x128x64", lambda: [data(1, 1, 12, 128, 128), data(2, 1, 12, 128, 64)], free=2)
add("MatMul", "double 64x64", lambda: [data(1, 64, 64, dtype=np.float64), data(2, 64, 64, dtype=np.float64)], free=2)
add("Gemm", "1x2048 1000x2048", lambda: [data(1, 1, 2048), data(2, 1000, 2048), data(3, 1000)], {"transB": 1})
add("Gemm", "64x512 512x512", lambda: [data(1, 64, 512), data(2, 512, 512), data(3, 512)])
add("FusedMatMul", "1x12x128x64 transB", lambda: [data(1, 1, 12, 128, 64), data(2, 1, 12, 128, 64)], {"transB": 1, "alpha": 0.125}, free=2, opset=1, domain="com.microsoft")
add("Einsum", "bhid,bhjd->bhij", lambda: [data(1, 1, 12, 128, 64), data(2, 1, 12, 128, 64)], {"equation": "bhid,bhjd->bhij"}, free=2)
add("Det", "100x3x3", lambda: [data(1, 100, 3, 3)])


# Functions of elements one after the other: (operator, name of the second operand or None) on what the last one gave.
def chain(name, shape, steps, constants):
    def make():
        x = data(1, *shape)
        nodes = [helper.make_node(op, [f"t{i}", *([other] if other else [])], [f"t{i + 1}"]) for i, (op, other) in enumerate(steps)]
        graph = helper.make_graph(nodes, "chain", [helper.make_tensor_value_info("t0", number_of(x), x.shape)], [onnx.ValueInfoProto(name=f"t{len(steps)}")], [constant(n, a) for n, a in constants.items()])  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        return Case("Elementwise", name, model.SerializeToString(), {"t0": x})

    CASES.append(("Elementwise", name, make))


for shape in [(128, 768), (2048, 2048)]:
    size = "x".join(map(str, shape))
    chain(f"{size} 5 of arithmetic", shape, [("Mul", "a"), ("Add", "b"), ("Sub", "a"), ("Mul", "b"), ("Abs", None)], {"a": np.float32(1.1), "b": np.float32(0.2)})
    chain(f"{size} rows, then Tanh", shape, [("Mul", "w"), ("Add", "v"), ("Tanh", None)], {"w": data(2, shape[1]), "v": data(3, shape[1])})


def conv(name, x, w, attributes, bias=True, op="Conv", free=1):
    add(op, name, lambda: [data(1, *x), data(2, *w)] + ([data(3, w[0] if op == "Conv" else w[1] * attributes.get("group", 1))] if bias else []), attributes, free=free)


conv("3->64 7x7/2 224", (1, 3, 224, 224), (64, 3, 7, 7), {"strides": [2, 2], "pads": [3] * 4})
conv("64->64 3x3 56", (1, 64, 56, 56), (64, 64, 3, 3), {"pads": [1] * 4})
conv("512->512 3x3 7", (1, 512, 7, 7), (512, 512, 3, 3), {"pads": [1] * 4})
conv("256->64 1x1 56", (1, 256, 56, 56), (64, 256, 1, 1), {})
conv("24->144 1x1 56", (1, 24, 56, 56), (144, 24, 1, 1), {})
conv("128->128 3x3/2 56", (1, 128, 56, 56), (128, 128, 3, 3), {"strides": [2, 2], "pads": [1] * 4})
conv("256->64 3x3 14 dilated by 12", (1, 256, 14, 14), (64, 256, 3, 3), {"pads": [12] * 4, "dilations": [12, 12]})
conv("depthwise 144 3x3 56", (1, 144, 56, 56), (144, 1, 3, 3), {"pads": [1] * 4, "group": 144})
conv("depthwise 240 5x5 28", (1, 240, 28, 28), (240, 1, 5, 5), {"pads": [2] * 4, "group": 240})
conv("32 groups 128 3x3 56", (1, 128, 56, 56), (128, 4, 3, 3), {"pads": [1] * 4, "group": 32})
conv("1-D 80->384 k3 1500", (1, 80, 1500), (384, 80, 3), {"pads": [1, 1]})
conv("1-D depthwise 256 k31 100", (1, 256, 100), (256, 1, 31), {"pads": [15, 15], "group": 256})
conv("3-D 16->16 3x3x3 16", (1, 16, 16, 16, 16), (16, 16, 3, 3, 3), {"pads": [1] * 6})
conv("256->128 2x2/2 28", (1, 256, 28, 28), (256, 128, 2, 2), {"strides": [2, 2]}, op="ConvTranspose")
conv("1-D 256->128 k16/8 100", (1, 256, 100), (256, 128, 16), {"strides": [8], "pads": [4, 4]}, op="ConvTranspose")
add("DeformConv", "64->64 3x3 28", lambda: [data(1, 1, 64, 28, 28), data(2, 64, 64, 3, 3), data(3, 1, 18, 28, 28)], {"pads": [1] * 4}, frees=[0, 2])
add("MaxPool", "64 3x3/2 112", lambda: [data(1, 1, 64, 112, 112)], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4})
add("MaxPool", "256 5x5 20", lambda: [data(1, 1, 256, 20, 20)], {"kernel_shape": [5, 5], "pads": [2] * 4})
add("AveragePool", "128 2x2/2 56", lambda: [data(1, 1, 128, 56, 56)], {"kernel_shape": [2, 2], "strides": [2, 2]})
add("LpPool", "64 3x3/2 56", lambda: [data(1, 1, 64, 56, 56)], {"kernel_shape": [3, 3], "strides": [2, 2]})
for op in ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"]:
    add(op, "1280x7x7", lambda: [data(1, 1, 1280, 7, 7)], opset=13)
add("MaxUnpool", "64x56x56", lambda: [data(1, 1, 64, 56, 56), np.arange(64 * 56 * 56, dtype=np.int64).reshape(1, 64, 56, 56)], {"kernel_shape": [2, 2], "strides": [2, 2]}, free=2)
add("Col2Im", "64x28x28 3x3", lambda: [data(1, 1, 64 * 9, 26 * 26), ints(28, 28), ints(3, 3)])

# --- movement
add("Transpose", "1x128x12x64 0213", lambda: [data(1, 1, 128, 12, 64)], {"perm": [0, 2, 1, 3]})
add("Transpose", "1x128x12x64 0231", lambda: [data(1, 1, 128, 12, 64)], {"perm": [0, 2, 3, 1]})
add("Transpose", "768x768", lambda: [data(1, 768, 768)])
add("Transpose", "1x3x224x224 to last", lambda: [data(1, 1, 3, 224, 224)], {"perm": [0, 2, 3, 1]})
add("Reshape", "1x128x768", lambda: [data(1, 1, 128, 768), ints(1, 128, 12, 64)])
add("Flatten", "1x1280x1x1", lambda: [data(1, 1, 1280, 1, 1)])
add("Squeeze", "1x1280x1x1", lambda: [data(1, 1, 1280, 1, 1), ints(2, 3)])
add("Unsqueeze", "1x128", lambda: [data(1, 1, 128), ints(1, 2)])
add("Identity", "128x768", lambda: [data(1, 128, 768)])
add("Shape", "1x128x768", lambda: [data(1, 1, 128, 768)])
add("Size", "1x128x768", lambda: [data(1, 1, 128, 768)])
add("Concat", "2 of 1x64x56x56 channels", lambda: [data(1, 1, 64, 56, 56), data(2, 1, 64, 56, 56)], {"axis": 1}, free=2)
add("Concat", "past 1x12x127x64", lambda: [data(1, 1, 12, 127, 64), data(2, 1, 12, 1, 64)], {"axis": 2}, free=2)
add("Concat", "4 of int64 1", lambda: [ints(i) for i in range(4)], {"axis": 0}, free=4)
add("Split", "1x128x2304 last", lambda: [data(1, 1, 128, 2304)], {"axis": -1, "num_outputs": 3}, outputs=3)
add("Split", "1x64x80x80 channels", lambda: [data(1, 1, 64, 80, 80)], {"axis": 1, "num_outputs": 2}, outputs=2)
add("Slice", "1x128x768 half of last", lambda: [data(1, 1, 128, 768), ints(0), ints(384), ints(-1), ints(1)])
add("Slice", "1x3x640x640 by 2", lambda: [data(1, 1, 3, 320, 320), ints(0, 0), ints(320, 320), ints(2, 3), ints(2, 2)])
add("Gather", "embedding 30522x384, 128", lambda: [data(2, 30522, 384), data(1, 1, 128, low=0, high=30521, dtype=np.int64)], frees=[1])
add("Gather", "1x128x768 first token", lambda: [data(1, 1, 128, 768), np.array(0, np.int64)], {"axis": 1})
add("Gather", "shape int64", lambda: [ints(1, 128, 768), np.array(1, np.int64)])
add("GatherElements", "1x512x512", lambda: [data(1, 1, 512, 512), data(2, 1, 512, 512, low=0, high=511, dtype=np.int64)], {"axis": 2}, free=2)
add("GatherND", "128x768 rows", lambda: [data(1, 128, 768), data(2, 64, 1, low=0, high=127, dtype=np.int64)], free=2)
add("ScatterElements", "512x512", lambda: [data(1, 512, 512), np.tile(np.arange(512), (512, 1)), data(3, 512, 512)], {"axis": 1}, free=3)
add("ScatterND", "rows of 128x768", lambda: [data(1, 128, 768), np.arange(64)[:, None], data(3, 64, 768)], free=3)
add("Pad", "1x64x56x56 by 1", lambda: [data(1, 1, 64, 56, 56), ints(0, 0, 1, 1, 0, 0, 1, 1)])
add("Pad", "1x64x56x56 reflect", lambda: [data(1, 1, 64, 56, 56), ints(0, 0, 1, 1, 0, 0, 1, 1)], {"mode": "reflect"})
add("Tile", "1x1x768 128", lambda: [data(1, 1, 1, 768), ints(1, 128, 1)])
add("Expand", "1x1x1x128", lambda: [data(1, 1, 1, 1, 128), ints(1, 12, 128, 128)])
add("Expand", "heads 1x2x1x128x64", lambda: [data(1, 1, 2, 1, 128, 64), ints(1, 2, 7, 128, 64)])
add("DepthToSpace", "1x256x64x64", lambda: [data(1, 1, 256, 64, 64)], {"blocksize": 2})
add("SpaceToDepth", "1x3x640x640", lambda: [data(1, 1, 3, 640, 640)], {"blocksize": 2})
add("ReverseSequence", "64x8x256", lambda: [data(1, 64, 8, 256), np.full(8, 60, np.int64)])
add("Trilu", "512x512", lambda: [data(1, 512, 512)], {"upper": 0})
add("Compress", "4096x64", lambda: [data(1, 4096, 64), data(2, 4096) > 0], {"axis": 0}, free=2)
add("NonZero", "512x512", lambda: [data(1, 512, 512) > 0.5])
add("NonZero", "float 1x8400", lambda: [np.maximum(data(1, 1, 8400), 0.9) - np.float32(0.9)])
add("OneHot", "128 of 1000", lambda: [data(1, 128, low=0, high=999, dtype=np.int64), np.array(1000, np.int64), np.array([0, 1], np.float32)])
add("Range", "int64 128", lambda: [np.array(0, np.int64), np.array(128, np.int64), np.array(1, np.int64)], frees=[1])
add("ConstantOfShape", "1x128x768", lambda: [ints(1, 128, 768)])
add("EyeLike", "512x512", lambda: [data(1, 512, 512)])
add("Unique", "int64 4096", lambda: [data(1, 4096, low=0, high=99, dtype=np.int64)], outputs=4)
add("TopK", "1x8400 300", lambda: [data(1, 1, 8400), ints(300)], outputs=2)
add("TopK", "1x1000 5", lambda: [data(1, 1, 1000), ints(5)], outputs=2)
add("TopK", "1x50257 50", lambda: [data(1, 1, 50257), ints(50)], outputs=2)

# --- images
add("Resize", "64x56x56 x2 linear", lambda: [data(1, 1, 64, 56, 56), None, np.array([1, 1, 2, 2], np.float32)], {"mode": "linear"})
add("Resize", "256x20x20 x2 nearest", lambda: [data(1, 1, 256, 20, 20), None, np.array([1, 1, 2, 2], np.float32)], {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})
add("Resize", "3x224x224 cubic", lambda: [data(1, 1, 3, 112, 112), None, None, ints(1, 3, 224, 224)], {"mode": "cubic"})
add("GridSample", "1x64x28x28", lambda: [data(1, 1, 64, 28, 28), data(2, 1, 28, 28, 2)], {"mode": "linear"}, free=2)
add("AffineGrid", "1x3x224x224", lambda: [data(1, 1, 2, 3), ints(1, 3, 224, 224)], opset=20)
add("RoiAlign", "256x50x50, 100", lambda: [data(1, 1, 256, 50, 50), np.concatenate([data(2, 100, 2, low=0, high=20), data(3, 100, 2, low=21, high=49)], 1), np.zeros(100, np.int64)], {"output_height": 7, "output_width": 7, "sampling_ratio": 2}, free=3)
add("MaxRoiPool", "256x50x50, 50", lambda: [data(1, 1, 256, 50, 50), np.concatenate([np.zeros((50, 1), np.float32), data(2, 50, 2, low=0, high=20), data(3, 50, 2, low=21, high=49)], 1)], {"pooled_shape": [7, 7]}, free=2, opset=13)
add("NonMaxSuppression", "8400 boxes", lambda: [np.concatenate([data(1, 1, 8400, 2, low=0, high=600), data(2, 1, 8400, 2, low=600, high=640)], 2), data(3, 1, 1, 8400, low=0, high=1), ints(100), np.array([0.5], np.float32), np.array([0.25], np.float32)], free=2)

# --- quantisation
add("QuantizeLinear", "1x64x56x56 uint8", lambda: [data(1, 1, 64, 56, 56), np.float32(0.02).reshape(()), np.uint8(128).reshape(())])
add("QuantizeLinear", "128x768 int8", lambda: [data(1, 128, 768), np.float32(0.02).reshape(()), np.int8(0).reshape(())])
add("DequantizeLinear", "1x64x56x56 uint8", lambda: [data(1, 1, 64, 56, 56, low=0, high=255, dtype=np.uint8), np.float32(0.02).reshape(()), np.uint8(128).reshape(())])
add("DequantizeLinear", "64x64x3x3 by axis", lambda: [data(1, 64, 64, 3, 3, low=-127, high=127, dtype=np.int8), data(2, 64, low=0.01), np.zeros(64, np.int8)], {"axis": 0})
add("DynamicQuantizeLinear", "128x768", lambda: [data(1, 128, 768)], outputs=3)
add("MatMulInteger", "128x768 768x768", lambda: [data(1, 128, 768, low=0, high=255, dtype=np.uint8), data(2, 768, 768, low=-63, high=63, dtype=np.int8), np.uint8(128).reshape(()), np.int8(0).reshape(())])
add("MatMulInteger", "1x768 768x3072", lambda: [data(1, 1, 768, low=0, high=255, dtype=np.uint8), data(2, 768, 3072, low=-63, high=63, dtype=np.int8), np.uint8(128).reshape(()), np.int8(0).reshape(())])
scalar = lambda value, kind=np.float32: np.array(value, kind)  # noqa: E731
add("QLinearMatMul", "128x768 768x768", lambda: [data(1, 128, 768, low=0, high=255, dtype=np.uint8), scalar(0.02), scalar(128, np.uint8), data(2, 768, 768, low=-63, high=63, dtype=np.int8), scalar(0.01), scalar(0, np.int8), scalar(0.5), scalar(128, np.uint8)])
add("DynamicQuantizeMatMul", "128x768 768x768", lambda: [data(1, 128, 768), data(2, 768, 768, low=-63, high=63, dtype=np.int8), scalar(0.01), scalar(0, np.int8), data(3, 768)], opset=1, domain="com.microsoft")
add("MatMulIntegerToFloat", "128x768 768x768", lambda: [data(1, 128, 768, low=0, high=255, dtype=np.uint8), data(2, 768, 768, low=-63, high=63, dtype=np.int8), scalar(0.02), scalar(0.01), scalar(128, np.uint8), scalar(0, np.int8), data(3, 768)], opset=1, domain="com.microsoft")


def qconv(name, x, w, attributes, kind=np.uint8):
    low, high, zero = (0, 255, 128) if kind == np.uint8 else (-128, 127, 0)
    add("QLinearConv", name, lambda: [data(1, *x, low=low, high=high, dtype=kind), scalar(0.02), scalar(zero, kind), data(2, *w, low=-63, high=63, dtype=np.int8), data(4, w[0], low=0.005, high=0.02),
                                      np.zeros(w[0], np.int8), scalar(0.5), scalar(zero, kind), data(3, w[0], low=-500, high=500, dtype=np.int32)], attributes)  # fmt: skip


qconv("3->32 3x3/2 224", (1, 3, 224, 224), (32, 3, 3, 3), {"strides": [2, 2], "pads": [1] * 4})
qconv("64->64 3x3 56", (1, 64, 56, 56), (64, 64, 3, 3), {"pads": [1] * 4})
qconv("24->144 1x1 56", (1, 24, 56, 56), (144, 24, 1, 1), {})
qconv("144->24 1x1 56", (1, 144, 56, 56), (24, 144, 1, 1), {})
qconv("512->512 3x3 7", (1, 512, 7, 7), (512, 512, 3, 3), {"pads": [1] * 4})
qconv("depthwise 144 3x3 56", (1, 144, 56, 56), (144, 1, 3, 3), {"pads": [1] * 4, "group": 144})
qconv("depthwise 384 3x3 14", (1, 384, 14, 14), (384, 1, 3, 3), {"pads": [1] * 4, "group": 384})
add("ConvInteger", "64->64 3x3 56", lambda: [data(1, 1, 64, 56, 56, low=0, high=255, dtype=np.uint8), data(2, 64, 64, 3, 3, low=-63, high=63, dtype=np.int8), scalar(128, np.uint8)], {"pads": [1] * 4})
for op in ["QLinearAdd", "QLinearMul"]:
    add(op, "1x64x56x56", lambda: [data(1, 1, 64, 56, 56, low=0, high=255, dtype=np.uint8), scalar(0.02), scalar(128, np.uint8), data(2, 1, 64, 56, 56, low=0, high=255, dtype=np.uint8), scalar(0.03), scalar(120, np.uint8), scalar(0.04), scalar(128, np.uint8)], frees=[0, 3], opset=1, domain="com.microsoft")
for op in ["QLinearSigmoid", "QLinearLeakyRelu"]:
    add(op, "1x64x56x56", lambda: [data(1, 1, 64, 56, 56, low=0, high=255, dtype=np.uint8), scalar(0.02), scalar(128, np.uint8), scalar(0.004), scalar(0, np.uint8)], opset=1, domain="com.microsoft")
add("QLinearGlobalAveragePool", "1280x7x7", lambda: [data(1, 1, 1280, 7, 7, low=0, high=255, dtype=np.uint8), scalar(0.02), scalar(128, np.uint8), scalar(0.02), scalar(128, np.uint8)], {"channels_last": 0}, opset=1, domain="com.microsoft")


def nbits(rows, n, k, bits, level, block=32):
    add("MatMulNBits", f"{rows}x{k} {k}x{n} {bits} bits, level {level}" + (f", blocks of {block}" if block != 32 else ""),
        lambda: [data(1, 1, rows, k), data(2, n, k // block, block * bits // 8, low=0, high=255, dtype=np.uint8), data(3, n * k // block, low=0.01, high=0.05)],
        {"N": n, "K": k, "bits": bits, "block_size": block, "accuracy_level": level}, opset=1, domain="com.microsoft")  # fmt: skip


for bits in 4, 8:
    for level in 0, 4:
        for rows in 1, 32:
            nbits(rows, 2048, 2048, bits, level)
nbits(128, 2048, 2048, 4, 4)
nbits(1, 2048, 2048, 4, 4, 128)
for bits, block in (4, 32), (8, 32), (4, 128):
    add("GatherBlockQuantized", f"64 of 4096x1024, {bits} bits, blocks of {block}",
        lambda bits=bits, block=block: [data(1, 4096, 1024 * bits // 8, low=0, high=255, dtype=np.uint8), data(2, 64, low=0, high=4095, dtype=np.int64),
                                        data(3, 4096, 1024 // block, low=0.01, high=0.05)],
        {"bits": bits, "block_size": block, "gather_axis": 0, "quantize_axis": 1}, frees=[1], opset=1, domain="com.microsoft")  # fmt: skip

# --- recurrent, attention, signals
for op, gates in [("LSTM", 4), ("GRU", 3), ("RNN", 1)]:
    add(op, "64 steps, 128", lambda gates=gates: [data(1, 64, 1, 128), data(2, 1, gates * 128, 128), data(3, 1, gates * 128, 128), data(4, 1, gates * 256)], {"hidden_size": 128}, outputs=2)
    add(op, "1 step, 256", lambda gates=gates: [data(1, 1, 1, 256), data(2, 1, gates * 256, 256), data(3, 1, gates * 256, 256), data(4, 1, gates * 512)], {"hidden_size": 256}, outputs=2)
for name, steps, hidden in [("64 steps, 128", 64, 128), ("1 step, 256", 1, 256)]:
    add("DynamicQuantizeLSTM", name, lambda steps=steps, hidden=hidden: [
        data(1, steps, 1, hidden), data(2, 1, hidden, 4 * hidden, low=-127, high=127, dtype=np.int8), data(3, 1, hidden, 4 * hidden, low=-127, high=127, dtype=np.int8), data(4, 1, 8 * hidden), None, None, None, None,
        np.array([0.002], np.float32), np.zeros(1, np.int8), np.array([0.002], np.float32), np.zeros(1, np.int8)],
        {"hidden_size": hidden}, outputs=2, opset=1, domain="com.microsoft")  # fmt: skip
add("Attention", "1x12x128x64", lambda: [data(i, 1, 12, 128, 64) for i in range(3)], free=3, opset=23)
add("MultiHeadAttention", "1x128x768, 12", lambda: [data(i, 1, 128, 768) for i in range(3)], {"num_heads": 12}, free=3, opset=1, domain="com.microsoft")
add("GroupQueryAttention", "decode 1, past 127", lambda: [data(1, 1, 1, 896), data(2, 1, 1, 128), data(3, 1, 1, 128), data(4, 1, 2, 128, 64), data(5, 1, 2, 128, 64), np.array([127], np.int32), np.array(128, np.int32)],
    {"num_heads": 14, "kv_num_heads": 2}, free=7, outputs=3, opset=1, domain="com.microsoft")  # fmt: skip
add("RotaryEmbedding", "1x14x128x64", lambda: [data(1, 1, 14, 128, 64), data(2, 1, 128, 32), data(3, 1, 128, 32)], opset=23)
add("DFT", "1x400x1", lambda: [data(1, 98, 400, 1), None, np.array(1, np.int64)], {"onesided": 1}, opset=20)
add("DFT", "1x512x1", lambda: [data(1, 98, 512, 1), None, np.array(1, np.int64)], {"onesided": 1}, opset=20)
add("STFT", "16000, 400 by 160", lambda: [data(1, 1, 16000, 1), np.array(160, np.int64), data(2, 400)], {"onesided": 1}, opset=17)
add("HannWindow", "400", lambda: [np.array(400, np.int64)], opset=17)
add("MelWeightMatrix", "80", lambda: [scalar(80, np.int64), scalar(400, np.int64), scalar(16000, np.int64), scalar(0.0), scalar(8000.0)], opset=17)

# --- text
add("StringNormalizer", "1000 words", lambda: [text((1000,))], {"case_change_action": "LOWER", "locale": "C"}, opset=10)
add("StringConcat", "1000 words", lambda: [text((1000,)), text((1000,))], free=2, opset=20)
add("RegexFullMatch", "1000 words", lambda: [text((1000,))], {"pattern": "[a-z]+"}, opset=20)
add("StringSplit", "1000 words", lambda: [text((1000,))], {"delimiter": "u"}, outputs=2, opset=20)
add("TfIdfVectorizer", "int64 1x512", lambda: [data(1, 1, 512, low=0, high=99, dtype=np.int64)], {"mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0, "ngram_counts": [0, 100], "ngram_indexes": list(range(150)), "pool_int64s": list(range(100)) + list(range(100))}, opset=9)

# --- classical models
ML = "ai.onnx.ml"


def forest(trees, depth, width):
    rng = np.random.Generator(np.random.PCG64(5))
    inner = 2**depth - 1
    count = 2 * inner + 1
    columns = {name: [] for name in ["treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids"]}
    for tree in range(trees):
        for node in range(count):
            leaf = node >= inner
            row = [tree, node, 0 if leaf else int(rng.integers(width)), 0.0 if leaf else float(rng.normal()), "LEAF" if leaf else "BRANCH_LEQ", 0 if leaf else 2 * node + 1, 0 if leaf else 2 * node + 2]
            for name, value in zip(columns, row):
                columns[name].append(value)
    leaves = [(tree, node) for tree in range(trees) for node in range(inner, count)]
    return {f"nodes_{name}": values for name, values in columns.items()}, leaves, rng


def tree_attributes(kind, trees=100, depth=6, width=30):
    nodes, leaves, rng = forest(trees, depth, width)
    prefix = "target" if kind == "TreeEnsembleRegressor" else "class"
    nodes |= {f"{prefix}_treeids": [t for t, _ in leaves], f"{prefix}_nodeids": [n for _, n in leaves], f"{prefix}_ids": [int(i) for i in rng.integers(0, 1 if prefix == "target" else 3, len(leaves))]}
    nodes |= {f"{prefix}_weights": rng.normal(size=len(leaves)).tolist()}
    return nodes | ({"n_targets": 1} if prefix == "target" else {"classlabels_int64s": [0, 1, 2]})


for op, outs in [("TreeEnsembleRegressor", 1), ("TreeEnsembleClassifier", 2)]:
    for rows in [1, 1000]:
        add(op, f"100 trees of 6, {rows} rows", lambda rows=rows: [data(1, rows, 30)], tree_attributes(op), outputs=outs, opset=3, domain=ML)
linear = lambda count: np.linspace(-1, 1, count).tolist()  # noqa: E731
add("LinearRegressor", "1000x30", lambda: [data(1, 1000, 30)], {"coefficients": linear(30), "intercepts": [0.5]}, opset=1, domain=ML)
add("LinearClassifier", "1000x30", lambda: [data(1, 1000, 30)], {"coefficients": linear(90), "intercepts": linear(3), "classlabels_ints": [0, 1, 2], "post_transform": "SOFTMAX"}, outputs=2, opset=1, domain=ML)
add("SVMRegressor", "100x30 RBF", lambda: [data(1, 100, 30)], {"kernel_type": "RBF", "kernel_params": [0.1, 0.0, 3.0], "n_supports": 100, "coefficients": linear(100), "rho": [0.1], "support_vectors": linear(3000)}, opset=1, domain=ML)
add("SVMClassifier", "100x30 RBF", lambda: [data(1, 100, 30)], {"kernel_type": "RBF", "kernel_params": [0.1, 0.0, 3.0], "vectors_per_class": [50, 50], "coefficients": linear(100), "rho": [0.1], "support_vectors": linear(3000), "classlabels_ints": [0, 1]}, outputs=2, opset=1, domain=ML)
add("Scaler", "1000x30", lambda: [data(1, 1000, 30)], {"offset": linear(30), "scale": linear(30)}, opset=1, domain=ML)
add("Normalizer", "1000x30", lambda: [data(1, 1000, 30)], {"norm": "L2"}, opset=1, domain=ML)
add("Binarizer", "1000x30", lambda: [data(1, 1000, 30)], {"threshold": 0.1}, opset=1, domain=ML)
add("Imputer", "1000x30", lambda: [data(1, 1000, 30)], {"imputed_value_floats": linear(30), "replaced_value_float": float("nan")}, opset=1, domain=ML)
add("LabelEncoder", "strings 1000", lambda: [text((1000,))], {"keys_strings": ["the", "quick", "fox"], "values_int64s": [0, 1, 2]}, opset=2, domain=ML)
add("LabelEncoder", "int64 1000", lambda: [data(1, 1000, low=0, high=3, dtype=np.int64)], {"keys_int64s": [0, 1, 2], "values_floats": [0.5, 1.5, 2.5]}, opset=2, domain=ML)
add("OneHotEncoder", "int64 1000", lambda: [data(1, 1000, low=0, high=3, dtype=np.int64)], {"cats_int64s": [0, 1, 2], "zeros": 1}, opset=1, domain=ML)
add("ArrayFeatureExtractor", "1000x30", lambda: [data(1, 1000, 30), ints(3, 5, 7)], opset=1, domain=ML)
add("FeatureVectorizer", "2 of 1000x15", lambda: [data(1, 1000, 15), data(2, 1000, 15)], {"inputdimensions": [15, 15]}, free=2, opset=1, domain=ML)


# --- beyond the standard, and what few models have
MS = dict(opset=1, domain="com.microsoft")


def codes(seed, *shape, dtype=np.uint8):
    return data(seed, *shape, low=0, high=255, dtype=np.uint8).astype(dtype)


def byte(value, dtype=np.uint8):
    return np.array(value, dtype)


def half_scale(*values):
    return [np.float32(value).reshape(()) for value in values]


add("Inverse", "100x16x16", lambda: [data(1, 100, 16, 16) + 9 * np.eye(16, dtype=np.float32)], **MS)
add("DynamicTimeWarping", "50x448", lambda: [data(1, 50, 448)], **MS)
add("UnfoldTensor", "1x128x768", lambda: [data(1, 1, 128, 768)], {"dim": 1, "size": 4, "step": 1}, **MS)
add("MRotaryEmbedding", "1x14x128x64", lambda: [data(1, 1, 14, 128, 64), data(2, 3, 1, 128, low=0, high=99, dtype=np.int64), data(3, 128, 32), data(4, 128, 32)], {"mrope_section": [8, 12, 12], "num_heads": 14}, free=2, **MS)
add("SimplifiedLayerNormalization", "128x768", lambda: [data(1, 1, 128, 768), data(2, 768)], {"axis": -1})
add("SkipSimplifiedLayerNormalization", "128x768", lambda: [data(1, 1, 128, 768), data(2, 1, 128, 768), data(3, 768)], free=2, **MS)
for op in ["EmbedLayerNormalization", "QEmbedLayerNormalization"]:
    quantized = op[0] == "Q"
    add(op, "128x768", lambda quantized=quantized: [data(1, 1, 128, low=0, high=999, dtype=np.int32), data(2, 1, 128, low=0, high=1, dtype=np.int32),
        *[codes(i, *shape) if quantized else data(i, *shape) for i, shape in enumerate([(1000, 768), (512, 768), (2, 768), (768,), (768,)], 3)], None,
        *([*half_scale(0.1, 0.1, 0.1, 0.1, 0.1), *[byte(128)] * 5] if quantized else [])], free=2, outputs=2, **MS)  # fmt: skip
add("CDist", "100x64 euclidean", lambda: [data(1, 100, 64), data(2, 100, 64)], {"metric": "euclidean"}, free=2, **MS)
add("FusedConv", "64x56x56 3x3 Relu", lambda: [data(1, 1, 64, 56, 56), data(2, 64, 64, 3, 3), data(3, 64)], {"activation": "Relu", "pads": [1, 1, 1, 1]}, **MS)
add("MatMulBnb4", "1x896 to 4864", lambda: [data(1, 1, 896), codes(2, 4864 * 448), data(3, 4864 * 14, low=0.1)], {"K": 896, "N": 4864, "block_size": 64, "quant_type": 1}, **MS)
add("MoE", "16 tokens, 2 of 8", lambda: [data(1, 16, 128), data(2, 16, 8), data(3, 8, 256, 128), None, data(4, 8, 128, 256)], {"k": 2, "activation_type": "silu", "normalize_routing_weights": 1}, free=2, **MS)
add("QMoE", "16 tokens, 2 of 8", lambda: [data(1, 16, 128), data(2, 16, 8), codes(3, 8, 256, 64), data(4, 8, 256, low=0.01), None, codes(5, 8, 128, 128), data(6, 8, 128, low=0.01)],
    {"k": 2, "activation_type": "silu", "normalize_routing_weights": 1, "expert_weight_bits": 4, "weights_prepacked": 0}, free=2, **MS)  # fmt: skip
add("QAttention", "1x128x768, 12", lambda: [codes(1, 1, 128, 768), codes(2, 768, 2304, dtype=np.int8), data(3, 2304), *half_scale(0.02, 0.001), None, byte(128), byte(0, np.int8)], {"num_heads": 12}, **MS)
add("DecoderMaskedMultiHeadAttention", "1 row, past 127", lambda: [*[data(i, 1, 1, 768) for i in range(3)], None, None, data(3, 1, 12, 256, 64), data(4, 1, 12, 256, 64), np.array([127], np.int32)],
    {"num_heads": 12, "past_present_share_buffer": 1}, free=8, outputs=3, **MS)  # fmt: skip
add("NGramRepeatBlock", "4x64", lambda: [data(1, 4, 64, low=0, high=9, dtype=np.int64), data(2, 4, 5000)], {"ngram_size": 3}, free=2, **MS)
add("QGemm", "128x768x768", lambda: [codes(1, 128, 768), *half_scale(0.02), byte(128), codes(2, 768, 768, dtype=np.int8), *half_scale(0.01), byte(0, np.int8), None, *half_scale(0.5), byte(128)], **MS)
add("QLinearAveragePool", "64x56x56 3x3", lambda: [codes(1, 1, 64, 56, 56), *half_scale(0.1), byte(128), *half_scale(0.1), byte(128)], {"kernel_shape": [3, 3]}, **MS)
add("QLinearConcat", "2 of 64x28x28", lambda: [*half_scale(0.1), byte(128), codes(1, 1, 64, 28, 28), *half_scale(0.05), byte(120), codes(2, 1, 64, 28, 28), *half_scale(0.1), byte(128)], {"axis": 1}, frees=(2, 5), **MS)
add("QLinearSoftmax", "12x128x128", lambda: [codes(1, 12, 128, 128), *half_scale(0.1), byte(128), *half_scale(1 / 256), byte(0)], {"axis": -1, "opset": 13}, **MS)
add("QLinearWhere", "128x768", lambda: [data(1, 128, 768) > 0, codes(2, 128, 768), *half_scale(0.1), byte(128), codes(3, 128, 768), *half_scale(0.05), byte(120), *half_scale(0.1), byte(128)], frees=(0, 1, 4), **MS)
add("Tokenizer", "1000 words", lambda: [text((1000,))], {"mark": 0, "mincharnum": 1, "pad_value": "#", "separators": ["u"]}, **MS)
for op in ["HammingWindow", "BlackmanWindow"]:
    add(op, "400", lambda: [np.array(400, np.int64)], opset=17)
add("Dropout", "128x768", lambda: [data(1, 128, 768)])
add("CastLike", "128x768 to float16", lambda: [data(1, 128, 768), np.zeros(1, np.float16)])
add("CenterCropPad", "3x256x256 to 224", lambda: [data(1, 3, 256, 256), ints(224, 224)], {"axes": [1, 2]})
for op in ["RandomNormalLike", "RandomUniformLike", "Bernoulli"]:
    add(op, "128x768", lambda: [data(1, 128, 768, low=0)], {"seed": 1.0})
add("Multinomial", "4x1000", lambda: [data(1, 4, 1000)], {"sample_size": 10, "seed": 1.0})
add("TensorScatter", "1x12x256x64, 1 row", lambda: [data(1, 1, 12, 256, 64), data(2, 1, 12, 1, 64), ints(7)], free=3, opset=24)
add("BitCast", "128x768 to int32", lambda: [data(1, 128, 768)], {"to": 6}, opset=26)
add("CumProd", "64x4096", lambda: [data(1, 64, 4096, low=0.9, high=1.1), np.array(1, np.int64)], opset=26)
for op in ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"]:
    add(op, "128x1000", lambda: [data(1, 128, 1000, low=-5, high=0), data(2, 128, low=0, high=999, dtype=np.int64)], free=2)
add("CategoryMapper", "1000 words", lambda: [text((1000,))], {"cats_strings": ["the", "quick"], "cats_int64s": [0, 1]}, opset=1, domain=ML)
