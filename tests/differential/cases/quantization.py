"""Casts, quantisation, and operators on integers with scales."""

import numpy as np
from case import TYPE_NAMES, Refused, dtype_of, generator, node_case
from cases.product import picture, window
from engines import kernel_types, versions


@generator("Cast")
def cast(draw, op):
    opset = draw.one(versions(op, least=9))
    source, target = draw.one(kernel_types(op, opset, "T1")), draw.one(kernel_types(op, opset, "T2"))
    attributes = {"to": TYPE_NAMES[target]}
    small = [t for t in (source, target) if t.startswith("float8") or t.startswith("float4")]
    if opset >= 19 and target.startswith("float8") and draw.chance(0.5):
        attributes["saturate"] = draw.integer(0, 1)
    if source == "string":
        if target == "bool" or TYPE_NAMES[target] > 13:  # their interface hands small floats over as integers here
            raise Refused("no agreed text")
        texts = ["0", "1", "7", "12", "100"] if target[0] == "u" or "int" in target else ["0", "-1.5", "1e3", "3.25", "NaN", "inf", "-inf", "1e-3"]
        shape = draw.shape(0, 3)
        x = np.array([draw.one(texts) for _ in range(int(np.prod(shape)))], object).reshape(shape)
        return node_case(draw, op, [x], attributes, opset=opset)
    if target == "string" and (small or source not in ("int32", "int64", "uint8", "bool", "int8", "int16", "uint16", "uint32", "uint64")):
        raise Refused("the digits are the implementation's")
    if "float" in source or source == "double":
        integer = "int" in target
        if integer:  # what does not fit is undefined
            if source == "float8e8m0":
                raise Refused("half of them do not fit")
            bits = int(target.removeprefix("u").removeprefix("int"))
            high = 2.0 ** min(bits - (target[0] != "u"), 30) - 1
            if TYPE_NAMES[source] in range(17, 25):
                high = min(high, 100.0)
            x = draw.array(source, draw.shape(0, 3), 0 if target[0] == "u" else -high, high)
            if float(np.abs(x.astype(np.float64)).max(initial=0)) > high:
                raise Refused("rounds out of range")
        else:
            x = draw.array(source, draw.shape(0, 3))
    else:
        x = draw.array(source, draw.shape(0, 3))
    if target == "float8e8m0" and not (x.astype(np.float64) > 0).all():
        raise Refused("of negative numbers and zero there is no agreed one")
    return node_case(draw, op, [x], attributes, opset=opset, rtol=0)


@generator("CastLike")
def cast_like(draw, op):
    source, target = draw.one(["float", "double", "int32", "int64", "uint8", "bool"]), draw.one(["float", "double", "int32", "int64", "bool", "float16"])
    return node_case(draw, op, [draw.array(source, draw.shape(), *(() if source == "bool" else (0, 99))), draw.array(target, draw.shape(0, 2))], opset=draw.one([15, 19, 21]))


QUANTIZED = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767), "uint4": (0, 15), "int4": (-8, 7), "uint2": (0, 3), "int2": (-2, 1)}


def granularity(draw, shape, opset):
    """Attributes and the shape of the scales: for all, for an axis, or for blocks."""
    how = draw.integer(0, 2 if opset >= 21 else 1 if opset >= 13 else 0)
    if how == 0 or not shape:
        return {}, ()
    axis = draw.axis(len(shape))
    if how == 1:
        return {"axis": axis}, (shape[axis],)
    block = draw.integer(1, max(1, shape[axis]))
    scales = list(shape)
    scales[axis] = -(-shape[axis] // block)
    if (shape[axis] + scales[axis] - 1) // scales[axis] != block:
        raise Refused("blocks do not fit")
    return {"axis": axis, "block_size": block}, tuple(scales)


@generator("QuantizeLinear")
def quantize(draw, op):
    opset = draw.one(versions(op))
    kinds = kernel_types(op, opset, "T1")
    source = draw.one(kinds)
    target = draw.one(kernel_types(op, opset, "T3" if opset >= 23 else "T2"))
    shape = draw.shape(1, 4, empty=0)
    attributes, scales = granularity(draw, shape, opset)
    if target not in QUANTIZED and "float8" not in target:
        raise Refused("a type of its own")
    x = draw.array(source, shape, -30, 30) if source != "int32" else draw.array(source, shape, -3000, 3000)
    if draw.chance(0.2) and source != "int32":
        x = draw.array(source, shape)
        if np.isnan(x.astype(np.float32)).any():
            raise Refused("NaN has no integer")
    scale_kind = source if source != "int32" else "float"
    scale = draw.array(scale_kind, scales, 0.05, 0.5)
    if draw.chance(0.4):
        scale = np.asarray(scale.astype(np.float32) * 0 + 0.25).astype(dtype_of(scale_kind)).reshape(scales)
    zero = None
    if target in QUANTIZED:
        low, high = QUANTIZED[target]
        zero = draw.array(target, scales, low // 2, high // 2, special=False)
    else:
        zero = np.zeros(scales, np.float32).astype(dtype_of(target))
        if opset >= 19 and draw.chance(0.5):
            attributes["saturate"] = draw.integer(0, 1)
    if target == "uint8" and draw.chance(0.3):
        zero = None
    return node_case(draw, op, [x, scale, zero], attributes, opset=opset, constants=0.6, steps=1 if "16" in source and target in QUANTIZED else 0)


@generator("DequantizeLinear")
def dequantize(draw, op):
    opset = draw.one(versions(op))
    source = draw.one(kernel_types(op, opset, "T1" if opset >= 19 else "T"))
    shape = draw.shape(1, 4, empty=0)
    attributes, scales = granularity(draw, shape, opset)
    scale_kind = draw.one(["float", "float", "float16"]) if opset >= 19 else "float"
    x = draw.array(source, shape) if source in QUANTIZED or source == "int32" else draw.array(source, shape, -9, 9)
    zero = None
    if source in QUANTIZED and draw.chance(0.8):
        zero = draw.array(source, scales, *[v // 2 for v in QUANTIZED[source]], special=False)
    free = source not in ("uint4", "int4", "uint2", "int2")
    inputs = [x, draw.array(scale_kind, scales, 0.01, 2), zero]
    return node_case(draw, op, inputs, attributes, opset=opset, constants=0.6 if free else 0.0)


@generator("DynamicQuantizeLinear")
def dynamic_quantize(draw, op):
    low = draw.one([-5, 0.5, -5])
    return node_case(draw, op, [draw.array("float", draw.shape(0, 4, empty=0), low, low + 8)], outputs=3, opset=11)


def weights(draw, kind, shape, of):
    """Their u8 x s8 products saturate on processors without dot products: weights of 7 bits keep clear of that."""
    return draw.array(kind, shape, *((-63, 63) if kind == "int8" and of == "uint8" else ()))


def scales_of(draw, shape=()):
    return draw.array("float", shape, 0.005, 0.1)


@generator("MatMulInteger")
def matmul_integer(draw, op):
    a_kind, b_kind = draw.one(["uint8", "int8"]), draw.one(["uint8", "int8"])
    m, k, n = (draw.size(0) if draw.chance(0.8) else draw.integer(1, 100) for _ in range(3))
    outer = draw.shape(0, 2, empty=0, elements=10)
    a, b = (*outer, m, k), (k, n) if draw.chance(0.6) else (*outer, k, n)
    a_zero = draw.array(a_kind, (), special=False) if draw.chance(0.5) else None
    b_zero = draw.array(b_kind, draw.one([(), (n,)] if len(b) == 2 else [()]), special=False) if draw.chance(0.5) else None
    return node_case(draw, op, [draw.array(a_kind, a), weights(draw, b_kind, b, a_kind), a_zero, b_zero], opset=10, constants=0.5)


@generator("ConvInteger")
def conv_integer(draw, op):
    rank, size = picture(draw)
    attributes, kernel = window(draw, size, rank)
    group, per_in, per_out = draw.one([1, 1, 2, 3]), draw.one([1, 2, 3, 8]), draw.one([1, 2, 5, 8])
    attributes |= {"group": group} if group > 1 else {}
    x = draw.array("uint8", (draw.integer(1, 2), group * per_in, *size))
    w = weights(draw, draw.one(kernel_types(op, 10, "T2")), (group * per_out, per_in, *kernel), "uint8")
    x_zero = draw.array("uint8", (), special=False) if draw.chance(0.5) else None
    return node_case(draw, op, [x, w, x_zero], attributes | {"kernel_shape": kernel}, opset=10, constants=0.5)


@generator("QLinearMatMul")
def qlinear_matmul(draw, op):
    opset = draw.one(versions(op))
    kinds = [draw.one(["uint8", "int8"]) for _ in range(2)]
    kinds.append(kinds[0])
    m, k, n = (draw.size(0) if draw.chance(0.8) else draw.integer(1, 100) for _ in range(3))
    outer = draw.shape(0, 2, empty=0, elements=10)
    a, b = (*outer, m, k), (k, n) if draw.chance(0.6) else (*outer, k, n)
    column = draw.one([(), (n,)]) if len(b) == 2 else ()
    zeros = [draw.array(kind, shape, *[v // 2 for v in QUANTIZED[kind]], special=False) for kind, shape in zip(kinds, [(), column, ()])]
    inputs = [draw.array(kinds[0], a), scales_of(draw), zeros[0], weights(draw, kinds[1], b, kinds[0]), scales_of(draw, column), zeros[1], scales_of(draw) * max(4, k), zeros[2]]
    inputs[6] = np.asarray(inputs[6], np.float32)
    return node_case(draw, op, inputs, opset=opset, constants=0.8, steps=1, never_constant=(0,), rtol=0)


@generator("QLinearConv")
def qlinear_conv(draw, op):
    rank, size = picture(draw)
    attributes, kernel = window(draw, size, rank)
    group, per_in, per_out = draw.one([1, 1, 1, 2, 3]), draw.one([1, 2, 3, 8, 16]), draw.one([1, 2, 5, 8, 16])
    if draw.chance(0.25):
        group, per_in, per_out = draw.one([3, 8, 16, 24, 33]), 1, 1
    attributes |= {"group": group} if group > 1 else {}
    filters = group * per_out
    kind = draw.one(["uint8", "int8"])
    weight_kind = "int8" if kind == "int8" else draw.one(["uint8", "int8"])
    per_filter = draw.one([(), (filters,)])
    low, high = QUANTIZED[kind]
    inputs = [
        draw.array(kind, (draw.integer(1, 2), group * per_in, *size)), scales_of(draw), draw.array(kind, (), low // 2, high // 2, special=False),
        weights(draw, weight_kind, (filters, per_in, *kernel), kind), scales_of(draw, per_filter), np.zeros(per_filter, dtype_of(weight_kind)) if weight_kind == "int8" else draw.array(weight_kind, (), 40, 80, special=False),
        np.float32(draw.number(0.05, 2)).reshape(()), draw.array(kind, (), low // 2, high // 2, special=False),
        draw.array("int32", (filters,), -500, 500) if draw.chance(0.6) else None,
    ]  # fmt: skip
    inputs[6] = np.asarray(inputs[6])
    return node_case(draw, op, inputs, attributes | {"kernel_shape": kernel}, opset=10, constants=1.0, never_constant=(0,), steps=1)


