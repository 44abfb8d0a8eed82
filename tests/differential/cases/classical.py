"""ai.onnx.ml: trees, linear models and what prepares features for them."""

import numpy as np
from case import NEWEST_ML, Case, constant, describe, dtype_of, generator, make_model, node_case
from engines import kernel_types
from onnx import helper

ML = "ai.onnx.ml"
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]


def ml_case(draw, op, inputs, attributes, opset=NEWEST_ML, **more):
    return node_case(draw, op, inputs, attributes, opset=opset, domain=ML, constants=0, **more)


def features(draw, op, kinds=("float",), opset=NEWEST_ML, parameter="T1", width=None, empty=0.02):
    kinds = [k for k in kernel_types(op, opset, parameter, ML) if k in ("float", "double", "int64", "int32")] or list(kinds)
    return draw.array(draw.one(kinds), (draw.size(empty), width or draw.integer(1, 6)), -5, 5)


def forest(draw, width, targets, weights, prefix):
    """The attribute lists of a few random trees."""
    columns = {name: [] for name in ["treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true", "hitrates"]}
    leaves = {name: [] for name in ["treeids", "nodeids", "ids", "weights"]}
    mixed = draw.chance(0.3)
    modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
    mode = draw.one(modes[:4])
    for tree in range(draw.integer(1, 12)):
        count = [1]

        def grow(node, depth):
            leaf = depth == 0 or draw.chance(0.15)
            row = {"treeids": tree, "nodeids": node, "featureids": 0, "values": 0.0, "modes": "LEAF", "truenodeids": 0, "falsenodeids": 0, "missing_value_tracks_true": 0, "hitrates": 1.0}
            if not leaf:
                left, right = count[0], count[0] + 1
                count[0] += 2
                row |= {"featureids": draw.integer(0, width - 1), "values": float(round(draw.number(-5, 5))) if draw.chance(0.4) else draw.number(-5, 5), "modes": draw.one(modes) if mixed else mode}
                row |= {"truenodeids": left, "falsenodeids": right, "missing_value_tracks_true": draw.integer(0, 1)}
            for name, value in row.items():
                columns[name].append(value)
            if leaf:
                for target in range(targets) if draw.chance(0.3) else [draw.integer(0, targets - 1)]:
                    for name, value in {"treeids": tree, "nodeids": node, "ids": target, "weights": weights()}.items():
                        leaves[name].append(value)
            else:
                grow(left, depth - 1)
                grow(right, depth - 1)

        grow(0, draw.integer(1, 5))
    return {f"nodes_{name}": values for name, values in columns.items()} | {f"{prefix}_{name}": values for name, values in leaves.items()}


def with_missing(draw, x):
    if x.dtype.kind == "f" and draw.chance(0.3):
        x = np.where(draw.rng.random(x.shape) < 0.2, np.nan, x).astype(x.dtype)
    return x


@generator("TreeEnsembleRegressor")
def tree_regressor(draw, op):
    x = with_missing(draw, features(draw, op, opset=3, parameter="T"))
    targets = draw.integer(1, 3)
    attributes = forest(draw, x.shape[1], targets, lambda: draw.number(-2, 2), "target")
    attributes |= {"n_targets": targets, "post_transform": draw.one(TRANSFORMS[:1] * 3 + TRANSFORMS[1:4]), "aggregate_function": draw.one(["SUM", "SUM", "AVERAGE", "MIN", "MAX"])}
    if draw.chance(0.4):
        attributes["base_values"] = [draw.number(-1, 1) for _ in range(targets)]
    return ml_case(draw, op, [x], attributes, opset=draw.one([1, 3]), atol=1e-5)


@generator("TreeEnsembleClassifier")
def tree_classifier(draw, op):
    x = with_missing(draw, features(draw, op, opset=3))
    classes = draw.integer(2, 4)
    if classes == 2:
        draw.features.add("two classes")
    attributes = forest(draw, x.shape[1], classes if classes > 2 or draw.chance(0.5) else 1, lambda: draw.number(0, 1), "class")
    attributes |= {"classlabels_strings": list("abcd")[:classes]} if draw.chance(0.4) else {"classlabels_int64s": list(range(3, 3 + classes))}
    attributes["post_transform"] = draw.one(TRANSFORMS[:1] * 3 + TRANSFORMS[1:4])
    if draw.chance(0.3):
        attributes["base_values"] = [draw.number(-1, 1) for _ in range(classes)]
    return ml_case(draw, op, [x], attributes, outputs=2, opset=draw.one([1, 3]), atol=1e-5)


@generator("TreeEnsemble")
def tree_ensemble(draw, op):
    kind = draw.one(["float", "double"])
    width, targets = draw.integer(1, 5), draw.integer(1, 3)
    x = with_missing(draw, draw.array(kind, (draw.integer(1, 9), width), -5, 5))
    nodes = {name: [] for name in ["featureids", "splits", "modes", "truenodeids", "trueleafs", "falsenodeids", "falseleafs"]}
    weights, ids, roots = [], [], []

    def leaf():
        weights.append(draw.number(-2, 2))
        ids.append(draw.integer(0, targets - 1))
        return len(ids) - 1

    def grow(depth):
        at = len(nodes["modes"])
        for values in nodes.values():
            values.append(0)
        nodes["featureids"][at], nodes["splits"][at], nodes["modes"][at] = draw.integer(0, width - 1), draw.number(-5, 5), draw.integer(0, 5)
        for side in ["true", "false"]:
            ends = depth == 0 or draw.chance(0.3)
            nodes[f"{side}leafs"][at] = int(ends)
            nodes[f"{side}nodeids"][at] = leaf() if ends else grow(depth - 1)
        return at

    for _ in range(draw.integer(1, 5)):
        roots.append(grow(draw.integer(0, 3)))
    attributes = {
        "tree_roots": roots, "n_targets": targets, "leaf_targetids": ids, "aggregate_function": draw.one([1, 1, 0, 2, 3]), "post_transform": draw.one([0, 0, 1, 2]),
        "leaf_weights": constant("w", np.array(weights, dtype_of(kind))), "nodes_splits": constant("s", np.array(nodes.pop("splits"), dtype_of(kind))),
        "nodes_modes": constant("m", np.array(nodes["modes"], np.uint8)),
    } | {f"nodes_{name}": values for name, values in nodes.items() if name != "modes"}  # fmt: skip
    if draw.chance(0.3):  # some nodes look for the number among several, which are integers for ONNX Runtime
        members = []
        for at in range(len(nodes["modes"])):
            if draw.chance(0.4):
                nodes["modes"][at] = 6
                members += [draw.integer(1, 5) for _ in range(draw.integer(1, 3))] + [np.nan]
        if members:
            x = np.round(x)
            attributes["nodes_modes"] = constant("m", np.array(nodes["modes"], np.uint8))
            attributes["membership_values"] = constant("v", np.array(members[: draw.one([-1, None])], dtype_of(kind)))
    return ml_case(draw, op, [x], attributes, atol=1e-5)


@generator("LinearRegressor")
def linear_regressor(draw, op):
    x, targets = features(draw, op, opset=1, parameter="T"), draw.integer(1, 4)
    attributes = {"coefficients": draw.array("float", (targets * x.shape[1],), -2, 2).tolist(), "targets": targets}
    if draw.chance(0.7):
        attributes["intercepts"] = draw.array("float", (targets,), -2, 2).tolist()
    if draw.chance(0.3):
        attributes["post_transform"] = draw.one(TRANSFORMS[:4])
    return ml_case(draw, op, [x], attributes, opset=1, of_max=1e-5, atol=1e-5)


@generator("LinearClassifier")
def linear_classifier(draw, op):
    x, classes = features(draw, op, opset=1), draw.integer(2, 4)
    rows = 1 if classes == 2 and draw.chance(0.5) else classes
    attributes = {"coefficients": draw.array("float", (rows * x.shape[1],), -2, 2).tolist(), "intercepts": draw.array("float", (rows,), -2, 2).tolist()}
    attributes |= {"classlabels_strings": list("abcd")[:classes]} if draw.chance(0.4) else {"classlabels_ints": list(range(3, 3 + classes))}
    if draw.chance(0.6):
        attributes["post_transform"] = draw.one(TRANSFORMS[:4])
    if draw.chance(0.3):
        attributes["multi_class"] = draw.integer(0, 1)
    return ml_case(draw, op, [x], attributes, outputs=2, opset=1, of_max=1e-5, atol=1e-5)


@generator("SVMRegressor", "SVMClassifier")
def svm(draw, op):
    classify = op == "SVMClassifier"
    x = features(draw, op, opset=1, parameter="T1" if classify else "T", empty=0)
    width = x.shape[1]
    kernel = draw.one(["LINEAR", "POLY", "RBF", "SIGMOID"])
    attributes = {"kernel_type": kernel, "kernel_params": [draw.number(0.05, 0.3), draw.number(0, 1), float(draw.integer(1, 3))]}
    if classify:
        classes = draw.integer(2, 4)
        counts = draw.integers(1, 4, classes)
        vectors = sum(counts)
        attributes |= {"vectors_per_class": counts, "coefficients": draw.array("float", ((classes - 1) * vectors,), -1, 1).tolist()}
        attributes |= {"classlabels_strings": list("abcd")[:classes]} if draw.chance(0.4) else {"classlabels_ints": list(range(classes))}
        pairs = classes * (classes - 1) // 2
        attributes["rho"] = draw.array("float", (pairs,), -1, 1).tolist()
        if draw.chance(0.4):
            attributes |= {"prob_a": draw.array("float", (pairs,), -2, -0.5).tolist(), "prob_b": draw.array("float", (pairs,), -0.5, 0.5).tolist()}
        if draw.chance(0.3):
            attributes["post_transform"] = draw.one(["NONE", "SOFTMAX", "LOGISTIC"])
    else:
        vectors = draw.integer(1, 6)
        attributes |= {"n_supports": vectors, "coefficients": draw.array("float", (vectors,), -1, 1).tolist(), "rho": [draw.number(-1, 1)]}
        if draw.chance(0.2):
            attributes["one_class"] = 1
    attributes["support_vectors"] = draw.array("float", (vectors * width,), -2, 2).tolist()
    return ml_case(draw, op, [x], attributes, outputs=2 if classify else 1, opset=1, of_max=1e-4, atol=1e-4, rtol=1e-3)


@generator("Scaler", "Normalizer", "Binarizer", "Imputer")
def prepare(draw, op):
    x = features(draw, op, opset=1, parameter="T")
    width = x.shape[1]
    if op == "Scaler":
        count = draw.one([1, width])
        attributes = {"offset": draw.array("float", (count,), -2, 2).tolist(), "scale": draw.array("float", (count,), -2, 2).tolist()}
    elif op == "Normalizer":
        attributes = {"norm": draw.one(["MAX", "L1", "L2"])}
    elif op == "Binarizer":
        attributes = {"threshold": draw.number(-2, 2)}
    elif x.dtype == np.int64:
        attributes = {"imputed_value_int64s": draw.integers(-5, 5, draw.one([1, width])), "replaced_value_int64": 2}
    else:
        x = np.where(draw.rng.random(x.shape) < 0.3, np.nan, x).astype(x.dtype)
        attributes = {"imputed_value_floats": draw.array("float", (draw.one([1, width]),), -5, 5).tolist(), "replaced_value_float": float("nan")}
    return ml_case(draw, op, [x], attributes, opset=1, atol=1e-6)


@generator("LabelEncoder")
def label_encoder(draw, op):
    opset = draw.one([2, 4])
    keys, values = draw.one([("string", "int64"), ("int64", "string"), ("float", "string"), ("string", "float"), ("int64", "float"), ("float", "int64"), ("int64", "int64"), ("string", "string"), ("float", "float")])
    known = {"string": ["a", "b", "c", "d"], "int64": [1, 2, 3, 4], "float": [1.0, 2.5, 3.0, -4.0]}
    names = {"string": "strings", "int64": "int64s", "float": "floats"}
    attributes = {f"keys_{names[keys]}": known[keys][:3], f"values_{names[values]}": known[values][:3]}
    if draw.chance(0.5):
        attributes["default_" + {"string": "string", "int64": "int64", "float": "float"}[values]] = {"string": "none", "int64": -7, "float": 0.5}[values]
    shape = draw.shape(1, 3)
    x = np.array([draw.one(known[keys]) for _ in range(int(np.prod(shape)))], dtype_of(keys)).reshape(shape)
    return ml_case(draw, op, [x], attributes, opset=opset)


@generator("OneHotEncoder")
def one_hot_encoder(draw, op):
    kind = draw.one(["int64", "string", "float"])
    attributes = {"zeros": 1} if draw.chance(0.6) else {}
    known = list("abcd") if kind == "string" else [1, 2, 3, 4]
    attributes |= {"cats_strings": known[:3]} if kind == "string" else {"cats_int64s": known[:3]}
    shape = draw.shape(1, 2, empty=0)
    x = np.array([draw.one(known[: 4 if attributes.get("zeros") else 3]) for _ in range(int(np.prod(shape)))], dtype_of(kind)).reshape(shape)
    return ml_case(draw, op, [x], attributes, opset=1)


@generator("CategoryMapper")
def category_mapper(draw, op):
    attributes = {"cats_int64s": [1, 2, 3], "cats_strings": ["a", "b", "c"], "default_int64": -9, "default_string": "?"}
    shape = draw.shape(1, 2)
    x = np.array([draw.one(list("abcd")) for _ in range(int(np.prod(shape)))], object).reshape(shape) if draw.chance(0.5) else draw.array("int64", shape, 0, 4)
    return ml_case(draw, op, [x], attributes, opset=1)


@generator("ArrayFeatureExtractor")
def array_feature_extractor(draw, op):
    x = draw.array(draw.one(["float", "double", "int64", "int32", "string"]), draw.shape(1, 3, empty=0))
    return ml_case(draw, op, [x, draw.array("int64", draw.one([(1, draw.integer(1, 5)), (draw.integer(1, 5),)]), 0, x.shape[-1] - 1, special=False)], {}, opset=1)


@generator("FeatureVectorizer")
def feature_vectorizer(draw, op):
    rows, kind = draw.integer(1, 4), draw.one(["float", "double", "int64", "int32"])
    widths = draw.integers(1, 4, draw.integer(1, 4))
    return ml_case(draw, op, [draw.array(kind, (rows, w), -99, 99) for w in widths], {"inputdimensions": widths}, opset=1)


@generator("ZipMap")
def zip_map(draw, op):
    classes = draw.integer(1, 4)
    attributes = {"classlabels_strings": list("abcd")[:classes]} if draw.chance(0.5) else {"classlabels_int64s": list(range(5, 5 + classes))}
    key = helper.make_map_type_proto(8 if "classlabels_strings" in attributes else 7, helper.make_tensor_type_proto(1, []))
    x = draw.array("float", draw.one([(draw.integer(1, 4), classes)]), -2, 2)
    node = helper.make_node(op, ["in"], ["out"], domain=ML, **attributes)
    graph = helper.make_graph([node], "case", [helper.make_value_info("in", describe(x))], [helper.make_value_info("out", helper.make_sequence_type_proto(key))])
    return Case(make_model(graph, {"": 17, ML: 1}), {"in": x}, features={f"op={op}"})


