"""Operators that move elements and compute none."""

import numpy as np
from case import Refused, dtype_of, generator, node_case
from engines import kernel_types, versions


def any_type(draw, op, opset, parameter="T"):
    return draw.one(kernel_types(op, opset, parameter))


def index(draw, shape, low, high, kinds=("int64", "int32")):
    return draw.array(draw.one(kinds), shape, low, high, special=False)


def int64s(values):
    return np.array(values, np.int64)


@generator("Transpose")
def transpose(draw, op):
    opset = draw.one(versions(op))
    x = draw.array(any_type(draw, op, opset), draw.shape(0, 6))
    attributes = {"perm": draw.rng.permutation(x.ndim).tolist()} if x.ndim and draw.chance(0.8) else {}
    return node_case(draw, op, [x], attributes, opset=opset)


@generator("Reshape")
def reshape(draw, op):
    opset = draw.one(versions(op, least=5))
    x = draw.array(any_type(draw, op, opset), draw.shape())
    factors = [f for f in draw.rng.permutation(x.shape).tolist()]
    target = []
    while factors:  # merge neighbours, put ones between
        take = draw.integer(1, len(factors))
        target.append(int(np.prod(factors[:take])))
        factors = factors[take:]
        target += [1] * draw.chance(0.2)
    attributes = {}
    if x.size and target and draw.chance(0.4):
        target[draw.integer(0, len(target) - 1)] = -1
    for i in range(min(len(target), x.ndim)):
        if x.size and target[i] == x.shape[i] and draw.chance(0.5):
            target[i] = 0
    if opset >= 14 and 0 not in target and draw.chance(0.3):
        attributes["allowzero"] = 1
    if opset >= 14 and not x.size:
        attributes["allowzero"] = 1
    elif not x.size:
        raise Refused("an empty target needs allowzero")
    return node_case(draw, op, [x, int64s(target)], attributes, opset=opset, constants=0.5)


@generator("Flatten")
def flatten(draw, op):
    opset = draw.one(versions(op))
    x = draw.array(any_type(draw, op, opset), draw.shape(1))
    axis = draw.integer(0 if opset < 11 else -x.ndim, x.ndim)
    return node_case(draw, op, [x], {"axis": axis} if draw.chance(0.8) else {}, opset=opset)


@generator("Squeeze")
def squeeze(draw, op):
    opset = draw.one(versions(op))
    shape = [1 if draw.chance(0.5) else size for size in draw.shape(0, 5)]
    ones = [i for i, size in enumerate(shape) if size == 1]
    x = draw.array(any_type(draw, op, opset), shape)
    axes = [i - len(shape) if opset >= 11 and draw.chance(0.4) else i for i in draw.some(ones, 1)] if ones and draw.chance(0.7) else None
    if opset >= 13:
        return node_case(draw, op, [x] + ([int64s(axes)] if axes else []), opset=opset, constants=0.5)
    return node_case(draw, op, [x], {"axes": axes} if axes else {}, opset=opset)


@generator("Unsqueeze")
def unsqueeze(draw, op):
    opset = draw.one(versions(op))
    x = draw.array(any_type(draw, op, opset), draw.shape(0, 4))
    added = draw.integer(1, 3)
    rank = x.ndim + added
    axes = draw.rng.permutation(rank)[:added].tolist()
    if opset >= 11:
        axes = [axis - rank if draw.chance(0.4) else axis for axis in axes]
    else:
        axes.sort()
    if opset >= 13:
        return node_case(draw, op, [x, int64s(axes)], opset=opset, constants=0.5)
    return node_case(draw, op, [x], {"axes": axes}, opset=opset)


@generator("Identity", "Shape", "Size")
def whole(draw, op):
    opset = draw.one(versions(op))
    x = draw.array(any_type(draw, op, opset, "T" if op != "Identity" or opset < 14 else "V"), draw.shape(0, 6, empty=0.1))
    attributes = {}
    if op == "Shape" and opset >= 15:
        attributes = {name: draw.integer(-x.ndim - 2, x.ndim + 2) for name in ["start", "end"] if draw.chance(0.5)}
    return node_case(draw, op, [x], attributes, opset=opset)


@generator("Concat")
def concat(draw, op):
    opset = draw.one(versions(op, least=4))
    kind, shape = any_type(draw, op, opset), list(draw.shape(1))
    axis = draw.axis(len(shape)) if opset >= 11 else draw.integer(0, len(shape) - 1)
    inputs = []
    for _ in range(draw.integer(1, 5)):
        shape[axis] = draw.size(0.1)
        inputs.append(draw.array(kind, shape))
    return node_case(draw, op, inputs, {"axis": axis}, opset=opset)


@generator("Split")
def split(draw, op):
    opset = draw.one(versions(op, least=2))
    kind, shape = any_type(draw, op, opset), list(draw.shape(1))
    axis = draw.axis(len(shape)) if opset >= 11 else draw.integer(0, len(shape) - 1)
    count = draw.integer(1, 4)
    attributes = {"axis": axis}
    if draw.chance(0.5):
        sizes = draw.integers(0 if draw.chance(0.1) else 1, 5, count)
        shape[axis] = sum(sizes)
        if opset < 13:
            attributes["split"] = sizes
            return node_case(draw, op, [draw.array(kind, shape)], attributes, outputs=count, opset=opset)
        return node_case(draw, op, [draw.array(kind, shape), int64s(sizes)], attributes, outputs=count, opset=opset, constants=0.5)
    shape[axis] = count * draw.integer(1, 4)
    if opset >= 18:
        attributes["num_outputs"] = count
        if count > 1 and draw.chance(0.4):  # the last one is smaller
            shape[axis] -= 1
            if -(-shape[axis] // count) * (count - 1) > shape[axis]:
                raise Refused("no elements left for the last")
    return node_case(draw, op, [draw.array(kind, shape)], attributes, outputs=count, opset=opset)


@generator("Slice")
def slice_(draw, op):
    opset = draw.one(versions(op))
    x = draw.array(any_type(draw, op, opset), draw.shape(1, 5))
    axes = draw.some(range(x.ndim), 1)
    starts, ends, steps = [], [], []
    for axis in axes:
        size = x.shape[axis]
        far = draw.chance(0.1)
        starts.append(draw.integer(-size - 2, size + 2) if not far else draw.one([-(2**31) + 1, 2**31 - 1]))
        ends.append(draw.integer(-size - 2, size + 2) if draw.chance(0.7) else draw.one([2**31 - 1, -(2**31) + 1]))
        steps.append(draw.one([1, 1, 1, 2, 3, -1, -1, -2, -5]))
    if opset < 10:
        return node_case(draw, op, [x], {"starts": starts, "ends": ends} | ({"axes": axes} if draw.chance(0.8) or axes != list(range(len(axes))) else {}), opset=opset)
    kind = draw.one([np.int64, np.int32])
    order = draw.rng.permutation(len(axes))
    rows = [np.array(row, kind)[order] for row in (starts, ends, axes, steps)]
    if opset >= 11 and draw.chance(0.4):
        rows[2] = rows[2] - kind(x.ndim)
    if draw.chance(0.15):
        rows.pop()
    elif sorted(axes) == axes == list(range(len(axes))) and (order == np.arange(len(axes))).all() and draw.chance(0.5):
        rows[2] = None
    return node_case(draw, op, [x, *rows], opset=opset, constants=0.5)


@generator("Gather")
def gather(draw, op):
    opset = draw.one(versions(op))
    x = draw.array(any_type(draw, op, opset), draw.shape(1, 4, empty=0))
    axis = draw.axis(x.ndim)
    size = x.shape[axis]
    indices = index(draw, draw.shape(0, 3, elements=500), -size if opset >= 11 else 0, size - 1)
    return node_case(draw, op, [x, indices], {"axis": axis} if draw.chance(0.8) else {}, opset=opset) if axis == 0 else node_case(
        draw, op, [x, indices], {"axis": axis}, opset=opset
    )


@generator("GatherElements")
def gather_elements(draw, op):
    opset = draw.one(versions(op))
    x = draw.array(any_type(draw, op, opset), draw.shape(1, 4, empty=0))
    axis = draw.axis(x.ndim)
    shape = [draw.integer(1, size) for size in x.shape]
    shape[axis] = draw.size()
    return node_case(draw, op, [x, index(draw, shape, -x.shape[axis], x.shape[axis] - 1)], {"axis": axis}, opset=opset)


@generator("GatherND")
def gather_nd(draw, op):
    opset = draw.one(versions(op))
    x = draw.array(any_type(draw, op, opset), draw.shape(1, 5, empty=0))
    batch = draw.integer(0, x.ndim - 1) if opset >= 12 else 0
    depth = draw.integer(1, x.ndim - batch)
    outer = list(x.shape[:batch]) + list(draw.shape(0, 2, elements=100))
    columns = [draw.rng.integers(-size, size, outer) for size in x.shape[batch : batch + depth]]
    return node_case(draw, op, [x, np.stack(columns, -1).astype(np.int64)], {"batch_dims": batch} if batch else {}, opset=opset)


@generator("ScatterElements", "Scatter")
def scatter_elements(draw, op):
    opset = draw.one(versions(op)) if op != "Scatter" else 9
    kind = any_type(draw, op, opset)
    x = draw.array(kind, draw.shape(1, 4, empty=0))
    axis = draw.axis(x.ndim)
    shape = [draw.integer(1, size) for size in x.shape]
    attributes = {"axis": axis}
    if opset >= 16 and kind not in ("string", "bool") and draw.chance(0.6):
        attributes["reduction"] = draw.one(["none", "add", "mul"] + (["max", "min"] if opset >= 18 else []))
    if attributes.get("reduction", "none") == "none":  # no index twice
        order = np.argsort(draw.rng.random(x.shape), axis=axis)
        indices = order[tuple(slice(0, size) for size in shape)].astype(draw.one([np.int32, np.int64]))
    else:
        indices = index(draw, shape, -x.shape[axis], x.shape[axis] - 1)
    low = () if kind in ("string", "bool") else (0, 5)
    return node_case(draw, op, [x, indices, draw.array(kind, shape, *low)], attributes, opset=opset, rtol=2e-2 if "16" in kind else None, atol=1e-2 if "16" in kind else 1e-6)


@generator("ScatterND")
def scatter_nd(draw, op):
    opset = draw.one(versions(op))
    kind = any_type(draw, op, opset)
    x = draw.array(kind, draw.shape(1, 4, empty=0))
    depth = draw.integer(1, x.ndim)
    count = int(np.prod(x.shape[:depth]))
    attributes = {"reduction": draw.one(["none", "add", "mul"] + (["max", "min"] if opset >= 18 else []))} if opset >= 16 and kind not in ("string", "bool") else {}
    if attributes.get("reduction", "none") == "none":
        flat = draw.rng.permutation(count)[: draw.integer(0, count)]
    else:
        flat = draw.rng.integers(0, count, draw.integer(0, 2 * count))
    indices = np.stack(np.unravel_index(flat, x.shape[:depth]), -1).astype(np.int64)
    if draw.chance(0.3):
        indices = indices - np.array(x.shape[:depth])
    low = () if kind in ("string", "bool") else (0, 3)
    updates = draw.array(kind, (len(flat), *x.shape[depth:]), *low)
    return node_case(draw, op, [x, indices, updates], attributes, opset=opset, rtol=3e-2 if "16" in kind else None, atol=1e-2 if "16" in kind else 1e-6)


@generator("TensorScatter")
def tensor_scatter(draw, op):
    kind = any_type(draw, op, 24)
    batch, heads, length, width = (draw.integer(1, 5) for _ in range(4))
    length += 3
    steps = draw.integer(1, length)
    mode = draw.one(["linear", "circular"])
    starts = draw.rng.integers(0, length - steps + 1 if mode == "linear" else length, batch).astype(np.int64)
    rank4 = draw.chance(0.5)
    past = (batch, heads, length, width) if rank4 else (batch, length, width)
    update = (batch, heads, steps, width) if rank4 else (batch, steps, width)
    inputs = [draw.array(kind, past), draw.array(kind, update), starts if draw.chance(0.8) else None]
    return node_case(draw, op, inputs, {"mode": mode, "axis": -2}, opset=24)


@generator("Pad")
def pad(draw, op):
    opset = draw.one(versions(op, least=2))
    kind = any_type(draw, op, opset)
    mode = draw.one(["constant", "constant", "reflect", "edge"] + (["wrap"] if opset >= 19 else []))
    shape = draw.shape(1, 4, empty=0.02 if mode == "constant" else 0)
    if mode == "reflect":
        shape = tuple(max(2, size) for size in shape)
    axes = draw.some(range(len(shape)), 1) if opset >= 18 and draw.chance(0.4) else list(range(len(shape)))
    most = [{"reflect": shape[a] - 1, "wrap": shape[a]}.get(mode, 4) for a in axes]
    before, after = [[draw.integer(0, min(m, 4)) for m in most] for _ in range(2)]
    if mode == "constant" and draw.chance(0.2):  # negative ones crop
        before = [draw.integer(-min(1, shape[a] // 3), b) for a, b in zip(axes, before)]
        after = [draw.integer(-min(1, shape[a] // 3), b) for a, b in zip(axes, after)]
    x = draw.array(kind, shape)
    if opset < 11:
        return node_case(draw, op, [x], {"mode": mode, "pads": before + after} | ({"value": draw.number(-3, 3)} if draw.chance(0.5) else {}), opset=opset)
    value = draw.array(kind, (), *(() if kind in ("string", "bool") else (0, 9))) if draw.chance(0.5) else None
    inputs = [x, int64s(before + after), value]
    if opset >= 18 and (len(axes) < len(shape) or draw.chance(0.2)):
        inputs.append(np.array([a - len(shape) if draw.chance(0.4) else a for a in axes], draw.one([np.int32, np.int64])))
    return node_case(draw, op, inputs, {"mode": mode} if mode != "constant" or draw.chance(0.5) else {}, opset=opset, constants=0.5)


@generator("Tile")
def tile(draw, op):
    opset = draw.one(versions(op, least=6))
    x = draw.array(any_type(draw, op, opset), draw.shape(0, 4, elements=3000))
    return node_case(draw, op, [x, int64s([draw.one([1, 1, 2, 3, 0] if draw.chance(0.1) else [1, 1, 2, 3]) for _ in range(x.ndim)])], opset=opset, constants=0.5)


@generator("Expand")
def expand(draw, op):
    opset = draw.one(versions(op))
    shape = draw.shape(0, 5)
    x = draw.array(any_type(draw, op, opset), draw.broadcast(shape))
    target = [1 if draw.chance(0.2) else size for size in shape]
    if draw.chance(0.2) and x.ndim < len(target):
        target = target[draw.integer(0, len(target)) :]
    return node_case(draw, op, [x, int64s(target)], opset=opset, constants=0.5)


@generator("DepthToSpace", "SpaceToDepth")
def depth_to_space(draw, op):
    opset = draw.one(versions(op))
    block = draw.integer(1, 4)
    n, c, h, w = draw.integer(1, 3), draw.integer(1, 5), draw.integer(1, 9), draw.integer(1, 9)
    deep = op == "DepthToSpace"
    shape = (n, c * block * block, h, w) if deep else (n, c, h * block, w * block)
    attributes = {"blocksize": block}
    if deep and opset >= 11 and draw.chance(0.7):
        attributes["mode"] = draw.one(["DCR", "CRD"])
    return node_case(draw, op, [draw.array(any_type(draw, op, opset), shape)], attributes, opset=opset)


@generator("ReverseSequence")
def reverse_sequence(draw, op):
    time = draw.integer(0, 1)
    x = draw.array(any_type(draw, op, 10), draw.shape(2, 4, empty=0))
    lengths = draw.rng.integers(1, x.shape[time] + 1, x.shape[1 - time]).astype(np.int64)
    return node_case(draw, op, [x, lengths], {"time_axis": time, "batch_axis": 1 - time}, opset=10)


@generator("Trilu")
def trilu(draw, op):
    x = draw.array(any_type(draw, op, 14), draw.shape(2, 4))
    k = [np.array(draw.integer(-9, 9), np.int64)] if draw.chance(0.7) else []
    return node_case(draw, op, [x, *k], {"upper": draw.integer(0, 1)} if draw.chance(0.8) else {}, opset=14)


@generator("Compress")
def compress(draw, op):
    opset = draw.one(versions(op))
    x = draw.array(any_type(draw, op, opset), draw.shape(1, 4))
    axis = draw.axis(x.ndim) if opset >= 11 else draw.integer(0, x.ndim - 1)
    flat = draw.chance(0.3)
    most = x.size if flat else x.shape[axis]
    return node_case(draw, op, [x, draw.array("bool", (draw.integer(min(1, most), most),))], {} if flat else {"axis": axis}, opset=opset)


@generator("NonZero")
def non_zero(draw, op):
    opset = draw.one(versions(op))
    kind = any_type(draw, op, opset)
    return node_case(draw, op, [draw.array(kind, draw.shape(0 if draw.chance(0.1) else 1), *(() if kind == "bool" else (0, 2))).round() if kind == "float" else draw.array(kind, draw.shape(1), *(() if kind == "bool" else (0, 2)))], opset=opset)


@generator("OneHot")
def one_hot(draw, op):
    opset = draw.one(versions(op))
    table = [("int64", "float", "int64"), ("int64", "int64", "int64"), ("int32", "int32", "int32"), ("int64", "string", "int64"), ("float", "float", "float"), ("int64", "float", "int32"), ("int64", "int32", "float")]
    index_kind, value_kind, depth_kind = draw.one(table)
    indices = draw.array(index_kind, draw.shape(0, 3), -9, 9, special=False)
    if index_kind == "float":
        indices = indices.round()
    depth = np.array(draw.integer(1, 8), dtype_of(depth_kind)).reshape(draw.one([(), (1,)]))
    axis = draw.integer(-indices.ndim - 1, indices.ndim)
    return node_case(draw, op, [indices, depth, draw.array(value_kind, (2,), special=False)], {"axis": axis} if draw.chance(0.8) else {}, opset=opset)


@generator("Range")
def range_(draw, op):
    kind = draw.one(["int64", "int32", "int16", "float", "double"])
    start, step = draw.integer(-20, 20), draw.one([1, 2, 3, -1, -4])
    values = [start, start + step * draw.integer(-2, 40), step]
    scale = 1 if "int" in kind else 0.25
    return node_case(draw, op, [np.array(v * scale, dtype_of(kind)) for v in values], opset=11)


@generator("ConstantOfShape")
def constant_of_shape(draw, op):
    import onnx

    opset = draw.one(versions(op))
    kinds = [k for k in kernel_types(op, opset, "T2") if "float8" not in k and k not in ("int4", "uint4", "string")]
    attributes = {}
    if draw.chance(0.8):
        attributes["value"] = onnx.numpy_helper.from_array(draw.array(draw.one(kinds), (1,)))
    return node_case(draw, op, [int64s(draw.shape(0, 4))], attributes, opset=opset)


@generator("EyeLike")
def eye_like(draw, op):
    from case import TYPE_NAMES

    opset = draw.one(versions(op))
    attributes = {"k": draw.integer(-6, 6)} if draw.chance(0.6) else {}
    if draw.chance(0.6):
        attributes["dtype"] = TYPE_NAMES[any_type(draw, op, opset, "T2")]
    return node_case(draw, op, [draw.array(any_type(draw, op, opset, "T1"), draw.shape(2, 2))], attributes, opset=opset)


@generator("Unique")
def unique(draw, op):
    kind = any_type(draw, op, 11)
    x = draw.array(kind, draw.shape(1, 3, empty=0), *(() if kind == "string" else (0, 4)))
    if kind in ("float", "double"):
        x = x.round()
    attributes = {"sorted": draw.integer(0, 1)} if draw.chance(0.7) else {}
    if draw.chance(0.5):
        attributes["axis"] = draw.axis(x.ndim)
    return node_case(draw, op, [x], attributes, outputs=[True] + [draw.chance(0.7) for _ in range(3)], opset=11)


@generator("TopK")
def top_k(draw, op):
    opset = draw.one(versions(op))
    kind = any_type(draw, op, opset)
    x = draw.array(kind, draw.shape(1, 4, empty=0), *(() if draw.chance(0.5) else (0, 6)), special=False)
    axis = draw.axis(x.ndim) if opset >= 11 else draw.integer(0, x.ndim - 1)
    k = draw.integer(0 if opset > 1 and draw.chance(0.05) else 1, x.shape[axis])
    attributes = {"axis": axis}
    if opset < 10:
        return node_case(draw, op, [x], attributes | {"k": k}, outputs=2, opset=opset)
    if opset >= 11:
        attributes |= {name: draw.integer(0, 1) for name in ["largest"] if draw.chance(0.7)}
    return node_case(draw, op, [x, int64s([k])], attributes, outputs=2, opset=opset, constants=0.5)


@generator("BitCast")
def bit_cast(draw, op):
    from case import TYPE_NAMES

    kinds = kernel_types(op, 26, "T1")
    kind = draw.one(kinds)
    same = [k for k in kinds if dtype_of(k).itemsize == dtype_of(kind).itemsize]
    return node_case(draw, op, [draw.array(kind, draw.shape())], {"to": TYPE_NAMES[draw.one(same)]}, opset=26)
