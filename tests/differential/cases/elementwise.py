"""Operators that take element by element, with and without broadcasting."""

from case import Refused, generator, node_case
from engines import kernel_types, versions

FLOAT_UNARY = {  # operator -> a range, where the function has a natural one
    "Acos": (-1.2, 1.2), "Acosh": (0.5, 1e4), "Asin": (-1.2, 1.2), "Asinh": None, "Atan": None, "Atanh": (-1.1, 1.1),
    "Ceil": None, "Cos": (-30, 30), "Cosh": (-20, 20), "Erf": (-5, 5), "Exp": (-20, 20), "Floor": None, "Log": None, "Reciprocal": None,
    "Round": None, "Sigmoid": None, "Sin": (-30, 30), "Sinh": (-20, 20), "Softplus": None, "Softsign": None, "Sqrt": None, "Tan": (-1.5, 1.5), "Tanh": None,
    "Abs": None, "Neg": None, "Relu": None, "Sign": None,
}  # fmt: skip


@generator(*FLOAT_UNARY)
def unary(draw, op):
    opset = draw.one(versions(op, least=6))
    types = kernel_types(op, opset)
    if not types:
        raise Refused("no kernel")
    limits = FLOAT_UNARY[op] if draw.chance(0.6) else None
    x = draw.array(draw.one(types), draw.shape(), *(limits or ()))
    close = {"atol": 2e-6} if op in ("Sin", "Cos", "Tan", "Sinh", "Asinh", "Atanh", "Acosh", "Acos", "Erf", "Log") else {"atol": 1e-7}
    return node_case(draw, op, [x], opset=opset, **close)


ACTIVATIONS = {  # operator -> {attribute: range}
    "Celu": {"alpha": (0.1, 3)}, "Elu": {"alpha": (-1, 3)}, "HardSigmoid": {"alpha": (0, 1), "beta": (0, 1)}, "LeakyRelu": {"alpha": (-1, 1)},
    "Selu": {"alpha": (0.1, 3), "gamma": (0.5, 2)}, "ThresholdedRelu": {"alpha": (-1, 2)}, "Shrink": {"bias": (-1, 1), "lambd": (0, 1)},
    "HardSwish": {}, "Mish": {}, "Swish": {"alpha": (0.2, 2)},
}  # fmt: skip


@generator(*ACTIVATIONS)
def activation(draw, op):
    opset = draw.one(versions(op, least=6))
    types = kernel_types(op, opset) or ["float"]
    attributes = {name: draw.number(*limits) for name, limits in ACTIVATIONS[op].items() if draw.chance(0.7)}
    kind = draw.one(types)
    limits = (0, 100) if "int" in kind else ()  # Shrink; larger ones are exact in neither's float
    return node_case(draw, op, [draw.array(kind, draw.shape(), *limits)], attributes, opset=opset, atol=2e-6)


@generator("Gelu")
def gelu(draw, op):
    attributes = {"approximate": draw.one(["none", "tanh"])} if draw.chance(0.7) else {}
    return node_case(draw, op, [draw.array(draw.one(kernel_types(op, 20)), draw.shape())], attributes, opset=20, atol=2e-6)


@generator("Add", "Sub", "Mul", "Div", "Pow", "PRelu")
def arithmetic(draw, op):
    opset = draw.one(versions(op, least=7))
    kind = draw.one(kernel_types(op, opset) or ["float"])
    a, b = draw.broadcasts(2)
    if op == "PRelu":
        a, b = draw.shape(), None
        b = draw.broadcast(a)
    if op == "Div" and "int" in kind:
        return node_case(draw, op, [draw.array(kind, a, -100 if kind[0] != "u" else 0, 100), draw.array(kind, b, 1, 20)], opset=opset)
    if op == "Pow":
        other = draw.one(kernel_types(op, opset, "T1")) if opset >= 12 else kind
        if "int" in kind or "int" in other:
            base = draw.array(kind, a, 0 if kind[0] == "u" else -6, 6)
            return node_case(draw, op, [base, draw.array(other, b, 0, 5).round()], opset=opset)
        low = -3 if draw.chance(0.2) else 0.01
        return node_case(draw, op, [draw.array(kind, a, low, 6), draw.array(other, b, -4, 4)], opset=opset)
    return node_case(draw, op, [draw.array(kind, a), draw.array(kind, b)], opset=opset)


@generator("Max", "Min", "Mean", "Sum")
def variadic(draw, op):
    opset = draw.one(versions(op, least=8))
    kind = draw.one(kernel_types(op, opset))
    inputs = [draw.array(kind, shape) for shape in draw.broadcasts(draw.integer(1, 4))]
    return node_case(draw, op, inputs, opset=opset, rtol=None if op != "Mean" else 2e-5, atol=1e-6 if op in ("Mean", "Sum") else 0)


@generator("Mod")
def mod(draw, op):
    opset = draw.one(versions(op))
    kind = draw.one(kernel_types(op, opset))
    a, b = draw.broadcasts(2)
    fmod = 1 if "float" in kind or kind == "double" else draw.integer(0, 1)
    low = 0 if kind[0] == "u" else -50
    if "int" not in kind:
        return node_case(draw, op, [draw.array(kind, a, -50, 50), draw.array(kind, b, 0.5, 7)], {"fmod": 1}, opset=opset)
    divisor = draw.array(kind, b, 1, 9)
    if low and draw.chance(0.5):
        divisor = -divisor
    return node_case(draw, op, [draw.array(kind, a, low, 50), divisor], {"fmod": fmod}, opset=opset)


@generator("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def comparison(draw, op):
    opset = draw.one(versions(op, least=7))
    kind = draw.one(kernel_types(op, opset))
    a, b = draw.broadcasts(2)
    limits = () if kind in ("string", "bool") or draw.chance(0.2) else (0, 5)
    x, y = draw.array(kind, a, *limits), draw.array(kind, b, *limits)
    if "float" in kind or kind == "double":
        x, y = x.round(), y.round()
    return node_case(draw, op, [x, y], opset=opset)


@generator("And", "Or", "Xor")
def logical(draw, op):
    return node_case(draw, op, [draw.array("bool", shape) for shape in draw.broadcasts(2)], opset=7)


@generator("Not")
def logical_not(draw, op):
    return node_case(draw, op, [draw.array("bool", draw.shape())], opset=1)


@generator("BitwiseAnd", "BitwiseOr", "BitwiseXor")
def bitwise(draw, op):
    kind = draw.one(kernel_types(op, 18))
    return node_case(draw, op, [draw.array(kind, shape) for shape in draw.broadcasts(2)], opset=18)


@generator("BitwiseNot")
def bitwise_not(draw, op):
    return node_case(draw, op, [draw.array(draw.one(kernel_types(op, 18)), draw.shape())], opset=18)


@generator("BitShift")
def bit_shift(draw, op):
    kind = draw.one(kernel_types(op, 11))
    a, b = draw.broadcasts(2)
    return node_case(draw, op, [draw.array(kind, a), draw.array(kind, b, 0, 7)], {"direction": draw.one(["LEFT", "RIGHT"])}, opset=11)


@generator("IsNaN")
def is_nan(draw, op):
    opset = draw.one(versions(op))
    kind = draw.one(kernel_types(op, opset, "T1"))
    return node_case(draw, op, [draw.array(kind, draw.shape(), special=draw.chance(0.8))], opset=opset)


@generator("IsInf")
def is_inf(draw, op):
    opset = draw.one(versions(op))
    kind = draw.one(kernel_types(op, opset, "T1"))
    attributes = {name: draw.integer(0, 1) for name in ["detect_negative", "detect_positive"] if draw.chance(0.5)}
    return node_case(draw, op, [draw.array(kind, draw.shape(), special=draw.chance(0.8))], attributes, opset=opset)


@generator("Clip")
def clip(draw, op):
    opset = draw.one(versions(op, least=6))
    kind = draw.one(kernel_types(op, opset))
    low, high = sorted(draw.integers(0 if kind[0] == "u" else -20, 30, 2))
    scale = 1.0 if "int" in kind else 0.37
    if opset < 11:
        attributes = {name: v * scale for name, v in [("min", float(low)), ("max", float(high))] if draw.chance(0.7)}
        return node_case(draw, op, [draw.array("float", draw.shape())], attributes, opset=opset)
    bounds = [draw.array(kind, (), v * scale, v * scale, special=False) if draw.chance(0.7) else None for v in (low, high)]
    return node_case(draw, op, [draw.array(kind, draw.shape()), *bounds], opset=opset)


@generator("Where")
def where(draw, op):
    opset = draw.one(versions(op))
    kind = draw.one(kernel_types(op, opset))
    c, x, y = draw.broadcasts(3)
    return node_case(draw, op, [draw.array("bool", c), draw.array(kind, x), draw.array(kind, y)], opset=opset)
