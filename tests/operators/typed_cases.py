"""Makes test cases for every type that an operator's definition allows, of the standard's own cases in other types.

A case of ONNX's suite with one node is taken to each type of each of the node's type parameters: its tensors are cast, the
outputs come from onnx's reference implementation where that can compute them (else the case only has to run).
"""

import json
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

CASES_AN_OPERATOR = 4  # of ONNX's cases, different in their inputs
# What decides the type of an output.
TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype", "stash_type")
TOLERANCE = {"float16": 1e-2, "bfloat16": 6e-2, "double": 1e-5, "float": 1e-3}
EXACT = 1e-3
RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
# Their integers are rounded numbers: one that lies between two may fall to either.
ROUNDED = {"Resize", "GridSample", "QLinearMatMul", "BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix"}
# Outputs of a type of their own, which no input decides.
INDEPENDENT = {("T2", "HannWindow"), ("T2", "HammingWindow"), ("T2", "BlackmanWindow"), ("T3", "MelWeightMatrix"),
               ("U", "LayerNormalization")}


def dtype_number(name):
    return TensorProto.DataType.Value(name.upper())


def kind_and_element(type_string):
    """'seq(tensor(float))' -> ('seq(tensor(*))', 'float')."""
    inner = type_string[type_string.rindex("(") + 1 : type_string.index(")")]
    return type_string.replace(inner, "*"), inner


def cast_array(array, name):
    target = np.dtype(object) if name == "string" else helper.tensor_dtype_to_np_dtype(dtype_number(name))
    if array.dtype == object or array.dtype.kind in "US":
        if name == "string":  # numpy fills with the number 0
            return np.array([x if isinstance(x, (str, bytes)) else "" for x in array.ravel()], dtype=object).reshape(array.shape)
        return np.arange(array.size).reshape(array.shape).astype(np.float32).astype(target)
    if name == "string":
        text = np.empty(array.size, dtype=object)
        text[:] = [str(x) for x in array.ravel()]
        return text.reshape(array.shape)
    if array.dtype.kind != "c" and (np.issubdtype(target, np.integer) or target.name in ("int4", "uint4", "int2", "uint2")):
        info = ml_dtypes.iinfo(target)
        wide = array.astype(np.float64) if array.dtype.kind not in "iu" else array
        wide = np.nan_to_num(wide) if wide.dtype.kind == "f" else wide
        with np.errstate(all="ignore"):
            low, high = (max(info.min, -(2**62)), min(info.max, 2**62)) if wide.dtype.kind == "f" else (info.min, info.max)
            own = np.iinfo(wide.dtype) if wide.dtype.kind in "iu" else None
            return np.clip(wide, max(low, own.min) if own else low, min(high, own.max) if own else high).astype(target)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if array.dtype.kind == "c" and target.kind != "c":
            array = array.real
        if target.kind == "c" and array.dtype.kind not in "cfiub":
            array = array.astype(np.float32)
        return array.astype(target)


def cast_value(value, name):
    if value is None:
        return None
    if isinstance(value, list):
        return [cast_value(v, name) for v in value]
    return cast_array(np.asarray(value), name)


def set_element_type(type_proto, name):
    """Of a tensor, or of what a sequence or optional holds."""
    which = type_proto.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        getattr(type_proto, which).elem_type = dtype_number(name)
    elif which in ("sequence_type", "optional_type"):
        set_element_type(getattr(type_proto, which).elem_type, name)


def element_type(type_proto):
    which = type_proto.WhichOneof("value")
    if which in ("sequence_type", "optional_type"):
        return element_type(getattr(type_proto, which).elem_type)
    return TensorProto.DataType.Name(getattr(type_proto, which).elem_type).lower() if which == "tensor_type" else ""


def read_value(path, type_proto):
    which = type_proto.WhichOneof("value")
    data = path.read_bytes()
    if which == "tensor_type":
        return numpy_helper.to_array(onnx.TensorProto.FromString(data))
    if which == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))


def write_value(path, value, type_proto, name):
    which = type_proto.WhichOneof("value")
    if which == "tensor_type":
        proto = numpy_helper.from_array(np.asarray(value), name)
    elif which == "sequence_type":
        proto = numpy_helper.from_list(value, name, onnx.SequenceProto.TENSOR if not value else None)
    else:
        proto = numpy_helper.from_optional(value, name)
    path.write_bytes(proto.SerializeToString())


def formal(parameters, k):
    """The formal parameter of the k-th argument: the last may be variadic."""
    return parameters[min(k, len(parameters) - 1)]


class Case:
    """One node of ONNX's suite with its inputs."""

    def __init__(self, folder):
        self.folder = folder
        self.model = onnx.load(folder / "model.onnx")
        graph = self.model.graph
        self.node = graph.node[0]
        versions = {o.domain: o.version for o in self.model.opset_import}
        self.schema = onnx.defs.get_schema(self.node.op_type, versions[self.node.domain], self.node.domain)
        self.infos = {v.name: v for v in [*graph.input, *graph.output]}
        self.constants = {t.name: t for t in graph.initializer}
        data = folder / "test_data_set_0"
        self.values = {v.name: read_value(data / f"input_{i}.pb", v.type) for i, v in enumerate(graph.input)
                       if (data / f"input_{i}.pb").exists()}
        self.stored = {v.name: read_value(data / f"output_{i}.pb", v.type) for i, v in enumerate(graph.output)}

    def element_of(self, name):
        return element_type(self.infos[name].type)

    def arguments(self):
        """Parameter -> names of the values with it."""
        found = {}
        for formals, actual in (self.schema.inputs, self.node.input), (self.schema.outputs, self.node.output):
            for k, name in enumerate(actual):
                if name in self.infos:
                    found.setdefault(formal(formals, k).type_str, []).append(name)
        return found

    def retyped(self, names, element, destination):
        """Writes the case with the values `names` of another element type."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        graph = model.graph
        node = graph.node[0]
        for info in [*graph.input, *graph.output]:
            if info.name in names:
                set_element_type(info.type, element)
        only_out = set(names) & set(node.output) and not set(names) & set(node.input)
        for name in set(TYPE_ATTRIBUTES) & set(self.schema.attributes) if only_out else ():
            if not any(a.name == name for a in node.attribute):
                node.attribute.append(helper.make_attribute(name, dtype_number(element)))
        for attribute in node.attribute:
            if attribute.name in TYPE_ATTRIBUTES and set(names) & set(node.output) and not set(names) & set(node.input):
                attribute.i = dtype_number(element)
            if attribute.HasField("t") and attribute.t.data_type == dtype_number(self.element_of(names[0])):
                if attribute.name != "value" or set(names) & set(node.output):
                    tensor = cast_array(numpy_helper.to_array(attribute.t), element)
                    attribute.t.CopyFrom(numpy_helper.from_array(tensor, "value"))
        for tensor in graph.initializer:
            if tensor.name in names:
                tensor.CopyFrom(numpy_helper.from_array(cast_array(numpy_helper.to_array(tensor), element), tensor.name))
        values = {name: cast_value(v, element) if name in names else v for name, v in self.values.items()}
        if element.startswith("float") and self.node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            for name in [n for n in self.node.input[2:3] if n in names]:
                values[name] = np.zeros_like(values[name])  # floats have no other zero point
        expected = {}
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results = ReferenceEvaluator(model).run(None, {k: v for k, v in values.items()})
            for info, result in zip(graph.output, results):
                want = element_type(info.type)
                if isinstance(result, np.ndarray) or np.isscalar(result):
                    expected[info.name] = cast_array(np.asarray(result), want)
                elif result is not None:
                    expected[info.name] = result
        except Exception:  # noqa: BLE001  the reference lacks many types
            expected = {}
        # The reference rounds the weights of an interpolation of integers to integers.
        if self.node.op_type in RANDOM or self.node.op_type == "GridSample" and "int" in element:
            expected = {}
        data = destination / "test_data_set_0"
        data.mkdir(parents=True, exist_ok=True)
        (destination / "model.onnx").write_bytes(model.SerializeToString())
        for i, info in enumerate(graph.input):
            if info.name in values:
                write_value(data / f"input_{i}.pb", values[info.name], info.type, info.name)
        for i, info in enumerate(graph.output):
            if info.name in expected:
                write_value(data / f"output_{i}.pb", expected[info.name], info.type, info.name)
        elements = [element_type(i.type) for i in [*graph.input, *graph.output]]
        tolerance = max(TOLERANCE.get(e, EXACT) for e in elements)
        numbers = [np.abs(np.asarray(v, dtype=np.float64)) for v in expected.values()
                   if isinstance(v, np.ndarray) and v.dtype.kind not in "OUSc"]
        numbers = [n[np.isfinite(n)].max(initial=0.0) for n in numbers]
        absolute = 1.0 if self.node.op_type in ROUNDED else tolerance * max([1.0, *(float(n) for n in numbers)])
        (destination / "meta.json").write_text(json.dumps({"rtol": tolerance, "atol": absolute}))


def variants(case):
    """(parameters, element, values to retype) of every type that the definition allows and the case is not of."""
    schema, arguments, node = case.schema, case.arguments(), case.node
    allowed = {t.type_param_str: t.allowed_type_strs for t in schema.type_constraints}
    arguments = {p: names for p, names in arguments.items() if p in allowed}  # types that the definition writes out stay
    kind_of = lambda name: case.infos[name].type.WhichOneof("value").split("_")[0].replace("sequence", "seq")  # noqa: E731
    now = {p: element_type(case.infos[names[0]].type) for p, names in arguments.items()}
    only_out = {p for p, names in arguments.items() if not set(names) & set(node.input)}
    decided = bool(set(TYPE_ATTRIBUTES) & set(schema.attributes)) or node.op_type == "ConstantOfShape"
    told = any(a.name in TYPE_ATTRIBUTES for a in node.attribute)
    elements_of = {p: {e for kind, e in map(kind_and_element, allowed[p]) if kind.split("(")[0] == kind_of(arguments[p][0])}
                   for p in arguments}
    groups = []
    for p in arguments:
        if p in only_out:
            groups += [[p]] if decided else []
            continue
        group = [p]
        for q in arguments:
            holder = any("seq" in t or "optional" in t for t in [*allowed[p], *allowed[q]])
            follows = q in only_out and not told and (q, node.op_type) not in INDEPENDENT
            if q != p and now[q] == now[p] and (holder and q != "I" and p != "I" or follows):
                group.append(q)
        groups.append(group)
    same = [p for p in arguments if p not in only_out and now[p] == now[next(iter(arguments))]]
    if len(same) > 1:
        groups.append(same + [p for p in only_out if now[p] == now[same[0]] and not told])
    done = set()
    for group in groups:
        for element in sorted(set.intersection(*(elements_of[p] for p in group))):
            key = tuple(sorted(group)), element
            if element != now[group[0]] and key not in done:
                done.add(key)
                yield "+".join(sorted(group)), element, [n for p in group for n in arguments[p]]


def single_node(folder):
    model = onnx.load(folder / "model.onnx")
    return len(model.graph.node) == 1 and not model.functions and model.graph.node[0].domain in ("", "ai.onnx.ml") and not any(
        a.HasField("g") for a in model.graph.node[0].attribute)


def vi(name, element, shape):
    return helper.make_tensor_value_info(name, dtype_number(element), shape)


def numbers(element, shape):
    return cast_array(np.arange(int(np.prod(shape))).reshape(shape) % 2, element)


def write_case(destination, graph, inputs, outputs, version=27):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
    data = destination / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    (destination / "model.onnx").write_bytes(model.SerializeToString())
    for kind, infos, values in ("input", graph.input, inputs), ("output", graph.output, outputs):
        for i, (info, value) in enumerate(zip(infos, values)):
            write_value(data / f"{kind}_{i}.pb", value, info.type, info.name)
    (destination / "meta.json").write_text(json.dumps({"rtol": 0, "atol": 0}))


def control_flow(destination):
    """If, Loop and Scan, whose subgraphs have the types of what passes through."""
    node = helper.make_node
    schema = onnx.defs.get_schema("If", 27)
    elements = [e for k, e in map(kind_and_element, schema.type_constraints[1].allowed_type_strs) if k == "tensor(*)"]
    yes, no, three = np.array(True), np.array(False), np.array(3, dtype=np.int64)
    for e in elements:
        x = numbers(e, (3, 5))
        branch = [helper.make_graph([node("Identity", [name], ["z"])], name, [], [vi("z", e, (3, 5))]) for name in "xy"]
        graph = helper.make_graph([node("If", ["c"], ["o"], then_branch=branch[0], else_branch=branch[1])], "g",
                                  [vi("c", "bool", ()), vi("x", e, (3, 5)), vi("y", e, (3, 5))], [vi("o", e, (3, 5))])
        write_case(destination / f"If/V={e}/captured", graph, [no, x, x[::-1].copy()], [x[::-1].copy()])
        body = helper.make_graph([node("Identity", ["c"], ["d"]), node("Identity", ["s"], ["t"]), node("Identity", ["s"], ["u"])],
                                 "b", [vi("i", "int64", ()), vi("c", "bool", ()), vi("s", e, (5,))],
                                 [vi("d", "bool", ()), vi("t", e, (5,)), vi("u", e, (5,))])
        graph = helper.make_graph([node("Loop", ["m", "c", "x"], ["o", "p"], body=body)], "g",
                                  [vi("m", "int64", ()), vi("c", "bool", ()), vi("x", e, (5,))],
                                  [vi("o", e, (5,)), vi("p", e, (3, 5))])
        write_case(destination / f"Loop/V={e}/carried_and_collected", graph, [three, yes, x[0]], [x[0], np.stack([x[0]] * 3)])
        body = helper.make_graph([node("Identity", ["s"], ["t"]), node("Identity", ["v"], ["u"])], "b",
                                 [vi("s", e, (5,)), vi("v", e, (5,))], [vi("t", e, (5,)), vi("u", e, (5,))])
        graph = helper.make_graph(
            [node("Scan", ["s", "x"], ["t", "y"], body=body, num_scan_inputs=1, scan_output_directions=[1])], "g",
            [vi("s", e, (5,)), vi("x", e, (3, 5))], [vi("t", e, (5,)), vi("y", e, (3, 5))])
        write_case(destination / f"Scan/V={e}/reversed", graph, [x[0], x], [x[0], x[::-1].copy()])


def bit_casts(destination):
    """Between all types of one width."""
    schema = onnx.defs.get_schema("BitCast", 27)
    of_width = {}
    for _, e in map(kind_and_element, schema.type_constraints[0].allowed_type_strs):
        dtype = helper.tensor_dtype_to_np_dtype(dtype_number(e))
        bits = 4 if "4" in e and e not in ("int64", "uint64", "complex64", "float8e4m3fn", "float8e4m3fnuz") else dtype.itemsize * 8
        of_width.setdefault(2 if e.endswith("int2") else bits, []).append(e)
    for elements in of_width.values():
        for a in elements:
            for b in elements:
                if b == "bool" and a.startswith("float"):
                    continue  # a byte that is neither 0 nor 1 is no bool
                graph = helper.make_graph([helper.make_node("BitCast", ["x"], ["y"], to=dtype_number(b))], "g",
                                          [vi("x", a, (2, 3))], [vi("y", b, (2, 3))])
                x = numbers(a, (2, 3))
                write_case(destination / f"BitCast/T1={a}/to_{b}", graph, [x], [x.view(helper.tensor_dtype_to_np_dtype(dtype_number(b)))])


def make(onnx_cases, destination):
    """Makes all cases; returns what could not be made, with the reason."""
    chosen, skipped = {}, []
    for folder in sorted(onnx_cases.glob("node/*")):
        if "image_decoder" in folder.name or not single_node(folder):
            continue
        case = Case(folder)
        inputs = tuple(bool(name) for name in case.node.input), len(case.node.output)
        shape = inputs, tuple(sorted((a.name, str(a.s)) for a in case.node.attribute))
        known = chosen.setdefault((case.node.domain, case.node.op_type), {})
        if len(known) < CASES_AN_OPERATOR:
            known.setdefault(shape, case)
    for (_, op), cases in sorted(chosen.items()):
        for case in cases.values() if op != "BitCast" else ():
            for parameters, element, names in variants(case):
                name = f"{op}/{parameters}={element}/{case.folder.name.removeprefix('test_')}"
                try:
                    case.retyped(names, element, destination / name)
                except (TypeError, ValueError, NotImplementedError) as error:  # numpy has no such conversion
                    skipped.append(f"{name}: {error}")
    control_flow(destination)
    bit_casts(destination)
    return skipped
