"""What a differential case is, and the random draws that cases are made of."""

import dataclasses
import fnmatch
import zlib

import ml_dtypes
import numpy as np
import onnx
from linnet_c import BITS, DTYPES, NUMBERS, number_of
from onnx import helper

# The newest operator set that the pinned ONNX Runtime accepts.
NEWEST = 26
NEWEST_ML = 5

FLOATS = ["float", "double", "float16", "bfloat16"]
TYPE_NAMES = {
    "float": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "string": 8, "bool": 9, "float16": 10,
    "double": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16, "float8e4m3fn": 17,
    "float8e4m3fnuz": 18, "float8e5m2": 19, "float8e5m2fnuz": 20, "uint4": 21, "int4": 22, "float4e2m1": 23, "float8e8m0": 24,
    "uint2": 25, "int2": 26,
}  # fmt: skip
NAMES_OF_TYPES = {number: name for name, number in TYPE_NAMES.items()}
# One rounding more or less in the last place, and a little for functions that both approximate.
EPSILON = {"float": 1e-5, "double": 1e-11, "float16": 2e-3, "bfloat16": 1.6e-2}


def dtype_of(name):
    return DTYPES[TYPE_NAMES[name]]


def type_of(array):
    return NAMES_OF_TYPES[number_of(array)]


@dataclasses.dataclass
class Case:
    """A model, its inputs and how close the outputs must be.

    |ours - theirs| <= atol + rtol * |theirs| + of_max * max |theirs|; None takes rtol from the output's type. Integers may
    differ by `steps`. `compare(ours, theirs)` replaces the comparison: it returns "" or what is wrong.
    """

    model: onnx.ModelProto
    inputs: dict
    rtol: float | None = None
    atol: float = 0.0
    of_max: float = 0.0
    steps: int = 0
    compare: object = None
    features: set = dataclasses.field(default_factory=set)
    shared: dict | None = None  # outputs that ONNX Runtime has to write into the memory of inputs
    formula: object = None  # () -> outputs, where onnx's reference does not have the operator


class Refused(Exception):
    """A draw that makes no valid model; the case is passed over."""


class Draw:
    """Random choices of one case, from its name and seed alone."""

    def __init__(self, name, seed):
        self.rng = np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), seed]))
        self.features = set()

    def one(self, choices):
        if not choices:
            raise Refused("nothing to choose from")
        return choices[int(self.rng.integers(len(choices)))]

    def some(self, choices, least=0):
        """A sorted subset."""
        count = self.integer(least, len(choices))
        return sorted(self.rng.permutation(len(choices))[:count].tolist()) if isinstance(choices, range) else [
            choices[i] for i in sorted(self.rng.permutation(len(choices))[:count])
        ]

    def chance(self, probability):
        return bool(self.rng.random() < probability)

    def integer(self, low, high):
        """Both ends included."""
        return int(self.rng.integers(low, high + 1))

    def integers(self, low, high, count):
        return self.rng.integers(low, high + 1, count).tolist()

    def number(self, low, high):
        return float(np.float32(self.rng.uniform(low, high)))

    # Sizes: mostly small and odd, now and then around the widths of vectors, rarely 0.
    def size(self, empty=0.02):
        if self.chance(empty):
            return 0
        return self.one([1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 11]) if self.chance(0.85) else self.one([13, 15, 16, 17, 23, 31, 32, 33, 64, 65])

    def shape(self, least=0, most=4, empty=0.02, elements=20000):
        rank = self.integer(least, most)
        shape = [self.size(empty) for _ in range(rank)]
        while np.prod(shape, dtype=float) > elements:
            shape[int(np.argmax(shape))] = self.integer(1, 4)
        if rank and self.chance(0.02):  # enough for several threads
            shape[self.integer(0, rank - 1)] = self.one([257, 1000, 4099])
            while np.prod(shape, dtype=float) > 400000:
                shape[int(np.argsort(shape)[-2])] = 2
        return tuple(shape)

    def broadcast(self, shape):
        """A shape that broadcasts to `shape`."""
        how = self.integer(0, 3)
        if how == 0:
            return tuple(shape)
        kept = list(shape)[self.integer(0, len(shape)) :]
        return tuple(1 if self.chance(0.35) else size for size in kept)

    def broadcasts(self, count, most=5):
        """Shapes that broadcast with each other; none alone need be the result."""
        shape = self.shape(0, most)
        shapes = [self.broadcast(shape) for _ in range(count)]
        if self.chance(0.7):
            shapes[self.integer(0, count - 1)] = shape
        return shapes

    def axis(self, rank, least=0):
        """An axis in [least, rank), counted from the end half of the time."""
        axis = self.integer(least, rank - 1)
        return axis - rank if self.chance(0.4) else axis

    def axes(self, rank, least=0):
        chosen = self.some(range(rank), least)
        self.rng.shuffle(chosen)
        return [axis - rank if self.chance(0.4) else axis for axis in chosen]

    def array(self, type_name, shape, low=None, high=None, special=None):
        """Elements of the type in [low, high]; where no range is given, floats may be special (NaN, infinite,
        small, huge; never subnormal, which Linnet flushes)."""
        dtype, shape = dtype_of(type_name), tuple(shape)
        rng = self.rng
        if type_name == "string":
            words = ["", "a", "b", "ab", "Hello", "hello world", "x1", "ß", "日本", "été", " spaced ", "A-b_c", "123", "-4.5"]
            return np.array([self.one(words) for _ in range(int(np.prod(shape)))], object).reshape(shape)
        if type_name == "bool":
            return rng.random(shape) < 0.5 if shape else np.bool_(rng.random() < 0.5).reshape(())
        if dtype.kind == "c":
            return np.asarray(rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
        if dtype.kind in "iu" or type_name in ("int4", "uint4", "int2", "uint2"):
            info = ml_dtypes.iinfo(dtype) if TYPE_NAMES[type_name] in BITS else np.iinfo(dtype)
            low = info.min if low is None else max(int(np.ceil(low)), int(info.min))
            high = info.max if high is None else min(int(high), int(info.max))
            wide = np.uint64 if low >= 0 else np.int64
            drawn = rng.integers(low, high, shape, wide, endpoint=True)
            if special is not False and drawn.size and self.chance(0.3):  # the ends
                drawn = np.where(rng.random(shape) < 0.2, np.where(rng.random(shape) < 0.5, wide(low), wide(high)), drawn)
            return np.asarray(drawn).astype(dtype).reshape(shape)
        if low is not None:
            drawn = rng.uniform(low, high, shape)
        else:
            scale = self.one([1.0, 1.0, 1.0, 10.0, 1000.0])
            drawn = rng.standard_normal(shape) * scale
            if self.chance(0.25):  # ties and exact values
                drawn = np.round(drawn * 2) / 2
        drawn = np.asarray(drawn)
        if (special if special is not None else low is None and self.chance(0.25)) and drawn.size:
            self.features.add("special")
            extremes = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-7, -1e-7, 1e30, -1e30, 3.4e38, 88.7, -88.7, 104.0, 0.5, -0.5, 2.5]
            which = rng.integers(0, len(extremes), shape)
            drawn = np.where(rng.random(shape) < 0.3, np.asarray(extremes)[which], drawn)
        with np.errstate(over="ignore"):
            return np.asarray(drawn).astype(dtype).reshape(shape)


def describe(value):
    """onnx.TypeProto of a content."""
    if isinstance(value, list):
        return helper.make_sequence_type_proto(helper.make_tensor_type_proto(number_of(value[0]), None))
    return helper.make_tensor_type_proto(number_of(value), value.shape)


def constant(name, array):
    return onnx.numpy_helper.from_array(np.asarray(array), name) if number_of(array) != 8 else helper.make_tensor(
        name, 8, array.shape, [str(text).encode() for text in array.ravel()]
    )


def value_info(draw, name, array):
    """An input's declaration: with its shape, with symbols, or without."""
    how = draw.rng.random()
    if isinstance(array, list) or how < 0.6:
        return helper.make_value_info(name, describe(array))
    shape = [f"{name}_{i}" for i in range(array.ndim)] if how < 0.9 or not array.ndim else None
    return helper.make_tensor_value_info(name, number_of(array), shape)


def node_case(draw, op, inputs, attributes=None, outputs=1, opset=NEWEST, domain="", constants=0.3, always_constant=(), never_constant=(), declare=None, **case):
    """A case of one node. `inputs`: arrays, lists, or None for one that is left out; each is an initializer with probability
    `constants`, at least one stays an input. `outputs`: how many, or a list of flags for those that are wanted."""
    attributes = attributes or {}
    wanted = [True] * outputs if isinstance(outputs, int) else outputs
    names = [f"in{i}" if value is not None else "" for i, value in enumerate(inputs)]
    while names and not names[-1]:
        names.pop()
    fixed = {
        i for i, value in enumerate(inputs)
        if value is not None and not isinstance(value, list) and i not in never_constant
        and (i in always_constant or draw.chance(constants) or (number_of(value) in BITS))
    }  # fmt: skip
    present = {i for i, value in enumerate(inputs) if value is not None}
    if present and fixed == present:
        free = [i for i in sorted(present) if i not in always_constant and number_of(inputs[i]) not in BITS]
        fixed -= {draw.one(free)} if free else set()
    out_names = [f"out{i}" if want else "" for i, want in enumerate(wanted)]
    while out_names and not out_names[-1]:
        out_names.pop()
    node = helper.make_node(op, names, out_names, domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "case",
        [value_info(draw, names[i], inputs[i]) for i in sorted(present - fixed)],
        [(declare or {}).get(i) or onnx.ValueInfoProto(name=f"out{i}") for i, want in enumerate(wanted) if want],
        [constant(names[i], inputs[i]) for i in sorted(fixed)],
    )
    features = {f"op={op}", f"opset={opset}"} | {f"{key}={value}" for key, value in attributes.items() if isinstance(value, (int, str))}
    features |= {key for key, value in attributes.items() if not isinstance(value, (int, str))}
    features |= {"dilated"} if max(attributes.get("dilations", [1])) > 1 else set()
    pads = attributes.get("pads", [])
    features |= {"uneven pads"} if pads[: len(pads) // 2] != pads[len(pads) // 2 :] else set()
    for i in present:
        value = inputs[i]
        for array in value if isinstance(value, list) else [value]:
            features |= {f"in{i}:{type_of(array)}"} | ({f"in{i}:empty"} if array.size == 0 else set()) | ({f"in{i}:scalar"} if array.ndim == 0 else set())
            if type_of(array) in FLOATS and not np.isfinite(array).all():
                features |= {"nonfinite"} | ({"nan"} if np.isnan(array).any() else set())
    features |= {f"const{i}" for i in fixed} | draw.features
    model = make_model(graph, {domain: opset} if domain in ("", "ai.onnx.ml") else {"": NEWEST, domain: opset})
    return Case(model, {names[i]: inputs[i] for i in sorted(present - fixed)}, features=features, **case)


def make_model(graph, opsets, **more):
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    if not any(domain == "" for domain in opsets):
        imports.append(helper.make_opsetid("", 21))
    return helper.make_model(graph, opset_imports=imports, ir_version=10, **more)


GENERATORS = {}  # name -> function(draw) -> Case


def generator(*names, prefix=""):
    """Registers function(draw, name) for each name."""

    def register(function):
        for name in names:
            full = prefix + name
            assert full not in GENERATORS, full
            GENERATORS[full] = lambda draw, name=name: function(draw, name)
        return function

    return register


def make_case(name, seed):
    draw = Draw(name, seed)
    case = GENERATORS[name](draw)
    case.features |= draw.features
    return case


def matching(patterns):
    return [name for name in GENERATORS if not patterns or any(fnmatch.fnmatch(name, p) for p in patterns)]
