"""Matrix products, convolutions and pooling."""

import numpy as np
from case import Refused, generator, node_case
from engines import kernel_types, versions


@generator("MatMul")
def matmul(draw, op):
    opset = draw.one(versions(op))
    kind = draw.one(kernel_types(op, opset))
    m, k, n = (draw.size(0.01) if draw.chance(0.8) else draw.integer(1, 100) for _ in range(3))
    a, b = draw.broadcasts(2, 2) if draw.chance(0.5) else ((), ())
    if draw.chance(0.5):
        b = ()
    a, b = (*a, m, k), (*b, k, n)
    if np.prod(a) * n > 4e6:
        raise Refused("large")
    if draw.chance(0.1):
        a = (k,)
    if draw.chance(0.1):
        b = (k,)
    return node_case(draw, op, [draw.array(kind, a, *((-5, 5) if kind[0] != "u" else (0, 5))), draw.array(kind, b, *((-5, 5) if kind[0] != "u" else (0, 5)))], opset=opset, of_max=2e-6)


@generator("Gemm")
def gemm(draw, op):
    opset = draw.one(versions(op, least=7))
    kind = draw.one(kernel_types(op, opset))
    m, k, n = (draw.size(0.01) if draw.chance(0.8) else draw.integer(1, 100) for _ in range(3))
    attributes = {name: draw.integer(0, 1) for name in ["transA", "transB"] if draw.chance(0.7)}
    attributes |= {name: draw.number(-2, 2) for name in ["alpha", "beta"] if draw.chance(0.4)}
    a = (k, m) if attributes.get("transA") else (m, k)
    b = (n, k) if attributes.get("transB") else (k, n)
    c = draw.one([(m, n), (1, n), (n,), (m, 1), (1, 1), (), (1,)])
    bias = draw.array(kind, c, -5, 5) if draw.chance(0.7) or opset < 11 else None
    return node_case(draw, op, [draw.array(kind, a, -5, 5), draw.array(kind, b, -5, 5), bias], attributes, opset=opset, of_max=3e-6)


def window(draw, size, rank, grow=False):
    """Attributes of a sliding window over `size`, and the kernel's shape."""
    kernel = [draw.one([1, 2, 3, 3, 5, 7]) for _ in range(rank)]
    attributes = {}
    if draw.chance(0.6):
        attributes["strides"] = draw.integers(1, 3, rank)
    dilations = draw.integers(1, 3, rank) if draw.chance(0.3) else [1] * rank
    if dilations != [1] * rank:
        attributes["dilations"] = dilations
    auto = draw.one(["NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if auto != "NOTSET":
        attributes["auto_pad"] = auto
    elif draw.chance(0.7):
        attributes["pads"] = [draw.integer(0, d * (k - 1) // (1 if grow else 2)) for k, d in zip(kernel * 2, dilations * 2)]
    pads = attributes.get("pads", [0] * 2 * rank)
    for i in range(rank):
        total = size[i] + pads[i] + pads[i + rank]
        if auto != "SAME_UPPER" and auto != "SAME_LOWER" and dilations[i] * (kernel[i] - 1) + 1 > total:
            size[i] += dilations[i] * (kernel[i] - 1) + 1 - total
    return attributes, kernel


def picture(draw):
    rank = draw.one([1, 2, 2, 2, 2, 3])
    return rank, [draw.integer(1, 20) if rank < 3 else draw.integer(1, 8) for _ in range(rank)]


@generator("Conv")
def conv(draw, op):
    rank, size = picture(draw)
    attributes, kernel = window(draw, size, rank)
    group = draw.one([1, 1, 1, 2, 3, 8])
    per_in, per_out = draw.one([1, 2, 3, 4, 8, 16, 17]), draw.one([1, 1, 2, 4, 8, 16])
    if draw.chance(0.25):  # depthwise
        group, per_in, per_out = draw.one([3, 8, 16, 24, 33]), 1, draw.one([1, 1, 1, 2])
    if group > 1:
        attributes["group"] = group
    if draw.chance(0.5):
        attributes["kernel_shape"] = kernel
    x = draw.array("float", (draw.integer(1, 3), group * per_in, *size), -2, 2)
    w = draw.array("float", (group * per_out, per_in, *kernel), -1, 1)
    b = draw.array("float", (group * per_out,), -1, 1) if draw.chance(0.6) else None
    return node_case(draw, op, [x, w, b], attributes, opset=draw.one(versions(op)), constants=0.7, of_max=5e-6)


@generator("ConvTranspose")
def conv_transpose(draw, op):
    rank, size = picture(draw)
    attributes, kernel = window(draw, size, rank)
    group, per_in, per_out = draw.one([1, 1, 2, 3]), draw.one([1, 2, 3, 8]), draw.one([1, 2, 5, 8])
    strides = attributes.get("strides", [1] * rank)
    if draw.chance(0.3):
        attributes["output_padding"] = [draw.integer(0, s - 1) for s in strides]
    if attributes.get("auto_pad") == "VALID":
        attributes.pop("auto_pad")
    dilations = attributes.get("dilations", [1] * rank)
    pads = attributes.get("pads", [0] * 2 * rank)
    for i in range(rank):
        full = strides[i] * (size[i] - 1) + dilations[i] * (kernel[i] - 1) + 1
        if full - pads[i] - pads[i + rank] < 1:
            raise Refused("empty output")
        if attributes.get("auto_pad") and full < size[i] * strides[i]:
            raise Refused("negative padding")
    if attributes.get("auto_pad"):
        attributes.pop("output_padding", None)
    if group > 1:
        attributes["group"] = group
    x = draw.array("float", (draw.integer(1, 2), group * per_in, *size), -2, 2)
    w = draw.array("float", (group * per_in, per_out, *kernel), -1, 1)
    b = draw.array("float", (group * per_out,), -1, 1) if draw.chance(0.6) else None
    return node_case(draw, op, [x, w, b], attributes | {"kernel_shape": kernel}, opset=draw.one(versions(op)), constants=0.7, of_max=5e-6)


@generator("DeformConv")
def deform_conv(draw, op):
    kind = draw.one(kernel_types(op, 22))
    n, group, per_in, per_out, offset_group = draw.integer(1, 2), draw.integer(1, 2), draw.one([2, 4]), draw.integer(1, 4), draw.integer(1, 2)
    h, w, kh, kw = draw.integer(4, 10), draw.integer(4, 10), draw.integer(1, 3), draw.integer(1, 3)
    stride, dilation, pads = draw.integers(1, 2, 2), draw.integers(1, 2, 2), draw.integers(0, 2, 4)
    oh = (h + pads[0] + pads[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (w + pads[1] + pads[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    if min(oh, ow) < 1:
        raise Refused("empty output")
    inputs = [
        draw.array(kind, (n, group * per_in, h, w), -2, 2),
        draw.array(kind, (group * per_out, per_in, kh, kw), -1, 1),
        draw.array(kind, (n, offset_group * kh * kw * 2, oh, ow), -2, 2),
        draw.array(kind, (group * per_out,), -1, 1) if draw.chance(0.5) else None,
        draw.array(kind, (n, offset_group * kh * kw, oh, ow), 0, 1) if draw.chance(0.5) else None,
    ]
    attributes = {"strides": stride, "dilations": dilation, "pads": pads, "group": group, "offset_group": offset_group, "kernel_shape": [kh, kw]}
    return node_case(draw, op, inputs, attributes, opset=draw.one([19, 22]), of_max=1e-5)


@generator("MaxPool", "AveragePool", "LpPool")
def pool(draw, op):
    opset = draw.one(versions(op, least=2 if op == "LpPool" else 1))
    kind = draw.one(kernel_types(op, opset))
    rank, size = picture(draw)
    attributes, kernel = window(draw, size, rank)
    if opset < {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}[op]:
        attributes.pop("dilations", None)
    dilations = attributes.get("dilations", [1] * rank)
    if "SAME" in attributes.get("auto_pad", ""):  # a negative padding is a crop for some of their kernels, an error for others
        kernel = [max(k, s) for k, s in zip(kernel, attributes.get("strides", kernel))]
    if "pads" in attributes:  # less than the kernel
        attributes["pads"] = [min(p, k - 1) for p, k in zip(attributes["pads"], kernel * 2)]
        for i in range(rank):
            total = size[i] + attributes["pads"][i] + attributes["pads"][i + rank]
            size[i] += max(0, dilations[i] * (kernel[i] - 1) + 1 - total)
    if opset >= {"MaxPool": 10, "AveragePool": 10, "LpPool": 18}[op] and draw.chance(0.4):
        attributes["ceil_mode"] = draw.integer(0, 1)
    outputs = 1
    if op == "AveragePool" and opset >= 7 and draw.chance(0.5):
        attributes["count_include_pad"] = draw.integer(0, 1)
    if op == "LpPool" and draw.chance(0.6):
        attributes["p"] = draw.integer(1, 3)
    if op == "MaxPool" and opset >= 8:
        outputs = draw.integer(1, 2)
        if draw.chance(0.3):
            attributes["storage_order"] = draw.integer(0, 1)
    x = draw.array(kind, (draw.integer(1, 2), draw.one([1, 2, 3, 8, 17]), *size), *((-3, 3) if kind in ("float", "double") else ()), special=False)
    return node_case(draw, op, [x], attributes | {"kernel_shape": kernel}, outputs=outputs, opset=opset, of_max=2e-6)


@generator("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool")
def global_pool(draw, op):
    opset = draw.one(versions(op, least=2 if "Lp" in op else 1))
    attributes = {"p": draw.integer(1, 3)} if "Lp" in op and draw.chance(0.6) else {}
    return node_case(draw, op, [draw.array("float", draw.shape(3, 5, empty=0), -3, 3)], attributes, opset=opset, of_max=5e-6, atol=1e-6)


@generator("MaxUnpool")
def max_unpool(draw, op):
    n, c, h, w = 1, draw.integer(1, 3), draw.integer(1, 6), draw.integer(1, 6)
    kernel, strides = draw.integers(1, 3, 2), draw.integers(1, 3, 2)
    oh, ow = (h - 1) * strides[0] + kernel[0], (w - 1) * strides[1] + kernel[1]
    x = draw.array("float", (n, c, h, w), -3, 3)
    indices = draw.rng.permutation(n * c * oh * ow)[: x.size].reshape(x.shape).astype(np.int64)
    inputs = [x, indices]
    if draw.chance(0.4):
        inputs.append(np.array([n, c, oh + draw.integer(0, 2), ow + draw.integer(0, 2)], np.int64))
    return node_case(draw, op, inputs, {"kernel_shape": kernel, "strides": strides}, opset=draw.one(versions(op)))


@generator("Col2Im")
def col2im(draw, op):
    rank = draw.integer(1, 3)
    block, size = draw.integers(1, 3, rank), draw.integers(4, 8, rank)
    attributes = {"strides": draw.integers(1, 2, rank), "pads": draw.integers(0, 1, 2 * rank), "dilations": draw.integers(1, 2, rank)}
    count = 1
    for i in range(rank):
        places = (size[i] + attributes["pads"][i] + attributes["pads"][i + rank] - attributes["dilations"][i] * (block[i] - 1) - 1) // attributes["strides"][i] + 1
        if places < 1:
            raise Refused("no place for the block")
        count *= places
    x = draw.array("float", (draw.integer(1, 2), draw.integer(1, 3) * int(np.prod(block)), count), -3, 3)
    return node_case(draw, op, [x, np.array(size, np.int64), np.array(block, np.int64)], attributes, opset=18, atol=1e-6, constants=0.6)
