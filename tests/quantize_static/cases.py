"""What is written runs in ONNX Runtime, has the scales of quantize_static, and is about as good as the float model."""

import contextlib
import io
import itertools
import logging

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader

from tool import cosine, operators_of_ort, optimize, quantize, refusal, run_linnet, run_ort

CASES = []
FLOAT = TensorProto.FLOAT


def case(function):
    CASES.append(function)
    return function


class Builder:
    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants = [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, name, *shape):
        values = self.rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        return self.constant(name, values.astype(np.float32))

    def bias(self, name, size):
        return self.constant(name, (self.rng.standard_normal(size) * 0.1).astype(np.float32))

    def node(self, op_type, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=f"{output}_{op_type}", **attributes))
        return output

    def save(self, path, inputs, outputs, opset=13):
        graph = helper.make_graph(self.nodes, "net", [helper.make_tensor_value_info(n, FLOAT, s) for n, s in inputs],
                                  [helper.make_tensor_value_info(n, FLOAT, s) for n, s in outputs], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def conv_net(path, batch_norm=True):
    b = Builder()
    x = b.node("Conv", ["x", b.weight("w1", 8, 3, 3, 3), b.bias("b1", 8)], "c1", pads=[1] * 4)
    if batch_norm:
        statistics = [b.constant(n, b.rng.uniform(0.5, 2, 8).astype(np.float32)) for n in ("s", "o", "m", "v")]
        x = b.node("BatchNormalization", [x, *statistics], "n1")
    r = b.node("Relu", [x], "r1")
    x = b.node("Conv", [r, b.weight("w2", 8, 1, 3, 3)], "c2", group=8, pads=[1] * 4)
    x = b.node("Clip", [x, b.constant("lo", np.float32(0)), b.constant("hi", np.float32(6))], "r2")
    x = b.node("Add", [r, x], "a")
    p = b.node("MaxPool", [x], "p", kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("Conv", [p, b.weight("w3", 8, 8, 1, 1), b.bias("b3", 8)], "c3")
    x = b.node("Mul", [x, b.node("Sigmoid", [x], "sg")], "sw")
    x = b.node("LeakyRelu", [b.node("Concat", [x, p], "cc", axis=1)], "l", alpha=0.1)
    x = b.node("AveragePool", [x], "ap", kernel_shape=[2, 2], strides=[1, 1])
    x = b.node("Flatten", [b.node("GlobalAveragePool", [x], "g")], "f")
    b.node("Gemm", [x, b.weight("w4", 10, 16), b.bias("b4", 10)], "y", transB=1)
    return b.save(path, [("x", ["n", 3, "h", "w"])], [("y", ["n", 10])])


def plain_conv_net(path):
    return conv_net(path, batch_norm=False)


def attention(path, masked=False):
    b = Builder(1)
    heads = {}
    for name in ("q", "k", "v"):
        h = b.node("MatMul", ["x", b.weight(f"w{name}", 32, 32)], f"{name}0")
        h = b.node("Add", [h, b.bias(f"b{name}", 32)], f"{name}1")
        h = b.node("Reshape", [h, b.constant(f"shape{name}", np.array([0, -1, 4, 8], np.int64))], f"{name}2")
        heads[name] = b.node("Transpose", [h], name, perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3])
    s = b.node("MatMul", [heads["q"], heads["k"]], "scores")
    if masked:
        s = b.node("Add", [s, "mask"], "masked")
    s = b.node("MatMul", [b.node("Softmax", [s], "p", axis=-1), heads["v"]], "o")
    s = b.node("Transpose", [s], "t", perm=[0, 2, 1, 3])
    s = b.node("Reshape", [s, b.constant("shape_o", np.array([0, -1, 32], np.int64))], "m")
    b.node("MatMul", [s, b.weight("wo", 32, 32)], "y")
    inputs = [("x", ["n", "t", 32])] + ([("mask", ["t"])] if masked else [])
    return b.save(path, inputs, [("y", ["n", "t", 32])])


def images(count, seed=0):
    """Of several batch sizes and heights."""
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((1 + i % 2, 3, 12 + i, 12)).astype(np.float32)} for i in range(count)]


def sentences(count, seed=0, masked=False):
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(count):
        sample = {"x": rng.standard_normal((1, 5 + 3 * i, 32)).astype(np.float32)}
        if masked:
            sample["mask"] = np.where(np.arange(5 + 3 * i) < 4 + i, 0, np.finfo(np.float32).min).astype(np.float32)
        samples.append(sample)
    return samples


def write(folder, samples):
    folder.mkdir()
    for i, sample in enumerate(samples):
        np.savez(folder / f"{i:03}.npz", **sample)
    return folder


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.rest = iter(samples)

    def get_next(self):
        return next(self.rest, None)


# With weights of 8 bits, ONNX Runtime's sums saturate where a processor has no instructions for them.
EXACT = "--reduce-range"


def check_names(graph):
    """No two nodes have a name in common, bodies' included."""
    names = [n.name for g in (graph, *bodies(graph)) for n in g.node if n.name]
    assert len(names) == len(set(names)), sorted(n for n in set(names) if names.count(n) > 1)


def check_runs(scratch, model, quantised, samples, least_cosine, ort_optimizes=True):
    """Both engines load and agree; the result is close to the float model's. Weights have 7 bits."""
    onnx.checker.check_model(onnx.load(quantised), full_check=True)
    check_names(onnx.load(quantised).graph)
    for sample in samples:
        expected = run_ort(model, sample, optimized=False)[0]
        plain = run_ort(quantised, sample, optimized=False)[0]
        step = np.abs(expected).max() / 100
        assert cosine(plain, expected) >= least_cosine, (quantised.name, cosine(plain, expected))
        if ort_optimizes:
            np.testing.assert_allclose(run_ort(quantised, sample, optimized=True)[0], plain, atol=3 * step)
        for options in ([], ["--no-optimize"]):
            ours = run_linnet(quantised, sample, scratch, *options)[0]
            np.testing.assert_allclose(ours, plain, atol=3 * step, err_msg=str(options))


@case
def convolutions_in_every_form(scratch):
    model, samples = conv_net(scratch / "net.onnx"), images(4)
    folder = write(scratch / "samples", samples)
    for i, (form, dtype, channels) in enumerate(itertools.product(
            ["qdq", "qoperator"], ["int8", "uint8", "int16", "uint16"], [[], ["--per-channel"]])):
        if form == "qoperator" and "16" in dtype:
            continue
        out = scratch / f"{form}.{dtype}.{i}.onnx"
        quantize("static", model, out, "--calibrate", folder, EXACT, "--format", form, "--activation-type", dtype, *channels)
        check_runs(scratch, model, out, samples[:1], 0.998)
        kinds = {node.op_type for node in onnx.load(out).graph.node}
        assert "Relu" not in kinds and "Clip" not in kinds and "BatchNormalization" not in kinds, kinds
        integer = {"QLinearConv", "QGemm", "QLinearAdd", "QLinearConcat", "QLinearAveragePool"}
        assert integer <= kinds if form == "qoperator" else not integer & kinds, kinds


@case
def symmetric_activations_keep_the_activation_functions(scratch):
    model, samples = conv_net(scratch / "net.onnx"), images(4)
    folder = write(scratch / "samples", samples)
    for form in ("qdq", "qoperator"):
        out = scratch / f"{form}.onnx"
        quantize("static", model, out, "--calibrate", folder, EXACT, "--format", form, "--activation-symmetric")
        check_runs(scratch, model, out, samples[:1], 0.998)
        kinds = {node.op_type for node in onnx.load(out).graph.node}
        assert {"Relu", "Clip"} <= kinds, kinds
        for tensor in onnx.load(out).graph.initializer:
            if tensor.name.endswith("_zero_point"):
                assert not numpy_helper.to_array(tensor).any(), tensor.name


@case
def attention_in_every_form(scratch):
    model, samples = attention(scratch / "attention.onnx"), sentences(4)
    folder = write(scratch / "samples", samples)
    for form, dtype in itertools.product(["qdq", "qoperator"], ["int8", "uint8"]):
        out = scratch / f"{form}.{dtype}.onnx"
        report = quantize("static", model, out, "--calibrate", folder, EXACT, "--format", form, "--activation-type", dtype)
        assert report["quantized"] == len(report["nodes"]), report
        check_runs(scratch, model, out, samples[:2], 0.995)


@case
def smoothing_takes_outliers_up(scratch):
    """Some channels of a normalisation's output are far greater than others, and so are some of a product's input."""
    for normalised, half in itertools.product((True, False), (False, True)):
        b = Builder(5)
        scale = np.where(np.arange(32) % 8 == 3, 40, 1).astype(np.float32)
        if normalised:
            x = b.node("LayerNormalization", ["x", b.constant("g", scale), b.bias("o", 32)], "n", axis=-1)
        else:
            x = b.node("Tanh", [b.node("Mul", ["x", b.constant("g", scale)], "m")], "t")
            x = b.node("Div", [x, b.constant("d", 1 / scale)], "n")
        w1, w2 = ((b.rng.standard_normal((32, 48)) / scale[:, None]).astype(np.float32) for _ in range(2))
        h = b.node("MatMul", [x, b.constant("w1", w1)], "h1")
        h = b.node("Add", [h, b.node("MatMul", [x, b.constant("w2", w2)], "h2")], "s")
        model = b.save(scratch / "net.onnx", [("x", ["n", "t", 32])], [("s", ["n", "t", 48])], opset=17)
        samples = sentences(5)
        if half:
            model = halved(model, scratch / "half.onnx", "--float16", "--convert-io")
            samples = [{"x": s["x"].astype(np.float16)} for s in samples]
        folder = write(scratch / f"samples{normalised}{half}", samples[:4])
        errors = []
        for options in ([], ["--smooth-quant"]):
            quantize("static", model, scratch / "out.onnx", "--calibrate", folder, *options)
            errors.append(cosine(*(run_ort(m, samples[4], False)[0] for m in (model, scratch / "out.onnx"))))
            ours = run_linnet(scratch / "out.onnx", samples[4], scratch)[0]
            assert cosine(ours, run_ort(scratch / "out.onnx", samples[4], False)[0]) > 0.999
        assert 1 - errors[1] < (1 - errors[0]) * 0.75, errors
        assert ("Mul" in {node.op_type for node in onnx.load(scratch / "out.onnx").graph.node}) == (not normalised)


@case
def small_probabilities_keep_their_ratios(scratch):
    """Of many classes none need be near 1."""
    b = Builder(6)
    b.node("Softmax", [b.node("MatMul", ["x", b.weight("w", 32, 500)], "s")], "y", axis=-1)
    model = b.save(scratch / "net.onnx", [("x", ["n", 32])], [("y", ["n", 500])])
    rng = np.random.default_rng(6)
    samples = [{"x": rng.standard_normal((4, 32)).astype(np.float32)} for _ in range(4)]
    folder = write(scratch / "samples", samples)
    for options in ([], ["--format", "qoperator"], ["--calibrate-method", "entropy", "--num-bins", "2048"], ["--activation-type", "uint8"]):
        quantize("static", model, scratch / "out.onnx", "--calibrate", folder, EXACT, *options)
        check_runs(scratch, model, scratch / "out.onnx", samples, 0.99)
        numbers = {t.name: numpy_helper.to_array(t) for t in onnx.load(scratch / "out.onnx").graph.initializer}
        assert numbers["y_zero_point"] == (0 if "uint8" in options else -128)


@case
def constants_on_the_left_of_products(scratch):
    b = Builder(7)
    x = b.node("MatMul", [b.weight("w", 24, 32), "x"], "l")
    b.node("MatMul", [x, b.weight("v", 16, 16)], "y")
    model = b.save(scratch / "net.onnx", [("x", [32, 16])], [("y", [24, 16])])
    samples = [{"x": np.random.default_rng(i).standard_normal((32, 16)).astype(np.float32)} for i in range(4)]
    folder = write(scratch / "samples", samples)
    for form, type_ in itertools.product(("qdq", "qoperator"), ("int8", "uint8")):
        quantize("static", model, scratch / "out.onnx", "--calibrate", folder, EXACT, "--format", form, "--activation-type", type_)
        check_runs(scratch, model, scratch / "out.onnx", samples[:2], 0.999)


@case
def masks_do_not_drown_the_scores(scratch):
    model, samples = attention(scratch / "attention.onnx", masked=True), sentences(4, masked=True)
    folder = write(scratch / "samples", samples)
    report = quantize("static", model, scratch / "out.onnx", "--calibrate", folder, EXACT)
    left = {n["node"]: n["reason"] for n in report["nodes"] if "reason" in n}
    assert any("masked_Add" in node for node in left), left
    check_runs(scratch, model, scratch / "out.onnx", samples[:2], 0.995)


@case
def scales_are_those_of_quantize_static(scratch):
    model, samples = conv_net(scratch / "net.onnx", batch_norm=False), images(4)
    samples = [{"x": s["x"][:1, :, :12]} for s in samples]  # ONNX Runtime's histograms want one shape
    folder = write(scratch / "samples", samples)
    logging.disable(logging.WARNING)
    for method, channels, dtype in itertools.product(["minmax", "percentile"], [False, True], ["int8", "uint8"]):
        quantize("static", model, scratch / "ours.onnx", "--calibrate", folder, "--calibrate-method", method,
                 "--activation-type", dtype, *["--per-channel"] * channels)
        kind = CalibrationMethod.MinMax if method == "minmax" else CalibrationMethod.Percentile
        with contextlib.redirect_stdout(io.StringIO()):
            quantize_static(str(model), str(scratch / "theirs.onnx"), Reader(samples), calibrate_method=kind,
                            per_channel=channels,
                            activation_type=QuantType.QUInt8 if dtype == "uint8" else QuantType.QInt8)
        ours, theirs = [{t.name: numpy_helper.to_array(t) for t in onnx.load(scratch / name).graph.initializer}
                        for name in ("ours.onnx", "theirs.onnx")]
        compared = 0
        for name, array in theirs.items():
            if not name.endswith("_scale") or name not in ours:
                continue
            # A percentile is known to a bin of the histogram.
            tolerance = 1e-5 if method == "minmax" or name.startswith("w") else 2e-3
            np.testing.assert_allclose(ours[name], array, rtol=tolerance, err_msg=f"{method} {name}")
            zero = name.replace("_scale", "_zero_point")
            assert np.abs(ours[zero].astype(int) - theirs[zero].astype(int)).max() <= (method != "minmax"), name
            compared += 1
        assert compared >= 10, (sorted(ours), sorted(theirs))
        for name in ("w1_quantized", "w4_quantized"):
            np.testing.assert_array_equal(ours[name], theirs[name])


@case
def methods_choose_narrower_ranges(scratch):
    model = conv_net(scratch / "net.onnx")
    samples = images(4)
    samples[0]["x"][0, 0, 0, 0] = 60  # one element far from all others
    folder = write(scratch / "samples", samples)
    scales = {}
    for options in ([], ["--calibrate-method", "percentile", "--percentile", "99.9"],
                    ["--calibrate-method", "entropy", "--num-bins", "2048"], ["--moving-average"]):
        out = scratch / "out.onnx"
        quantize("static", model, out, "--calibrate", folder, *options)
        scales[" ".join(options)] = next(float(numpy_helper.to_array(t)) for t in onnx.load(out).graph.initializer
                                         if t.name == "x_scale")
    full = scales.pop("")
    assert all(scale < full / 1.5 for scale in scales.values()), (full, scales)


@case
def a_bias_of_several_nodes_has_codes_for_each(scratch):
    b = Builder(9)
    b.bias("b", 8)
    x = b.node("Conv", ["x", b.weight("w1", 8, 8, 3, 3), "b"], "c1", pads=[1] * 4)
    b.node("Conv", [x, b.weight("w2", 8, 8, 1, 1), "b"], "y")
    convs = b.save(scratch / "convs.onnx", [("x", ["n", 8, 6, 6])], [("y", ["n", 8, 6, 6])])
    b = Builder(9)
    b.bias("b", 16)
    # A name that the first new node might have had.
    x = b.node("Gemm", ["x", b.weight("w1", 16, 16), "b"], "c1")
    b.nodes[-1].name = "b_DequantizeLinear"
    x = b.node("Gemm", [x, b.weight("w2", 16, 16), "b"], "c2", transB=1)
    value = helper.make_tensor_value_info("t", FLOAT, ["n", 16])
    inner = [helper.make_graph([helper.make_node("Gemm", [x, w, "b"], ["t"], f"in_{w}")], w, [], [value]) for w in ("w1", "w2")]
    b.node("Less", [b.node("ReduceSum", [x], "sum", keepdims=0), b.constant("zero", np.float32(0))], "choice")
    b.node("If", ["choice"], "y", then_branch=inner[0], else_branch=inner[1])
    gemms = b.save(scratch / "gemms.onnx", [("x", ["n", 16])], [("y", ["n", 16])])
    rng = np.random.default_rng(3)
    for model, shape in ((convs, (2, 8, 6, 6)), (gemms, (5, 16))):
        samples = [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(4)]
        folder = write(scratch / model.stem, samples)
        for options in ([], ["--format", "qoperator"]):
            quantize("static", model, scratch / "out.onnx", "--calibrate", folder, EXACT, *options)
            check_runs(scratch, model, scratch / "out.onnx", samples[:2], 0.999)
            if options == [] and model is gemms:
                assert "b_DequantizeLinear" in {n.name for n in onnx.load(scratch / "out.onnx").graph.node if n.op_type == "Gemm"}


@case
def embeddings_are_looked_up_as_codes(scratch):
    b = Builder()
    b.node("Gather", [b.weight("table", 50, 16), "ids"], "e")
    b.node("MatMul", ["e", b.weight("w", 16, 8)], "y")
    graph = helper.make_graph(b.nodes, "net", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
                              [helper.make_tensor_value_info("y", FLOAT, ["n", 8])], b.constants)
    model = scratch / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), model)
    samples = [{"ids": np.arange(i, i + 20) % 50} for i in range(3)]
    folder = write(scratch / "samples", samples)
    for form in ("qdq", "qoperator"):
        quantize("static", model, scratch / "out.onnx", "--calibrate", folder, EXACT, "--format", form)
        check_runs(scratch, model, scratch / "out.onnx", samples[:1], 0.998)
        types = {t.data_type for t in onnx.load(scratch / "out.onnx").graph.initializer if np.prod(t.dims) > 100}
        assert types == {TensorProto.INT8}, types


def halved(model, to, *options):
    """The model with floats of 16 bits."""
    optimize(model, to, "--level", "none", *options)
    return to


@case
def models_of_float16_become_integers(scratch):
    """As float32 where they are quantised, so that ONNX Runtime, too, multiplies integers; else as they are."""
    for name, make, samples in (("conv", plain_conv_net, images(3)), ("attention", attention, sentences(3))):
        wide, model = make(scratch / f"{name}.onnx"), scratch / f"{name}.half.onnx"
        halved(wide, model, "--float16", "--convert-io")
        samples = [{n: a.astype(np.float16) for n, a in sample.items()} for sample in samples]
        folder = write(scratch / name, samples)
        for form, dtype, *options in itertools.chain(itertools.product(["qdq", "qoperator"], ["int8", "uint8"]),
                                                     [("qdq", "int16"), ("qdq", "int8", "--per-channel")]):
            out = scratch / "out.onnx"
            report = quantize("static", model, out, "--calibrate", folder, EXACT, "--format", form, "--activation-type",
                              dtype, *options)
            assert report["quantized"] == len(report["nodes"]), report
            check_runs(scratch, model, out, samples[:1], 0.995)
            assert run_ort(out, samples[0], True)[0].dtype == np.float16
            written = onnx.load(out).graph
            scales = {t.data_type for t in written.initializer if t.name.endswith("_scale")}
            assert scales == {FLOAT}, scales
            # Nothing between quantised operators goes back to 16 bits.
            casts = [n for n in written.node if n.op_type == "Cast"]
            assert len(casts) <= 3, casts
        for source, data, to in ((wide, write(scratch / f"{name}.wide", images(3) if name == "conv" else sentences(3)), "wide"),
                                 (model, folder, "half")):
            quantize("static", source, scratch / f"{to}.onnx", "--calibrate", data, "--activation-type", "uint8")
        kinds = [operators_of_ort(scratch / f"{to}.onnx", scratch) for to in ("wide", "half")]
        assert kinds[1] - kinds[0] == {"Cast"} and {"QLinearConv", "QLinearMatMul"} & kinds[1], kinds
    

@case
def models_of_float16_keep_what_stays(scratch):
    """Nodes that are left out, their neighbours, and what is read beside its quantised form."""
    wide, model = conv_net(scratch / "net.onnx"), scratch / "half.onnx"
    halved(wide, model, "--float16", "--convert-io")
    samples = [{"x": s["x"].astype(np.float16)} for s in images(3)]
    folder = write(scratch / "samples", samples)
    for form, excluded in itertools.product(["qdq", "qoperator"], ["c3_Conv", "a_Add", "Gemm", "r1_Relu", "c2_Conv"]):
        report = quantize("static", model, scratch / "out.onnx", "--calibrate", folder, EXACT, "--format", form,
                          "--exclude", excluded)
        assert 0 < report["quantized"] < len(report["nodes"])
        check_runs(scratch, model, scratch / "out.onnx", samples[:1], 0.995)
        halves = [t for t in onnx.load(scratch / "out.onnx").graph.initializer if t.data_type == TensorProto.FLOAT16]
        assert halves or excluded in ("a_Add", "r1_Relu"), excluded


@case
def models_of_bfloat16_become_integers(scratch):
    """ONNX Runtime does not run those on a CPU."""
    model, samples = plain_conv_net(scratch / "net.onnx"), images(3)
    folder = write(scratch / "samples", samples)
    halved(model, scratch / "half.onnx", "--bfloat16")
    for form in ("qdq", "qoperator"):
        report = quantize("static", scratch / "half.onnx", scratch / "out.onnx", "--calibrate", folder, EXACT, "--format", form)
        assert report["quantized"] == len(report["nodes"]), report
        onnx.checker.check_model(onnx.load(scratch / "out.onnx"))
        expected = run_ort(model, samples[0], False)[0]
        assert cosine(run_linnet(scratch / "out.onnx", samples[0], scratch)[0], expected) > 0.995
        # Weights that are stored as bfloat16 and computed with as float32 are constants, too.
        types = {t.data_type for t in onnx.load(scratch / "out.onnx").graph.initializer}
        assert TensorProto.BFLOAT16 not in types, types


def branches(path):
    """If, Loop and Scan: a weight of each, one of the graph around that several share, and values of the graph around."""
    b = Builder(4)
    b.weight("shared", 16, 16), b.bias("offset", 16)

    def body(name, nodes, inputs, outputs, constants=()):
        return helper.make_graph(nodes, name, inputs, outputs, list(constants))

    def own(name):
        values = (b.rng.standard_normal((16, 16)) / 4).astype(np.float32)
        return numpy_helper.from_array(values, name)

    value = helper.make_tensor_value_info
    b.node("Relu", ["x"], "h")
    then = body("then", [helper.make_node("MatMul", ["h", "shared"], ["m"], "then_1"), helper.make_node("Add", ["m", "offset"], ["t"], "then_2")],
                [], [value("t", FLOAT, ["n", 16])])
    other = body("else", [helper.make_node("MatMul", ["h", "we"], ["e"], "else_1")], [], [value("e", FLOAT, ["n", 16])], [own("we")])
    b.node("If", ["choice"], "chosen", then_branch=then, else_branch=other)
    loop = body("loop", [helper.make_node("Gemm", ["s", "wl", "offset"], ["g"], "loop_1"), helper.make_node("Tanh", ["g"], ["s2"], "loop_2"),
                         helper.make_node("Identity", ["more"], ["more2"])],
                [value("i", TensorProto.INT64, []), value("more", TensorProto.BOOL, []), value("s", FLOAT, ["n", 16])],
                [value("more2", TensorProto.BOOL, []), value("s2", FLOAT, ["n", 16])], [own("wl")])
    b.node("Loop", [b.constant("times", np.int64(3)), "", "chosen"], "looped", body=loop)
    scan = body("scan", [helper.make_node("MatMul", ["a", "shared"], ["c"], "scan_1"), helper.make_node("Add", ["c", "row"], ["a2"], "scan_2"),
                         helper.make_node("Identity", ["a2"], ["o"])],
                [value("a", FLOAT, [16]), value("row", FLOAT, [16])], [value("a2", FLOAT, [16]), value("o", FLOAT, [16])])
    b.nodes.append(helper.make_node("Scan", [b.constant("start", np.zeros(16, np.float32)), "looped"], ["last", "y"], body=scan, num_scan_inputs=1))
    graph = helper.make_graph(b.nodes, "net", [value("x", FLOAT, ["n", 16]), value("choice", TensorProto.BOOL, [])],
                              [value("y", FLOAT, ["n", 16]), value("last", FLOAT, [16])], b.constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def bodies(graph):
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
                yield from bodies(attribute.g)


@case
def bodies_are_quantised_by_what_they_see(scratch):
    model = branches(scratch / "net.onnx")
    rng = np.random.default_rng(8)
    samples = [{"x": rng.standard_normal((3 + i, 16)).astype(np.float32), "choice": np.array(i % 2 == 0)} for i in range(6)]
    folder = write(scratch / "samples", samples)
    for options in ([], ["--format", "qoperator"], ["--per-channel"], ["--activation-type", "int16"],
                    ["--calibrate-method", "percentile"], ["--smooth-quant"], ["--equalise"]):
        report = quantize("static", model, scratch / "out.onnx", "--calibrate", folder, EXACT, *options)
        rows = {n["name"]: n for n in report["nodes"]}
        assert all("result" in rows[n] for n in ("then_1", "else_1", "loop_1", "scan_1")), rows
        # ONNX Runtime's optimiser does not find weights of 8 bits beside activations of 16 in the graph around.
        check_runs(scratch, model, scratch / "out.onnx", samples[:2], 0.99, ort_optimizes="int16" not in options)
        for body in bodies(onnx.load(scratch / "out.onnx").graph):
            kinds = [n.op_type for n in body.node]
            assert "QuantizeLinear" in kinds or "QLinearMatMul" in kinds, kinds
    # What a weight is made of is in the file once: it is shared.
    whole = onnx.load(scratch / "out.onnx").graph
    assert sum(list(t.dims) == [16, 16] for g in (whole, *bodies(whole)) for t in g.initializer) == 3


@case
def bodies_that_never_run_stay_float(scratch):
    model = branches(scratch / "net.onnx")
    x = np.random.default_rng(8).standard_normal((4, 16)).astype(np.float32)
    folder = write(scratch / "samples", [{"x": x, "choice": np.array(True)}])
    report = quantize("static", model, scratch / "out.onnx", "--calibrate", folder, EXACT)
    rows = {n["name"]: n for n in report["nodes"]}
    assert "no elements in the calibration data" in rows["else_1"]["reason"] and "result" in rows["then_1"], rows
    for choice in (True, False):
        check_runs(scratch, model, scratch / "out.onnx", [{"x": x, "choice": np.array(choice)}], 0.99)
    report = quantize("static", model, scratch / "out.onnx", "--calibrate", folder, EXACT, "--exclude", "loop_1")
    assert [n["reason"] for n in report["nodes"] if n["name"] == "loop_1"] == ["excluded by 'loop_1'"]


@case
def excluded_nodes_stay(scratch):
    model, samples = conv_net(scratch / "net.onnx"), images(3)
    folder = write(scratch / "samples", samples)
    report = quantize("static", model, scratch / "out.onnx", "--calibrate", folder, EXACT, "--exclude", "c3_*", "--exclude",
                      "Gemm")
    left = {n["node"].split("/")[-1].split(" ")[0]: n["reason"] for n in report["nodes"] if "reason" in n}
    assert "excluded" in left["c3_Conv"] and "excluded" in left["y_Gemm"], left
    names = {t.name for t in onnx.load(scratch / "out.onnx").graph.initializer}
    assert {"w3", "w4"} <= names, names
    check_runs(scratch, model, scratch / "out.onnx", samples[:1], 0.998)


@case
def values_that_are_no_numbers_stay_float(scratch):
    b = Builder()
    x = b.node("Conv", ["x", b.weight("w1", 4, 3, 1, 1)], "c1")
    x = b.node("Sqrt", [x], "s")  # of negative numbers
    b.node("Conv", [x, b.weight("w2", 4, 4, 1, 1)], "y")
    model = b.save(scratch / "net.onnx", [("x", ["n", 3, "h", "w"])], [("y", ["n", 4, "h", "w"])])
    folder = write(scratch / "samples", images(2))
    report = quantize("static", model, scratch / "out.onnx", "--calibrate", folder)
    reasons = [n.get("reason") for n in report["nodes"]]
    assert reasons[0] is None and "not a number" in reasons[1] and "'s'" in reasons[1], reasons


@case
def constant_activations_are_exact(scratch):
    b = Builder()
    b.node("Conv", ["x", b.weight("w1", 4, 3, 1, 1)], "y")
    model = b.save(scratch / "net.onnx", [("x", ["n", 3, "h", "w"])], [("y", ["n", 4, "h", "w"])])
    for value in (0.0, 2.5, -1.0):
        folder = write(scratch / f"samples{value}", [{"x": np.full((1, 3, 4, 4), value, np.float32)}])
        quantize("static", model, scratch / "out.onnx", "--calibrate", folder, "--per-channel", EXACT)
        sample = {"x": np.full((1, 3, 4, 4), value, np.float32)}
        expected, actual = run_ort(model, sample, False)[0], run_ort(scratch / "out.onnx", sample, True)[0]
        np.testing.assert_allclose(actual, expected, atol=np.abs(expected).max() / 50 + 1e-9)


@case
def samples_in_every_layout(scratch):
    model, samples = conv_net(scratch / "net.onnx"), images(3)
    expected = None
    for layout in ("npz", "npy", "pb", "folders"):
        folder = scratch / layout
        folder.mkdir()
        for i, sample in enumerate(samples):
            if layout == "npz":
                np.savez(folder / f"{i}.npz", **sample)
            elif layout == "npy":
                np.save(folder / f"{i}.npy", sample["x"])
            elif layout == "pb":
                (folder / f"{i}.pb").write_bytes(numpy_helper.from_array(sample["x"], "x").SerializeToString())
            else:
                (folder / f"test_data_set_{i}").mkdir()
                (folder / f"test_data_set_{i}" / "input_0.pb").write_bytes(
                    numpy_helper.from_array(sample["x"], "x").SerializeToString())
        quantize("static", model, scratch / "out.onnx", "--calibrate", folder)
        written = (scratch / "out.onnx").read_bytes()
        assert expected in (None, written), layout
        expected = written


@case
def bad_samples_are_refused_with_a_sentence(scratch):
    model, out = conv_net(scratch / "net.onnx"), scratch / "out.onnx"
    empty = scratch / "empty"
    empty.mkdir()
    (empty / "readme.txt").write_text("nothing")
    assert "no samples in" in refusal("static", model, out, "--calibrate", empty)
    assert "cannot read the folder" in refusal("static", model, out, "--calibrate", scratch / "nowhere")
    ragged = write(scratch / "ragged", [{"x": np.zeros((1, 4, 8, 8), np.float32)}])
    assert "000.npz" in refusal("static", model, out, "--calibrate", ragged)
    other = write(scratch / "other", [{"z": np.zeros((1, 3, 8, 8), np.float32)}])
    message = refusal("static", model, out, "--calibrate", other)
    assert "000.npz" in message and "'x'" in message, message
    broken = scratch / "broken"
    broken.mkdir()
    (broken / "0.npz").write_bytes(b"not an archive")
    assert "0.npz" in refusal("static", model, out, "--calibrate", broken)
    folder = write(scratch / "samples", images(1))
    message = refusal("static", model, out, "--calibrate", folder, EXACT, "--format", "qoperator", "--activation-type", "int16")
    assert "qdq" in message, message
    message = refusal("static", model, out, "--calibrate", folder, "--include", "c3_Con")
    assert "c3_Conv" in message, message
    masked = attention(scratch / "attention.onnx", masked=True)
    alone = scratch / "alone"
    alone.mkdir()
    np.save(alone / "sample.npy", np.zeros((1, 4, 32), np.float32))
    assert "2 inputs" in refusal("static", masked, out, "--calibrate", alone)


@case
def equalisation_and_bias_correction_bring_results_nearer(scratch):
    """A weight whose channels are of very different magnitude, with one scale for all."""
    b = Builder(3)
    w1 = b.rng.standard_normal((16, 3, 3, 3)) * 10 ** b.rng.uniform(-2, 0, (16, 1, 1, 1))
    w2 = b.rng.standard_normal((16, 1, 3, 3)) * 10 ** b.rng.uniform(-2, 0, (16, 1, 1, 1))
    x = b.node("Conv", ["x", b.constant("w1", w1.astype(np.float32)), b.bias("b1", 16)], "c1", pads=[1] * 4)
    x = b.node("Conv", [b.node("Relu", [x], "r1"), b.constant("w2", w2.astype(np.float32))], "c2", group=16)
    x = b.node("Relu", [x], "r2")
    b.node("Conv", [x, b.weight("w3", 8, 16, 1, 1), b.bias("b3", 8)], "y")
    model = b.save(scratch / "net.onnx", [("x", ["n", 3, "h", "w"])], [("y", ["n", 8, "u", "v"])])
    samples = images(6)
    for sample in samples:
        sample["x"] += 1  # means that a correction can tell
    half = halved(model, scratch / "half.onnx", "--float16")
    folder = write(scratch / "samples", samples[:4])
    for model in (model, half):
        errors = {}
        for options in (["--no-bias-correction"], [], ["--no-bias-correction", "--equalise"], ["--equalise"]):
            quantize("static", model, scratch / "out.onnx", "--calibrate", folder, *options)
            errors[" ".join(options)] = sum(
                np.abs(run_ort(scratch / "out.onnx", s, False)[0] - run_ort(model, s, False)[0]).mean() for s in samples[4:])
        plain = errors.pop("--no-bias-correction")
        assert all(error < plain for error in errors.values()), (plain, errors)
