"""Sequences, optionals, control flow, text, and numbers drawn at random."""

import numpy as np
import onnx
from case import TYPE_NAMES, Case, constant, describe, dtype_of, generator, make_model, node_case
from engines import kernel_types, versions
from onnx import helper


def sequence(draw, kind=None, count=None, shape=None):
    kind = kind or draw.one(["float", "int64", "bool", "double", "int32", "string"])
    count = draw.integer(1, 4) if count is None else count
    return [draw.array(kind, shape if shape is not None else draw.shape(0, 3, elements=300)) for _ in range(count)]


def position(draw, count, past=0):
    return np.array(draw.integer(-count, count - 1 + past), dtype_of(draw.one(["int32", "int64"])))


def graph_case(draw, nodes, inputs, outputs, opset, features=(), **case):
    """A case of several nodes; inputs: name -> content."""
    graph = helper.make_graph(nodes, "case", [helper.make_value_info(name, describe(value)) for name, value in inputs.items()], [onnx.ValueInfoProto(name=name) for name in outputs])
    return Case(make_model(graph, {"": opset}), inputs, features={f"op={node.op_type}" for node in nodes} | set(features), **case)


@generator("SequenceAt", "SequenceErase", "SequenceInsert", "SequenceLength")
def sequence_operator(draw, op):
    content = sequence(draw)
    inputs = {"sequence": content}
    if op == "SequenceInsert":
        kind = "string" if content[0].dtype == object else {v: k for k, v in {k: dtype_of(k) for k in ["float", "int64", "bool", "double", "int32"]}.items()}[content[0].dtype]
        inputs["tensor"] = draw.array(kind, draw.shape(0, 3, elements=300))
    if op in ("SequenceAt", "SequenceErase", "SequenceInsert") and (op == "SequenceAt" or draw.chance(0.8)):
        inputs["position"] = position(draw, len(content), op == "SequenceInsert")
    return graph_case(draw, [helper.make_node(op, list(inputs), ["out"])], inputs, ["out"], 11)


@generator("SequenceConstruct")
def sequence_construct(draw, op):
    content = sequence(draw)
    inputs = {f"in{i}": value for i, value in enumerate(content)}
    return graph_case(draw, [helper.make_node(op, list(inputs), ["out"])], inputs, ["out"], 11)


@generator("SequenceEmpty")
def sequence_empty(draw, op):
    nodes = [helper.make_node(op, [], ["sequence"], **({"dtype": 1} if draw.chance(0.5) else {})), helper.make_node("SequenceInsert", ["sequence", "in"], ["out"])]
    return graph_case(draw, nodes, {"in": draw.array("float", draw.shape(0, 3))}, ["out"], 11)


@generator("ConcatFromSequence")
def concat_from_sequence(draw, op):
    new_axis = draw.integer(0, 1)
    shape = draw.shape(1 - new_axis, 3, empty=0, elements=300)
    content = sequence(draw, shape=shape)
    rank = len(shape) + new_axis
    return graph_case(draw, [helper.make_node(op, ["in"], ["out"], axis=draw.axis(rank), new_axis=new_axis)], {"in": content}, ["out"], 11)


@generator("SplitToSequence")
def split_to_sequence(draw, op):
    kind = draw.one(kernel_types(op, 24))
    shape = list(draw.shape(1, 4, empty=0))
    axis = draw.axis(len(shape))
    attributes = {"axis": axis} | ({"keepdims": draw.integer(0, 1)} if draw.chance(0.5) else {})
    inputs, how = [draw.array(kind, shape)], draw.integer(0, 2)
    if how == 1:
        inputs.append(np.array(draw.integer(1, shape[axis] + 1), dtype_of(draw.one(["int32", "int64"]))))
    elif how == 2:
        sizes, left = [], shape[axis]
        while left:
            sizes.append(draw.integer(1, left))
            left -= sizes[-1]
        inputs.append(np.array(sizes, np.int64))
    return node_case(draw, op, inputs, attributes, opset=draw.one(versions(op)), never_constant=(0,), constants=0.5)


@generator("SequenceMap")
def sequence_map(draw, op):
    body = helper.make_graph([helper.make_node("Mul", ["x", "y"], ["z"])], "body", [helper.make_tensor_value_info(n, 1, None) for n in "xy"], [helper.make_tensor_value_info("z", 1, None)])
    inputs = {"s": sequence(draw, "float"), "t": draw.array("float", ())}
    return graph_case(draw, [helper.make_node(op, ["s", "t"], ["out"], body=body)], inputs, ["out"], 17)


@generator("Optional", "OptionalHasElement", "OptionalGetElement")
def optional(draw, op):
    opset = draw.one([15, 18])
    kind = draw.one(["float", "int64", "string"])
    value = sequence(draw, kind) if draw.chance(0.3) else draw.array(kind, draw.shape())
    then = {"Optional": "OptionalGetElement"}.get(op, op)
    nodes = [helper.make_node("Optional", ["in"], ["held"]), helper.make_node(then, ["held"], ["out"])]
    return graph_case(draw, nodes, {"in": value}, ["out"], opset)


@generator("If")
def conditional(draw, op):
    branches = {}
    for name, inner in [("then_branch", "Add"), ("else_branch", draw.one(["Mul", "Sub"]))]:
        branches[name] = helper.make_graph([helper.make_node(inner, ["x", "y"], ["z"])], name, [], [helper.make_tensor_value_info("z", 1, None)])
    a, b = draw.broadcasts(2, 3)
    inputs = {"c": np.array(draw.chance(0.5)), "x": draw.array("float", a), "y": draw.array("float", b)}
    return graph_case(draw, [helper.make_node("Neg", ["x"], ["minus"]), helper.make_node(op, ["c"], ["out"], **branches)], inputs, ["out", "minus"], draw.one([11, 13, 16, 19, 21]))


@generator("Loop")
def loop(draw, op):
    opset = draw.one([11, 13, 16, 19, 21])
    shape = draw.shape(0, 3, elements=200)
    scalar = lambda name, kind: helper.make_tensor_value_info(name, kind, [])  # noqa: E731
    body = helper.make_graph(
        [
            helper.make_node("Cast", ["i"], ["f"], to=1),
            helper.make_node("Add", ["state", "f"], ["next"]),
            helper.make_node("Mul", ["next", "outer"], ["scan"]),
            helper.make_node("Less", ["i", "limit"], ["again"]),
        ],
        "body", [scalar("i", 7), scalar("go", 9), helper.make_tensor_value_info("state", 1, shape)],
        [scalar("again", 9), helper.make_tensor_value_info("next", 1, shape), helper.make_tensor_value_info("scan", 1, None)],
    )  # fmt: skip
    trips = draw.integer(0, 6)
    inputs = {"trips": np.array(trips, np.int64), "go0": np.array(draw.chance(0.9)), "start": draw.array("float", shape), "outer": draw.array("float", draw.one([(), shape]), -2, 2), "limit": np.array(draw.integer(0, 6), np.int64)}
    if trips == 0 or not inputs["go0"]:
        body.output[2].CopyFrom(helper.make_tensor_value_info("scan", 1, shape))
    return graph_case(draw, [helper.make_node(op, ["trips", "go0", "start"], ["last", "all"], body=body)], inputs, ["last", "all"], opset)


@generator("Scan")
def scan(draw, op):
    opset = draw.one([9, 11, 16, 19, 21])
    shape = list(draw.shape(2, 3, empty=0, elements=300))
    axis, back = draw.integer(0, len(shape) - 1), draw.integer(0, 1)
    inner = shape[:axis] + shape[axis + 1 :]
    info = lambda name: helper.make_tensor_value_info(name, 1, inner)  # noqa: E731
    body = helper.make_graph([helper.make_node("Add", ["s", "x"], ["t"]), helper.make_node("Mul", ["t", "x"], ["y"])], "body", [info("s"), info("x")], [info("t"), info("y")])
    attributes = {"num_scan_inputs": 1, "scan_input_axes": [axis], "scan_input_directions": [back], "scan_output_axes": [draw.integer(0, len(inner))], "scan_output_directions": [draw.integer(0, 1)]}
    return graph_case(draw, [helper.make_node(op, ["s0", "in"], ["last", "all"], body=body, **attributes)], {"s0": draw.array("float", inner, -1, 1), "in": draw.array("float", shape, -1, 1)}, ["last", "all"], opset, of_max=1e-6)


@generator("StringNormalizer")
def string_normalizer(draw, op):
    words = ["Monday", "tuesday", "WEDNESDAY", "x1", "a", "", "The", "the"]
    shape = draw.one([(draw.integer(1, 6),), (1, draw.integer(1, 6))])
    x = np.array([draw.one(words) for _ in range(int(np.prod(shape)))], object).reshape(shape)
    attributes = {"case_change_action": draw.one(["LOWER", "UPPER", "NONE"]), "is_case_sensitive": draw.integer(0, 1), "locale": "C"}
    if draw.chance(0.7):
        attributes["stopwords"] = [draw.one(words[:5]) for _ in range(draw.integer(1, 3))]
    return node_case(draw, op, [x], attributes, opset=10, constants=0)


@generator("StringConcat")
def string_concat(draw, op):
    return node_case(draw, op, [draw.array("string", shape) for shape in draw.broadcasts(2, 3)], opset=20)


@generator("StringSplit")
def string_split(draw, op):
    texts = ["a b c", " lead", "trail ", "", "one", "a,b,,c", ",", "  two  spaces ", "x,y z,"]
    shape = draw.shape(0, 2, empty=0, elements=20)
    x = np.array([draw.one(texts) for _ in range(int(np.prod(shape)))], object).reshape(shape)
    attributes = {"delimiter": draw.one([",", " ", ", ", ""])} if draw.chance(0.7) else {}
    if draw.chance(0.4):
        attributes["maxsplit"] = draw.integer(1, 3)
    return node_case(draw, op, [x], attributes, outputs=2, opset=20, constants=0)


@generator("RegexFullMatch")
def regex_full_match(draw, op):
    patterns = [r"[a-z]+", r"\d{2,3}", r"(\w+)@(\w+)\.(com|org)", r".*o.*", r"a|b|ab", r"[^aeiou]*", r"(?i)HELLO", r"x?y*z+", r"\s*\S+\s*", r"[[:alpha:]]+", r"é.*"]
    texts = ["hello", "Hello", "12", "1234", "me@site.com", "foo", "ab", "xyz", "yyz", " pad ", "", "été", "zzz", "bcdf"]
    shape = draw.shape(0, 2, empty=0, elements=20)
    x = np.array([draw.one(texts) for _ in range(int(np.prod(shape)))], object).reshape(shape)
    return node_case(draw, op, [x], {"pattern": draw.one(patterns)}, opset=20, constants=0)


@generator("TfIdfVectorizer")
def tf_idf(draw, op):
    kind = draw.one(["int64", "int32", "string"])
    pool = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7] if kind != "string" else list("abcdefghij")
    low, high = draw.one([(1, 1), (1, 2), (2, 2)])
    attributes = {
        "mode": draw.one(["TF", "IDF", "TFIDF"]), "min_gram_length": low, "max_gram_length": high, "max_skip_count": draw.integer(0, 3),
        "ngram_counts": [0, 4], "ngram_indexes": draw.rng.permutation(7).tolist(), ("pool_strings" if kind == "string" else "pool_int64s"): pool,
    }  # fmt: skip
    if draw.chance(0.5):
        attributes["weights"] = [draw.number(0.1, 2) for _ in range(7)]
    shape = draw.one([(draw.integer(1, 12),), (draw.integer(1, 3), draw.integer(1, 12))])
    x = np.array([draw.one(list("abcdefghijk")) for _ in range(int(np.prod(shape)))], object).reshape(shape) if kind == "string" else draw.array(kind, shape, 1, 9)
    return node_case(draw, op, [x], attributes, opset=9, constants=0)


def like_a_sample(mean, spread):
    """Random numbers cannot be equal: their type, shape, mean and spread can."""

    def compare(ours, theirs):
        a, b = ours[0], theirs[0]
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"{a.dtype}{a.shape}, theirs {b.dtype}{b.shape}"
        if a.size < 500:
            return ""
        off = abs(float(a.mean()) - mean) / spread * np.sqrt(a.size)
        wide = float(a.std()) / spread
        return "" if off < 5 and 0.85 < wide < 1.15 else f"mean {a.mean()}, spread {a.std()}, wanted {mean}, {spread}"

    return compare


@generator("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike")
def random_numbers(draw, op):
    kind = draw.one(["float", "double"])
    low, high = draw.number(-3, 0), draw.number(0.5, 4)
    normal = "Normal" in op
    attributes = {"mean": low, "scale": high} if normal else {"low": low, "high": high}
    attributes |= {"dtype": TYPE_NAMES[kind]} | ({"seed": 7.0} if draw.chance(0.5) else {})
    shape = draw.one([(3, 4), (1000,), (40, 50)])
    same = like_a_sample(low, high) if normal else like_a_sample((low + high) / 2, (high - low) / np.sqrt(12))
    if "Like" in op:
        return node_case(draw, op, [draw.array("float", shape)], attributes, opset=draw.one([1, 22]), compare=same)
    nodes = [helper.make_node(op, [], ["out"], shape=list(shape), **attributes)]
    return graph_case(draw, nodes, {}, ["out"], draw.one([1 + 8, 22]), compare=same)


@generator("Multinomial")
def multinomial(draw, op):
    def compare(ours, theirs):
        a, b = ours[0], theirs[0]
        good = a.dtype == b.dtype and a.shape == b.shape and (a >= 0).all() and (a < 3).all()
        share = np.bincount(a.ravel(), minlength=3) / a.size
        return "" if good and np.abs(share - [0.2, 0.3, 0.5]).max() < 0.06 else f"{a.dtype}{a.shape} shares {share}, wanted 0.2 0.3 0.5"

    logits = np.log(np.array([[0.2, 0.3, 0.5]] * draw.integer(1, 3), np.float32))
    return node_case(draw, op, [logits], {"sample_size": 4000, "dtype": draw.one([6, 7])}, opset=7, constants=0, compare=compare)


@generator("Bernoulli")
def bernoulli(draw, op):
    x = (draw.rng.random((50, 20)) < 0.5).astype(np.float32)  # certain ones
    return node_case(draw, op, [x], {"dtype": draw.one([1, 9, 7])}, opset=15, constants=0)


@generator("Constant")
def constant_node(draw, op):
    x = draw.array("float", draw.shape())
    value = {"value": constant("v", draw.array("float", draw.broadcast(x.shape)))} if draw.chance(0.5) else {"value_float": draw.number(-3, 3)}
    nodes = [helper.make_node(op, [], ["c"], **value), helper.make_node("Add", ["x", "c"], ["out"])]
    return graph_case(draw, nodes, {"x": x}, ["out"], draw.one([12, 13, 19, 21]))


@generator("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
def loss(draw, op):
    n, c, more = draw.integer(1, 4), draw.integer(1, 6), draw.shape(0, 2, empty=0, elements=30)
    scores = draw.array("float", (n, c, *more), -4, 4)
    labels = draw.rng.integers(0, c, (n, *more)).astype(draw.one([np.int64, np.int32]))
    attributes = {"reduction": draw.one(["none", "sum", "mean"])}
    if draw.chance(0.4):
        attributes["ignore_index"] = draw.integer(0, c - 1)
        labels.ravel()[0] = attributes["ignore_index"]
        labels.ravel()[-1] = (attributes["ignore_index"] + 1) % c
    weights = draw.array("float", (c,), 0.1, 2) if draw.chance(0.5) else None
    return node_case(draw, op, [scores, labels, weights], attributes, opset=13, atol=1e-5, rtol=1e-4)


