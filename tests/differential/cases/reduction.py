"""Operators that reduce, scan or normalise along axes."""

import numpy as np
from case import generator, node_case
from engines import kernel_types, versions

REDUCTIONS = ["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"]


@generator(*REDUCTIONS)
def reduce(draw, op):
    opset = draw.one(versions(op))
    kind = draw.one(kernel_types(op, opset))
    shape = draw.shape(0, 5, elements=8000)
    limits = {"ReduceProd": (0.5, 1.5), "ReduceLogSum": (0.1, 4)}.get(op, ())
    if "int" in kind:
        limits = (0 if kind == "uint8" else -9, 9) if op != "ReduceLogSum" else (1, 9)
        if op == "ReduceProd":
            limits = (-2, 2)
        if op in ("ReduceL2", "ReduceLogSumExp"):
            limits = (0, 9)
    if op == "ReduceMean" and "int" in kind:
        limits = (0, 9)  # where truncating and flooring agree
    special = None if op in ("ReduceMax", "ReduceMin") else False  # sums of what overflows depend on their order
    x = draw.array(kind, shape, *limits, special=special)
    if 0 in shape and opset < 20 and op in ("ReduceMax", "ReduceMin", "ReduceMean", "ReduceLogSumExp"):
        x = draw.array(kind, [max(1, size) for size in shape], *limits, special=special)
    attributes = {"keepdims": draw.integer(0, 1)} if draw.chance(0.7) else {}
    axes = draw.axes(x.ndim, 1) if x.ndim and draw.chance(0.8) else None
    if opset < 11 and axes:
        axes = sorted(axis % x.ndim for axis in axes)
    inputs = [x]
    if opset >= 18 or (opset >= 13 and op == "ReduceSum"):
        if draw.chance(0.5):
            attributes["noop_with_empty_axes"] = draw.integer(0, 1)
        if axes:
            inputs.append(np.array(axes, np.int64))
    elif axes:
        attributes["axes"] = axes
    loose = {"rtol": 3e-5, "of_max": 2e-6} if kind == "float" else {"steps": int("Log" in op or op == "ReduceL2")}
    return node_case(draw, op, inputs, attributes, opset=opset, constants=0.5, **loose)


@generator("ArgMax", "ArgMin")
def arg_reduce(draw, op):
    opset = draw.one(versions(op))
    kind = draw.one(kernel_types(op, opset))
    ties = (0, 4) if draw.chance(0.5) else ()
    x = draw.array(kind, draw.shape(1, 4, empty=0), *ties, special=False)
    if ties and "int" not in kind:
        x = x.round()
    attributes = {"keepdims": draw.integer(0, 1)} if draw.chance(0.7) else {}
    if draw.chance(0.8):
        attributes["axis"] = draw.axis(x.ndim) if opset >= 11 else draw.integer(0, x.ndim - 1)
    if opset >= 12 and draw.chance(0.5):
        attributes["select_last_index"] = draw.integer(0, 1)
    return node_case(draw, op, [x], attributes, opset=opset)


@generator("CumSum", "CumProd")
def cumulative(draw, op):
    opset = draw.one(versions(op))
    kind = draw.one(kernel_types(op, opset))
    limits = (() if op == "CumSum" else (0.5, 1.5)) if "int" not in kind else (-3 if kind[0] != "u" else 0, 3)
    x = draw.array(kind, draw.shape(1, 4), *limits)
    attributes = {name: draw.integer(0, 1) for name in ["exclusive", "reverse"] if draw.chance(0.6)}
    axis = np.array(draw.axis(x.ndim), draw.one([np.int32, np.int64])).reshape(draw.one([(), (1,)]) if op == "CumSum" else ())
    return node_case(draw, op, [x, axis], attributes, opset=opset, of_max=1e-5, constants=0.5)


@generator("Softmax", "LogSoftmax", "Hardmax")
def softmax(draw, op):
    opset = draw.one(versions(op))
    kind = draw.one(kernel_types(op, opset))
    limits = () if draw.chance(0.4) else (-10, 10)
    x = draw.array(kind, draw.shape(1, 4), *limits, special=None if op != "Hardmax" else False)
    attributes = {}
    if draw.chance(0.8):
        attributes["axis"] = draw.axis(x.ndim) if opset >= 11 else draw.integer(0, x.ndim - 1)
    return node_case(draw, op, [x], attributes, opset=opset, atol=2e-6, rtol=2e-5 if kind == "float" else None)


@generator("LpNormalization")
def lp_normalization(draw, op):
    kind = draw.one(kernel_types(op, 1))
    attributes = {"p": draw.integer(1, 2)} if draw.chance(0.7) else {}
    x = draw.array(kind, draw.shape(1, 4), -5, 5)
    if draw.chance(0.7):
        attributes["axis"] = draw.axis(x.ndim)
    return node_case(draw, op, [x], attributes, opset=draw.one(versions(op)), atol=1e-6)


@generator("MeanVarianceNormalization")
def mean_variance(draw, op):
    x = draw.array("float", draw.shape(4, 4, empty=0), -5, 5)
    attributes = {"axes": draw.one([[0, 2, 3], [0, 1, 2, 3], [2, 3]])} if draw.chance(0.7) else {}
    return node_case(draw, op, [x], attributes, opset=draw.one([9, 13]), atol=3e-4, rtol=1e-3)


@generator("LayerNormalization", "RMSNormalization")
def layer_normalization(draw, op):
    opset = 17 if op == "LayerNormalization" else 23
    kind = draw.one(kernel_types(op, opset))
    x = draw.array(kind, draw.shape(1, 4, empty=0), -3, 3)
    axis = draw.axis(x.ndim)
    inner = x.shape[axis % x.ndim :]
    attributes = ({"axis": axis} if draw.chance(0.9) or axis != -1 else {}) | ({"epsilon": 1e-3} if draw.chance(0.5) else {})
    if op == "RMSNormalization":
        return node_case(draw, op, [x, draw.array(kind, inner, -2, 2)], attributes, opset=opset, atol=2e-5 if "16" not in kind else 2e-2)
    inputs = [x, draw.array(kind, inner, -2, 2)] + ([draw.array(kind, inner, -1, 1)] if draw.chance(0.6) else [])
    outputs = [True, draw.chance(0.3), draw.chance(0.3)]
    return node_case(draw, op, inputs, attributes, outputs=outputs, opset=opset, atol=1e-4 if "16" not in kind else 2e-2, rtol=1e-3)


@generator("InstanceNormalization", "BatchNormalization", "GroupNormalization")
def channel_normalization(draw, op):
    opset = draw.one(versions(op, least=7 if op == "BatchNormalization" else 6))
    types = kernel_types(op, opset) or ["float"]
    kind = draw.one(types)
    shape = list(draw.shape(3 if op != "BatchNormalization" else 2, 5, empty=0))
    groups = draw.integer(1, 3)
    if op == "GroupNormalization":
        shape[1] *= groups
    channels = (shape[1],) if op != "GroupNormalization" or opset >= 21 else (groups,)
    x = draw.array(kind, shape, -3, 3)
    attributes = {"epsilon": 1e-3} if draw.chance(0.5) else {}
    inputs = [x, draw.array(kind, channels, -2, 2), draw.array(kind, channels, -1, 1)]
    if op == "BatchNormalization":
        inputs += [draw.array(kind, channels, -1, 1), draw.array(kind, channels, 0.1, 2)]
    if op == "GroupNormalization":
        attributes["num_groups"] = groups
        numbers = x.reshape(shape[0], groups, -1).astype(np.float64)
        if (numbers.var(-1) < 1e-4 * numbers.mean(-1) ** 2).any():
            draw.features.add("a group with little variance")
    return node_case(draw, op, inputs, attributes, opset=opset, atol=2e-4, rtol=1e-3, constants=0.6)


@generator("LRN")
def lrn(draw, op):
    attributes = {"size": draw.one([1, 3, 5, 7])} | {name: draw.number(*limits) for name, limits in {"alpha": (1e-4, 0.5), "beta": (0.3, 1), "bias": (0.5, 2)}.items() if draw.chance(0.6)}
    return node_case(draw, op, [draw.array("float", draw.shape(4, 4, empty=0), -3, 3)], attributes, opset=draw.one([1, 13]), atol=1e-5)


@generator("Dropout")
def dropout(draw, op):
    opset = draw.one(versions(op, least=7))
    kind = draw.one(kernel_types(op, opset))
    x = draw.array(kind, draw.shape())
    if opset < 12:
        return node_case(draw, op, [x], {"ratio": 0.3} if draw.chance(0.5) else {}, outputs=[True, draw.chance(0.5) and opset >= 10], opset=opset)
    ratio = np.array(draw.one([0.0, 0.5]), np.float32) if draw.chance(0.6) else None
    return node_case(draw, op, [x, ratio, np.array(False) if draw.chance(0.5) else None], outputs=[True, draw.chance(0.5)], opset=opset)


@generator("Einsum")
def einsum(draw, op):
    kind = draw.one(["float", "float", "double", "int32", "int64"])
    letters = "abcdef"
    sizes = {letter: draw.one([1, 2, 3, 5, 8, 17]) for letter in letters}
    terms = ["".join(letters[i] for i in draw.some(range(5), 1)[:3]) for _ in range(draw.integer(1, 3))]
    terms = ["".join(draw.rng.permutation(list(term))) for term in terms]
    if draw.chance(0.1):
        terms[0] += terms[0][0]  # a diagonal
    dots = draw.chance(0.2)
    outer = draw.shape(1, 2, empty=0, elements=20) if dots else ()
    used = sorted(set("".join(terms)))
    equation = ",".join(("..." if dots else "") + term for term in terms)
    if draw.chance(0.8):
        output = "".join(draw.rng.permutation(draw.some(used, 0)))
        equation += "->" + ("..." if dots else "") + output
    if draw.chance(0.2):
        equation = equation.replace(",", " , ").replace("->", " -> ")
    inputs = [draw.array(kind, outer + tuple(sizes[letter] for letter in term), -3, 3) for term in terms]
    return node_case(draw, op, inputs, {"equation": equation}, opset=12, of_max=1e-5)
