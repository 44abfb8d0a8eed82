"""Resampling, regions, and other operators of images."""

import numpy as np
from case import Refused, dtype_of, generator, node_case
from engines import kernel_types


@generator("Resize")
def resize(draw, op):
    opset = draw.one([10, 11, 13, 18, 19])
    kind = draw.one(kernel_types(op, opset, "T" if opset < 11 else "T1"))
    mode = draw.one(["nearest", "linear"] + (["cubic"] if opset >= 11 and kind == "float" else []))
    rank = draw.one([3, 4, 4, 5] if mode != "cubic" else [4])
    spatial = rank - 2
    shape = [draw.integer(1, 2), draw.integer(1, 4)] + [draw.integer(1, 9) for _ in range(spatial)]
    if mode == "linear" and rank == 5 and kind != "float":
        raise Refused("no kernel")
    x = draw.array(kind, shape, *((-9, 9) if kind == "float" else (-500, 500)))
    attributes = {"mode": mode}
    up = [draw.integer(1, 14) for _ in range(spatial)]
    sizes = shape[:2] + up
    scales = np.array([1, 1] + [u / s for u, s in zip(up, shape[2:])], np.float32)
    if opset == 10:
        scales = np.array([1, 1] + [draw.one([0.5, 1, 2, 3, 1.5]) for _ in range(spatial)], np.float32)
        if any(int(np.floor(s * f)) < 1 for s, f in zip(shape, scales)):
            raise Refused("empty output")
        return node_case(draw, op, [x, scales], attributes, opset=opset, constants=0.8, atol=1e-4, steps=1, rtol=1e-4)
    transforms = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"] + (["half_pixel_symmetric"] if opset >= 19 else []) + (["tf_half_pixel_for_nn"] if opset == 11 and mode == "nearest" else [])
    attributes["coordinate_transformation_mode"] = draw.one(transforms)
    if mode == "nearest":
        attributes["nearest_mode"] = draw.one(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
    if mode == "cubic":
        attributes |= {name: value for name, value in {"cubic_coeff_a": draw.one([-0.5, -0.75]), "exclude_outside": draw.integer(0, 1)}.items() if draw.chance(0.6)}
    if mode != "nearest" and opset >= 18 and draw.chance(0.4):
        attributes["antialias"] = 1
        if rank != 4:
            raise Refused("no kernel")
    inputs = [x, None if opset >= 13 or draw.chance(0.5) else np.zeros(0, np.float32), None, None]
    if opset == 11:
        inputs[1] = np.zeros(0, np.float32)
    by_size = draw.chance(0.5)
    if attributes["coordinate_transformation_mode"] in ("half_pixel", "asymmetric", "half_pixel_symmetric") and not by_size and mode == "nearest":
        scales = np.array([1, 1] + [draw.one([0.5, 1, 2, 3, 1.25]) for _ in range(spatial)], np.float32)
        if any(int(np.floor(s * f)) < 1 for s, f in zip(shape, scales)):
            raise Refused("empty output")
    axes = draw.chance(0.3) and opset >= 18
    if axes:
        attributes["axes"] = list(range(2, rank))
    if by_size:
        inputs[3] = np.array(sizes if not axes else sizes[2:], np.int64)
        if opset >= 18 and draw.chance(0.3):
            attributes["keep_aspect_ratio_policy"] = draw.one(["not_larger", "not_smaller", "stretch"])
            inputs[3] = np.array(up, np.int64)
            attributes["axes"] = list(range(2, rank))
    else:
        if attributes["coordinate_transformation_mode"] == "align_corners" and draw.chance(0.5):  # lengths that are not whole, of axes that grow
            scales = np.array([1, 1] + [draw.one([1, 1.3, 1.5, 1.7, 2.4]) for _ in range(spatial)], np.float32)
        inputs[2] = scales if not axes else scales[2:]
        if opset == 11:
            inputs = inputs[:3]
    if opset == 11 and inputs[1] is not None and not inputs[1].size:
        inputs[1] = np.zeros(0, np.float32)
        if by_size:
            inputs[2] = np.zeros(0, np.float32)
    return node_case(draw, op, inputs, attributes, opset=opset, constants=0.8, atol=2e-4 if mode != "nearest" else 0, rtol=1e-4 if mode != "nearest" else 0, steps=1 if mode != "nearest" else 0)


@generator("Upsample")
def upsample(draw, op):
    opset = draw.one([7, 9])
    x = draw.array(draw.one(["float", "uint8", "int32"] if opset == 9 else ["float"]), draw.shape(4, 4, empty=0, elements=2000), -500, 500)
    scales = [1.0, 1.0, draw.one([1.0, 2.0, 3.0]), draw.one([1.0, 2.0, 1.5])]
    attributes = {"mode": draw.one(["nearest", "linear"])}
    if opset == 7:
        return node_case(draw, op, [x], attributes | {"scales": scales}, opset=7, atol=1e-4, rtol=1e-4)
    return node_case(draw, op, [x, np.array(scales, np.float32)], attributes, opset=9, constants=0.8, atol=1e-4, rtol=1e-4, steps=1)


@generator("GridSample")
def grid_sample(draw, op):
    opset = draw.one([16, 20, 22])
    kind = draw.one(["float", "double"] if opset > 16 else ["float"])
    rank = draw.one([2, 2, 3]) if opset > 16 else 2
    modes = ["bilinear", "nearest", "bicubic"] if opset == 16 else ["linear", "nearest"] + (["cubic"] if rank == 2 else [])
    n = draw.integer(1, 2)
    x = draw.array(kind, [n, draw.integer(1, 3)] + [draw.integer(1, 8) for _ in range(rank)], -3, 3)
    grid = draw.array(kind if opset > 16 else "float", [n] + [draw.integer(1, 8) for _ in range(rank)] + [rank], -1.3, 1.3)
    attributes = {"mode": draw.one(modes), "padding_mode": draw.one(["zeros", "border", "reflection"]), "align_corners": draw.integer(0, 1)}
    return node_case(draw, op, [x, grid], {k: v for k, v in attributes.items() if draw.chance(0.85)}, opset=opset, atol=2e-4, rtol=1e-3)


@generator("AffineGrid")
def affine_grid(draw, op):
    kind, rank = draw.one(["float", "double"]), draw.integer(2, 3)
    n = draw.integer(1, 3)
    attributes = {"align_corners": draw.integer(0, 1)} if draw.chance(0.8) else {}
    least = 2 if attributes.get("align_corners") else 1  # a single point has no two corners
    size = np.array([n, draw.integer(1, 3)] + [draw.integer(least, 6) for _ in range(rank)], np.int64)
    return node_case(draw, op, [draw.array(kind, (n, rank, rank + 1), -2, 2), size], attributes, opset=20, atol=1e-5, constants=0.5)


@generator("RoiAlign")
def roi_align(draw, op):
    opset = draw.one([10, 16, 22])
    kind = draw.one(["float", "double"])
    n, count = draw.integer(1, 2), draw.integer(0, 4)
    x = draw.array(kind, (n, draw.integer(1, 3), draw.integer(3, 12), draw.integer(3, 12)), -3, 3)
    corner = draw.rng.uniform(0, 8, (count, 2))
    rois = np.concatenate([corner, corner + draw.rng.uniform(0.5, 8, (count, 2))], 1).astype(dtype_of(kind))
    attributes = {"mode": draw.one(["avg", "max"]), "output_height": draw.integer(1, 4), "output_width": draw.integer(1, 4), "sampling_ratio": draw.integer(0, 3), "spatial_scale": draw.number(0.4, 1.2)}
    if opset >= 16 and draw.chance(0.6):
        attributes["coordinate_transformation_mode"] = draw.one(["half_pixel", "output_half_pixel"])
    return node_case(draw, op, [x, rois, draw.rng.integers(0, n, count).astype(np.int64)], {k: v for k, v in attributes.items() if draw.chance(0.85)}, opset=opset, atol=1e-4, rtol=1e-4)


@generator("MaxRoiPool")
def max_roi_pool(draw, op):
    n, count = draw.integer(1, 2), draw.integer(1, 4)
    x = draw.array("float", (n, draw.integer(1, 3), draw.integer(4, 12), draw.integer(4, 12)), -3, 3)
    corner = draw.rng.integers(0, 6, (count, 2))
    rois = np.concatenate([draw.rng.integers(0, n, (count, 1)), corner, corner + draw.rng.integers(0, 6, (count, 2))], 1).astype(np.float32)
    return node_case(draw, op, [x, rois], {"pooled_shape": draw.integers(1, 4, 2)} | ({"spatial_scale": 0.5} if draw.chance(0.4) else {}), opset=draw.one([1, 22]))


@generator("NonMaxSuppression")
def non_max_suppression(draw, op):
    opset = draw.one([10, 11])
    n, classes, count = draw.integer(1, 2), draw.integer(1, 3), draw.integer(1, 30)
    center = draw.integer(0, 1)
    corner = draw.rng.uniform(0, 10, (n, count, 2))
    size = draw.rng.uniform(0.5, 5, (n, count, 2))
    boxes = np.concatenate([corner, size if center else corner + size], -1).astype(np.float32)
    if not center and draw.chance(0.3):  # corners the other way round
        boxes = boxes[:, :, [2, 3, 0, 1]]
    scores = (draw.rng.permutation(n * classes * count).reshape(n, classes, count) / (n * classes * count)).astype(np.float32)
    more = [np.array([draw.integer(0, 10)], np.int64), np.array([draw.number(0.05, 0.95)], np.float32), np.array([draw.number(0, 0.6)], np.float32)]
    if draw.chance(0.3):
        more = [m.reshape(()) for m in more]
    return node_case(draw, op, [boxes, scores, *more[: draw.integer(1, 3)]], {"center_point_box": center} if draw.chance(0.8) or center else {}, opset=opset)


@generator("Det")
def det(draw, op):
    n = draw.integer(1, 6)
    return node_case(draw, op, [draw.array("float", (*draw.shape(0, 2, empty=0, elements=50), n, n), -2, 2)], opset=draw.one([11, 22]), of_max=1e-5, atol=1e-5, rtol=1e-3)


@generator("Crop", "ImageScaler", "Affine", "ParametricSoftplus", "ScaledTanh")
def ancient(draw, op):
    """Experimental operators of ONNX's first releases, which ONNX Runtime kept."""
    x = draw.array("float", (draw.integer(1, 2), 3, draw.integer(4, 8), draw.integer(4, 8)), -3, 3)
    attributes = {
        "Crop": {"border": [1, 1, 1, 2]}, "ImageScaler": {"scale": 2.0, "bias": [0.5, 1.0, -1.0]}, "Affine": {"alpha": 2.0, "beta": 0.5}, 
        "ParametricSoftplus": {"alpha": 0.5, "beta": 2.0}, "ScaledTanh": {"alpha": 0.5, "beta": 2.0},
    }[op]  # fmt: skip
    return node_case(draw, op, [x], attributes, opset=draw.one(range(1, 10)) if op == "ScaledTanh" else 7, atol=1e-5)


