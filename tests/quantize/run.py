"""`linnet quantize dynamic` and `weights`: ONNX Runtime loads what they write and agrees with the float model about as
well as arithmetic of 8 or 4 bits can, Linnet agrees with it, and bad input ends in one sentence.

  run.py           models made here, and some of the shared ones
  run.py --all     every shared model
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import gptq_reference  # noqa: E402
import onnxruntime  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import suite_cases  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
FLOAT, HALF, INT64, BOOL = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.BOOL
RNG = np.random.default_rng(7)
CASES = []
SHARED = ["bert_script11", "gpt2_past_dynamo18", "lstm_text_classifier_script17", "gru_bidirectional_2layer", "contrib_bert",
          "fp16_vit_script17", "gpt2_beam_search", "external_one_file", "qdq_u8u8_vit", "t5_encoder_script13", "wav2vec2_ctc_script17"]  # fmt: skip


def case(function):
    CASES.append(function)
    return function


def info(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def weight(name, *shape, dtype=np.float32):
    return numpy_helper.from_array((RNG.standard_normal(shape) / np.sqrt(shape[-2])).astype(dtype), name)


def save(path, nodes, inputs, outputs, initializers, opset=17):
    graph = helper.make_graph(nodes, "main", inputs, outputs, initializers)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def quantize(context, model, *options, scheme="dynamic", out=None, fails=None):
    """The file that was written. `fails`: the command does, and says this."""
    out = out or context.folder / "out.onnx"
    done = subprocess.run([context.linnet, "quantize", scheme, str(model), "-o", str(out), "--json", *map(str, options)],
                          capture_output=True, text=True, timeout=120, restore_signals=False)
    if fails is not None:
        assert done.returncode == 2, f"exit code {done.returncode}, {done.stderr}"
        assert done.stderr.count("\n") == 1 and fails in done.stderr, done.stderr
        assert not [p for p in context.folder.iterdir() if ".tmp" in p.name], "a temporary file stays"
        return None
    assert done.returncode == 0, done.stderr
    context.report = json.loads(done.stdout)
    return out


def session(path, optimise=True):
    """Of a file, or of a model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = path.SerializeToString() if isinstance(path, onnx.ModelProto) else str(path)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_linnet(context, path, feeds):
    source, target = context.folder / "inputs", context.folder / "outputs"
    for folder in source, target:
        folder.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.unlink()
    np.savez(source / "inputs.npz", **feeds)
    done = subprocess.run([context.linnet, "run", str(path), "--inputs", str(source / "inputs.npz"), "--save-outputs", str(target)],
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {file.stem: np.load(file) for file in target.glob("*.npy")}


def cosine(a, b):
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm else float(np.array_equal(a, b))


def graphs_of(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_of(attribute.g)


def agree(context, model, quantized, feeds, least=0.999, linnet=True):
    """Both engines' answers of the quantised model are near the float model's."""
    onnx.checker.check_model(str(quantized))
    names = [n.name for g in graphs_of(onnx.load(quantized, load_external_data=False).graph) for n in g.node if n.name]
    assert len(names) == len(set(names)), sorted(n for n in set(names) if names.count(n) > 1)
    reference = session(model)
    expected = reference.run(None, feeds)
    names = [o.name for o in reference.get_outputs()]
    for optimise in (True, False):
        for name, a, b in zip(names, expected, session(quantized, optimise).run(None, feeds)):
            assert np.shape(a) == np.shape(b), f"{name}: {np.shape(a)}, {np.shape(b)}"
            assert cosine(a, b) > least, f"{name}: ONNX Runtime's cosine is {cosine(a, b):.5f}"
    if linnet:
        ours = run_linnet(context, quantized, feeds)
        for name, a in zip(names, expected):
            assert cosine(a, ours[name]) > least, f"{name}: Linnet's cosine is {cosine(a, ours[name]):.5f}"
    return [cosine(a, b) for a, b in zip(expected, session(quantized, False).run(None, feeds))]


def results(context):
    return [row.get("result", "left") for row in context.report["nodes"]]


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def layers(path, dtype=np.float32):
    """Two products that read one input, one with a transposed weight, bias and factors."""
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("Gemm", ["x", "v", "b"], ["g"], name="second", transB=1, alpha=0.5, beta=2.0),
        helper.make_node("Add", ["h", "g"], ["y"], name="sum"),
    ]
    initializers = [weight("w", 64, 48, dtype=dtype), weight("v", 48, 64, dtype=dtype), numpy_helper.from_array(np.ones(48, dtype), "b")]
    return save(path, nodes, [info("x", number, ["n", 64])], [info("y", number, ["n", 48])], initializers)


def rows(n=5, width=64, dtype=np.float32):
    return RNG.standard_normal((n, width)).astype(dtype)


@case
def products_share_one_quantised_input(context):
    model = layers(context.folder / "m.onnx")
    for options in [], ["--per-channel"], ["--weight-type", "uint8"], ["--weight-type", "uint8", "--per-channel"], ["--reduce-range"], ["--asymmetric"]:
        out = quantize(context, model, *options)
        agree(context, model, out, {"x": rows()})
        assert results(context) == ["MatMulInteger"] * 2, context.report
        assert operators(out).count("DynamicQuantizeLinear") == 1
    assert context.report["bytes_after"] < context.report["bytes_before"]


@case
def halves(context):
    model = layers(context.folder / "m.onnx", np.float16)
    agree(context, model, quantize(context, model), {"x": rows(dtype=np.float16)}, linnet=False)
    agree(context, model, quantize(context, model, "--bits", 8, scheme="weights"), {"x": rows(dtype=np.float16)}, linnet=False)


@case
def nodes_are_chosen(context):
    model = layers(context.folder / "m.onnx")
    for options, expected in [
        (["--exclude", "first"], ["left", "MatMulInteger"]),
        (["--include", "Gemm"], ["left", "MatMulInteger"]),
        (["--include", "f*"], ["MatMulInteger", "left"]),
        (["--exclude", "MatMul", "--exclude", "Gemm"], ["left", "left"]),
    ]:
        quantize(context, model, *options)
        assert results(context) == expected, (options, context.report)
    assert "excluded by 'MatMul'" in context.report["nodes"][0]["reason"]
    quantize(context, model, "--exclude", "frist", fails="did you mean 'first'?")
    quantize(context, model, "--include", "nothing*", fails="matches 'nothing*'")
    quantize(context, model, "--include", "LSTM", fails="no node or operator named 'LSTM'")


@case
def a_shared_weight_is_written_once(context):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    model = save(context.folder / "m.onnx", nodes, [info("x", FLOAT, [2, 64])], [info("y", FLOAT, [2, 64])], [weight("w", 64, 64)])
    for scheme in "dynamic", "weights":
        out = quantize(context, model, scheme=scheme)
        agree(context, model, out, {"x": rows(2)}, least=0.98)
        assert context.report["nodes"][1]["bytes_after"] == 0
        assert os.path.getsize(out) < os.path.getsize(model) / 2


@case
def a_table_tied_to_a_head(context):
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        helper.make_node("Transpose", ["table"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    model = save(context.folder / "m.onnx", nodes, [info("ids", INT64, [1, 4])], [info("y", FLOAT, [1, 4, 500])], [weight("table", 500, 64)])
    feeds = {"ids": np.array([[0, 499, -1, 7]])}
    out = quantize(context, model)
    agree(context, model, out, feeds)
    assert os.path.getsize(out) < 0.4 * os.path.getsize(model), "the table is there twice"
    for options in ["--bits", 8], ["--bits", 4, "--asymmetric"], ["--method", "hqq"]:
        out = quantize(context, model, "--embeddings", *options, scheme="weights")
        agree(context, model, out, feeds, least=0.98)
        assert results(context) == ["GatherBlockQuantized", "MatMulNBits"], context.report
        assert os.path.getsize(out) < 0.4 * os.path.getsize(model), "the table is there twice"
        assert "note" not in context.report["nodes"][1]
    quantize(context, model, scheme="weights")
    assert "--embeddings" in context.report["nodes"][1]["note"]


@case
def a_table_of_positions(context):
    nodes = [helper.make_node("Add", ["x", "p"], ["y"])]
    model = save(context.folder / "m.onnx", nodes, [info("x", FLOAT, [2, 100, 96])], [info("y", FLOAT, [2, 100, 96])], [weight("p", 1, 100, 96)])
    out = quantize(context, model)
    agree(context, model, out, {"x": RNG.standard_normal((2, 100, 96)).astype(np.float32)})
    assert results(context) == ["DequantizeLinear"]
    assert os.path.getsize(out) < 0.4 * os.path.getsize(model)


@case
def convolutions(context):
    for groups, size, rank in (1, 64, 2), (1, 24, 1), (2, 64, 2), (1, 8, 2):
        w = weight("w", size, size // groups, *[3] * rank)
        nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], group=groups, pads=[1] * 2 * rank)]
        model = save(context.folder / "m.onnx", nodes, [info("x", FLOAT, [2, size] + [9] * rank)], [info("y", FLOAT, None)],
                     [w, numpy_helper.from_array(rows(1, size)[0], "b")])  # fmt: skip
        for options in [], ["--per-channel"], ["--weight-type", "uint8"]:
            out = quantize(context, model, *options)
            assert results(context) == (["ConvInteger"] if groups == 1 and size > 8 else ["left"]), context.report
            agree(context, model, out, {"x": RNG.standard_normal([2, size] + [9] * rank).astype(np.float32)})


def recurrent(context, op, gates, directions, layout=0, dtype=np.float32):
    hidden, width, direction = 32, 24, "bidirectional" if directions == 2 else "forward"
    nodes = [helper.make_node(op, ["x", "w", "r", "b"], ["y", "last"], hidden_size=hidden, direction=direction, layout=layout)]
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    initializers = [weight("w", directions, gates * hidden, width, dtype=dtype), weight("r", directions, gates * hidden, hidden, dtype=dtype),
                    numpy_helper.from_array(rows(directions, 2 * gates * hidden, dtype=dtype), "b")]  # fmt: skip
    return save(context.folder / "m.onnx", nodes, [info("x", number, [7, 2, width])], [info("y", number, None), info("last", number, None)], initializers)


@case
def recurrent_layers(context):
    feeds = {"x": RNG.standard_normal((7, 2, 24)).astype(np.float32)}
    for op, gates, result in ("LSTM", 4, "DynamicQuantizeLSTM"), ("GRU", 3, "DequantizeLinear"), ("RNN", 1, "DequantizeLinear"):
        for directions in 1, 2:
            model = recurrent(context, op, gates, directions)
            for options in [], ["--per-channel"]:
                out = quantize(context, model, *options)
                agree(context, model, out, feeds)
                assert results(context) == [result]
                assert context.report["bytes_after"] < 0.6 * context.report["bytes_before"]
    recurrent(context, "LSTM", 4, 1, layout=1)
    quantize(context, context.folder / "m.onnx")
    assert "layout" in context.report["nodes"][0]["reason"]


@case
def weights_that_a_scheme_leaves_are_told(context):
    nodes = [
        helper.make_node("LSTM", ["x", "wl", "r"], ["s"], hidden_size=16, name="lstm"),
        helper.make_node("Squeeze", ["s", "axis"], ["h"]),
        helper.make_node("Gemm", ["h2", "v"], ["g"], name="gemm"),
        helper.make_node("Conv", ["g4", "f"], ["y"], name="conv"),
    ]
    nodes.insert(2, helper.make_node("Reshape", ["h", "flat"], ["h2"]))
    nodes.insert(4, helper.make_node("Unsqueeze", ["g", "ends"], ["g4"]))
    ints = [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in (("axis", [1]), ("flat", [-1, 16]), ("ends", [0, 1]))]
    weights = [weight("wl", 1, 64, 24), weight("r", 1, 64, 16), weight("v", 16, 80), weight("f", 1, 1, 3, 3)]
    model = save(context.folder / "m.onnx", nodes, [info("x", FLOAT, [7, 2, 24])], [info("y", FLOAT, None)], weights + ints)
    samples = context.folder / "samples"
    samples.mkdir()
    np.save(samples / "0.npy", RNG.standard_normal((7, 2, 24)).astype(np.float32))
    for scheme, options, left in [
        ("weights", [], {"lstm": "LSTM: the weights scheme does not take it; `quantize dynamic` does",
                         "conv": "Conv: the weights scheme does not take it; `quantize dynamic` and `quantize static` do"}),
        ("static", ["--calibrate", samples], {"lstm": "LSTM: the static scheme does not take it; `quantize dynamic` does"}),
        ("dynamic", [], {}),
        ("weights", ["--exclude", "LSTM"], {"lstm": "excluded by 'LSTM'"}),
    ]:  # fmt: skip
        quantize(context, model, *options, scheme=scheme)
        reasons = {row["name"]: row.get("reason") for row in context.report["nodes"]}
        assert left.items() <= reasons.items(), (scheme, reasons)
        assert left or "does not take it" not in str(reasons), reasons
    command = [context.linnet, "quantize", "static", str(model), "-o", str(context.folder / "out.onnx"), "--calibrate", str(samples)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "left: LSTM: the static scheme does not take it" in text, text


@case
def attention(context):
    nodes = [helper.make_node("Attention", ["x", "w", "b"], ["y"], domain="com.microsoft", num_heads=4)]
    model = save(context.folder / "m.onnx", nodes, [info("x", FLOAT, [2, 6, 32])], [info("y", FLOAT, None)],
                 [weight("w", 32, 96), numpy_helper.from_array(rows(1, 96)[0], "b")])  # fmt: skip
    for options in [], ["--per-channel"]:
        agree(context, model, quantize(context, model, *options), {"x": RNG.standard_normal((2, 6, 32)).astype(np.float32)}, least=0.99)
        assert results(context) == ["QAttention"]


@case
def blocks_of_few_bits(context):
    for width in 64, 75:
        nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Gemm", ["h", "v", "b"], ["y"], transB=1)]
        initializers = [weight("w", width, 80), weight("v", 40, 80), numpy_helper.from_array(rows(1, 40)[0], "b")]
        model = save(context.folder / "m.onnx", nodes, [info("x", FLOAT, ["n", width])], [info("y", FLOAT, ["n", 40])], initializers)
        for options, least in [([], 0.97), (["--asymmetric"], 0.97), (["--method", "hqq"], 0.97), (["--bits", 8], 0.9995),
                               (["--bits", 8, "--asymmetric"], 0.9995), (["--block", 16, "--accuracy-level", 4], 0.97)]:  # fmt: skip
            out = quantize(context, model, *options, scheme="weights")
            agree(context, model, out, {"x": rows(5, width)}, least)
            assert results(context) == ["MatMulNBits"] * 2, context.report


@case
def bodies_of_if_and_loop(context):
    then = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["t"], name="inner")], "then", [], [info("t", FLOAT, [2, 64])])
    other = helper.make_graph([helper.make_node("MatMul", ["x", "v"], ["e"])], "other", [], [info("e", FLOAT, [2, 64])], [weight("v", 64, 64)])
    nodes = [helper.make_node("If", ["c"], ["h"], then_branch=then, else_branch=other), helper.make_node("MatMul", ["h", "w"], ["y"])]
    model = save(context.folder / "m.onnx", nodes, [info("c", BOOL, []), info("x", FLOAT, [2, 64])], [info("y", FLOAT, [2, 64])], [weight("w", 64, 64)])
    for scheme in "dynamic", "weights":
        out = quantize(context, model, scheme=scheme)
        assert "left" not in results(context) and len(results(context)) == 3
        for choice in True, False:
            agree(context, model, out, {"c": np.array(choice), "x": rows(2)}, least=0.98)
    quantize(context, model, "--exclude", "inner")
    assert results(context).count("left") == 1


@case
def what_is_quantised_passes_through(context):
    model = layers(context.folder / "m.onnx")
    for options in ["--per-channel"], ["--weight-type", "uint8"]:
        first = quantize(context, model, *options).rename(context.folder / "first.onnx")
        second = quantize(context, first)
        assert context.report["quantized"] == 0, context.report
        feeds = {"x": rows()}
        for a, b in zip(session(first).run(None, feeds), session(second).run(None, feeds)):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@case
def weights_that_are_no_numbers_stay(context):
    model = layers(context.folder / "m.onnx")
    proto = onnx.load(model)
    w = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    w[3, 3] = np.nan
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(w, "w"))
    onnx.save(proto, model)
    quantize(context, model)
    assert results(context) == ["left", "MatMulInteger"] and "no numbers" in context.report["nodes"][0]["reason"]


@case
def bad_paths(context):
    model = layers(context.folder / "m.onnx")
    before = model.read_bytes()
    quantize(context, model, out=model, fails="is read for it")
    (context.folder / "link.onnx").symlink_to(model)
    quantize(context, model, out=context.folder / "link.onnx", fails="is read for it")
    quantize(context, model, out=context.folder / "none" / "x.onnx", fails="cannot write")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # the disk is full
    try:
        quantize(context, model, out=context.folder / "full.onnx", fails="cannot write")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (context.folder / "full.onnx").exists()
    quantize(context, context.folder / "none.onnx", fails="none.onnx")
    (context.folder / "broken.onnx").write_bytes(before[:200])
    quantize(context, context.folder / "broken.onnx", fails="broken.onnx")
    assert model.read_bytes() == before
    quantize(context, model, "--report", context.folder / "none" / "r.json", fails="there is no folder")


@case
def nothing_replaces_what_is_read(context):
    model = layers(context.folder / "m.onnx")
    samples = context.folder / "samples"
    (samples / "1").mkdir(parents=True)
    np.savez(samples / "0.npz", x=rows())
    np.save(samples / "1" / "x.npy", rows())
    labels = context.folder / "labels.json"
    labels.write_text("0\n1\n")
    read = {path: path.read_bytes() for path in (model, labels, samples / "0.npz", samples / "1" / "x.npy")}
    out = context.folder / "both.json"
    for report in out, context.folder / "samples" / ".." / "both.json":
        quantize(context, model, "--report", report, out=out, fails="the report would replace the result")
    for path in samples / "0.npz", samples / "1" / "x.npy":
        quantize(context, model, "--calibrate", samples, scheme="static", out=path, fails="the result would replace")
        quantize(context, model, "--samples", samples, out=path, fails="the result would replace")
        quantize(context, model, "--samples", samples, scheme="weights", out=path, fails="the result would replace")
    quantize(context, model, "--samples", samples, "--labels", labels, "--report", labels, fails="the report would replace")
    quantize(context, model, "--samples", samples, "--labels", labels, out=labels, fails="the result would replace")
    assert not out.exists() and all(path.read_bytes() == data for path, data in read.items())
    # A result from before may lie beside the samples.
    for _ in range(2):
        quantize(context, model, "--samples", samples, "--report", context.folder / "r.html", out=samples / "out.onnx")


@case
def what_is_for_linnet_alone_is_not_quantised(context):
    nodes = [helper.make_node("Conv", ["x", "w1", "b"], ["h"], pads=[1] * 4), helper.make_node("Relu", ["h"], ["r"]),
             helper.make_node("Conv", ["r", "w2", "b"], ["y"], pads=[1] * 4)]  # fmt: skip
    constants = [weight("w1", 64, 3, 3, 3), weight("w2", 64, 64, 3, 3), weight("b", 64, 1)]
    constants[2].dims[:] = [64]
    model = save(context.folder / "m.onnx", nodes, [info("x", FLOAT, [1, 3, 64, 64])], [info("y", FLOAT, [1, 64, 64, 64])], constants)
    (context.folder / "samples").mkdir()
    np.save(context.folder / "samples" / "0.npy", RNG.standard_normal((1, 3, 64, 64)).astype(np.float32))
    own = context.folder / "own.onnx"
    optimize = [context.linnet, "optimize", str(model), "-o", str(own), "--level", "all"]
    subprocess.run(optimize, check=True, capture_output=True, timeout=120)
    quantize(context, own, fails="quantise the model's source")
    quantize(context, own, "--calibrate", context.folder / "samples", scheme="static", fails="quantise the model's source")


@case
def defaults_of_inputs_are_constants(context):
    """The weight is an input, too: what becomes codes is none any more; what stays is."""
    nodes = [helper.make_node("Gemm", ["x", "w"], ["h"], name="first"), helper.make_node("Gemm", ["h", "v"], ["y"], name="second")]
    inputs = [info("x", FLOAT, ["n", 64]), info("w", FLOAT, [64, 64]), info("v", FLOAT, [64, 64])]
    model = save(context.folder / "m.onnx", nodes, inputs, [info("y", FLOAT, ["n", 64])], [weight("w", 64, 64), weight("v", 64, 64)])
    (context.folder / "samples").mkdir()
    np.save(context.folder / "samples" / "0.npy", rows())
    for scheme, *options in (["dynamic"], ["weights", "--bits", 8], ["static", "--calibrate", context.folder / "samples"]):
        for left in [], ["--exclude", "second"]:
            out = quantize(context, model, *options, *left, scheme=scheme)
            assert [i.name for i in onnx.load(out).graph.input] == (["x", "v"] if left else ["x"])
            agree(context, model, out, {"x": rows()}, least=0.99)
    # A weight that one node reads as codes and another as floats has one meaning.
    nodes[1].input[1] = "w"
    model = save(context.folder / "m.onnx", nodes, inputs[:2], [info("y", FLOAT, ["n", 64])], [weight("w", 64, 64)])
    out = quantize(context, model, "--exclude", "second")
    assert [i.name for i in onnx.load(out).graph.input] == ["x"]
    agree(context, model, out, {"x": rows()}, least=0.99)
    half = context.folder / "half.onnx"
    optimize = [context.linnet, "optimize", str(model), "-o", str(half), "--level", "all", "--float16", "--verify"]
    subprocess.run(optimize, check=True, capture_output=True, timeout=120)
    assert [i.name for i in onnx.load(half).graph.input] == ["x"]


def correlated(rows, width, seed=3):
    """Rows whose elements depend on each other, as a layer's inputs do."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, width // 4)) @ rng.standard_normal((width // 4, width)) + 0.1 * rng.standard_normal((rows, width))).astype(np.float32)


def write_samples(context, samples):
    folder = context.folder / "samples"
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    for i, feeds in enumerate(samples):
        np.savez(folder / f"{i}.npz", **feeds)
    return folder


def decoded(path):
    graph = onnx.load(path).graph
    initializers = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    return [gptq_reference.decode(node, initializers) for node in graph.node if node.op_type == "MatMulNBits"]


@case
def every_block_and_table(context):
    """Weights whose rows end within a block, in all forms; a table that a head shares, and one that it does not."""
    for tied in True, False:
        nodes = [helper.make_node("Gather", ["table", "ids"], ["x"]),
                 *([helper.make_node("Transpose", ["table"], ["t"], perm=[1, 0])] if tied else []),
                 helper.make_node("MatMul", ["x", "t"], ["y"])]  # fmt: skip
        initializers = [weight("table", 90, 300)] + ([] if tied else [weight("t", 300, 70)])
        model = save(context.folder / "m.onnx", nodes, [info("ids", INT64, [2, 3])], [info("y", FLOAT, None)], initializers)
        feeds = {"ids": np.array([[0, 89, -1], [7, 7, 50]])}
        samples = write_samples(context, [feeds, {"ids": np.arange(6).reshape(2, 3)}])
        for bits in 4, 8:
            for block in 16, 64, 256:
                for extra in [], ["--method", "gptq", "--calibrate", samples, "--asymmetric"]:
                    out = quantize(context, model, "--embeddings", "--bits", bits, "--block", block, *extra, scheme="weights")
                    assert results(context) == ["GatherBlockQuantized", "MatMulNBits"], context.report
                    agree(context, model, out, feeds, least=0.95 if bits == 4 else 0.9995)
                    assert os.path.getsize(out) < (0.42 if bits == 4 else 0.62) * os.path.getsize(model), "the table is there twice"


@case
def gptq_is_what_the_paper_says(context):
    for k, n, seed in (96, 40, 1), (75, 33, 2), (300, 24, 3):
        w = numpy_helper.from_array(np.random.default_rng(seed).standard_normal((k, n)).astype(np.float32), "w")
        model = save(context.folder / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], [info("x", FLOAT, ["a", "b", k])],
                     [info("y", FLOAT, None)], [w])  # fmt: skip
        x = correlated(120, k, seed)
        samples = write_samples(context, [{"x": part.reshape(batch, -1, k)} for part, batch in ((x[:50], 2), (x[50:110], 1), (x[110:111], 1), (x[111:], 9))])
        w = numpy_helper.to_array(w)
        for bits, block, symmetric, extra in (4, 32, True, []), (4, 16, False, ["--no-shrinkage"]), (8, 64, True, ["--no-shrinkage"]), (4, 32, True, ["--actorder"]), (4, 16, False, ["--no-shrinkage", "--actorder", "--percdamp", 0.1]):
            options = ["--bits", bits, "--block", block, *([] if symmetric else ["--asymmetric"])]
            quantize(context, model, *options, scheme="weights")
            nearest = decoded(context.folder / "out.onnx")[0][1]
            files = []
            for threads in (1, 2, 3) if block == 32 else (2,):
                out = quantize(context, model, *options, "--method", "gptq", "--calibrate", samples, "--threads", threads, *extra, scheme="weights")
                files.append(out.read_bytes())
            assert len(set(files)) == 1, "the number of threads changes the result"
            codes, ours, _ = decoded(out)[0]
            expected = gptq_reference.gptq(w, x, bits, block, symmetric, 0.1 if 0.1 in extra else 0.05, "--actorder" in extra, "--no-shrinkage" not in extra)
            # A number next to the middle between two codes goes either way, and its output's later numbers with it.
            other = (codes != expected).any(axis=0).mean()
            assert other == 0 if k < 100 and bits == 4 else other < 0.1, f"{other:.0%} of outputs have other codes, {k}x{n}, {options}, {extra}"
            better, worse = np.linalg.norm(x @ (w - ours)), np.linalg.norm(x @ (w - nearest))
            assert better < 0.8 * worse, f"{better} against {worse} of nearest, {options}, {extra}"
            agree(context, model, out, {"x": x[None, :7]}, least=0.97 if bits == 4 else 0.9995)


@case
def gptq_of_several_nodes(context):
    """A Gemm, a weight that three nodes read, one of them in a body, a table tied to a head, inputs that show nothing, a
    body that never runs; small memory."""
    inner = [helper.make_node("MatMul", ["shown", "v"], ["t1"], name="inner"), helper.make_node("MatMul", ["t1", "w"], ["t"], name="third")]
    v = weight("v", 64, 64)
    body = helper.make_graph(inner, "then", [], [info("t", FLOAT, ["n", 64])], [v])
    other = helper.make_graph([helper.make_node("MatMul", ["shown", "o"], ["e"], name="never")], "other", [], [info("e", FLOAT, ["n", 64])], [weight("o", 64, 64)])
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["g"], name="gather"),
        helper.make_node("Add", ["x", "g"], ["shown"]),
        helper.make_node("MatMul", ["shown", "w"], ["a"], name="first"),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "u", "c"], ["d"], name="gemm", transB=1, alpha=0.5),
        helper.make_node("MatMul", ["d", "w"], ["f"], name="again"),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["f", "turned"], ["y"], name="head"),
        helper.make_node("If", ["choice"], ["z"], then_branch=body, else_branch=other),
        helper.make_node("MatMul", ["zero", "q"], ["p"], name="zeros"),
        helper.make_node("MatMul", ["wrong", "r"], ["s"], name="nans"),
    ]
    initializers = [weight("table", 400, 64), weight("w", 64, 64), weight("u", 64, 64), numpy_helper.from_array(rows(1, 64)[0], "c"), weight("q", 64, 32), weight("r", 64, 32)]
    ports = [("ids", INT64, ["n"]), ("x", FLOAT, ["n", 64]), ("choice", BOOL, []), ("zero", FLOAT, ["n", 64]), ("wrong", FLOAT, ["n", 64])]
    model = save(context.folder / "m.onnx", nodes, [info(*port) for port in ports], [info(name, FLOAT, None) for name in "yzps"], initializers)

    def feeds(n, seed):
        return {"ids": np.arange(n) * 7 % 100, "x": correlated(n, 64, seed), "choice": np.array(True), "zero": np.zeros((n, 64), np.float32),
                "wrong": np.full((n, 64), np.nan, np.float32)}  # fmt: skip

    samples = write_samples(context, [feeds(n, n) for n in (30, 1, 55, 20)])
    files = set()
    for memory in 256, 0:
        out = quantize(context, model, "--method", "gptq", "--embeddings", "--calibrate", samples, "--calibration-memory", memory, scheme="weights")
        files.add(out.read_bytes())
    assert len(files) == 1, "the memory limit changes the result"
    assert "left" not in results(context), context.report
    notes = {row["node"].split("/")[-1].split(" ")[0]: row.get("note", "") for row in context.report["nodes"]}
    for name, words in ("first", ""), ("gemm", ""), ("again", ""), ("gather", ""), ("head", ""), ("inner", ""), ("third", ""), ("never", "no elements"), ("zeros", "zero in all"), ("nans", "not a number"):
        assert (words in notes[name]) if words else notes[name] == "", (name, notes)
    agree(context, model, out, feeds(9, 5) | {"wrong": rows(9)}, least=0.9)
    # A shared weight has all inputs' part.
    inner = onnx.load(model)
    inner.graph.output.extend(info(name, FLOAT, None) for name in ("shown", "d"))
    seen = [session(inner).run(["shown", "d"], dict(np.load(samples / f"{i}.npz"))) for i in range(4)]
    x = np.concatenate([part for run in seen for part in (*run, run[0] @ numpy_helper.to_array(v))])
    w = numpy_helper.to_array(initializers[1])
    expected = gptq_reference.gptq(w, x, 4, 32, True, shrink=True)
    codes = next(codes for (codes, _, _), node in zip(decoded(out), [n for n in onnx.load(out).graph.node if n.op_type == "MatMulNBits"]) if "first" in node.name)
    assert np.mean(codes != expected) < 2e-3, np.sum(codes != expected)


@case
def gptq_without_what_it_needs(context):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])]
    model = save(context.folder / "m.onnx", nodes, [info("x", FLOAT, ["n", 64]), info("b", FLOAT, [48])], [info("y", FLOAT, ["n", 48])], [weight("w", 64, 48)])
    gptq = {"scheme": "weights"}
    quantize(context, model, "--method", "gptq", **gptq, fails="--calibrate FOLDER")
    (context.folder / "empty").mkdir()
    quantize(context, model, "--method", "gptq", "--calibrate", context.folder / "empty", **gptq, fails="no samples")
    quantize(context, model, "--method", "gptq", "--calibrate", context.folder / "none", **gptq, fails="cannot read the folder")
    samples = write_samples(context, [{"x": rows()}])
    quantize(context, model, "--method", "gptq", "--calibrate", samples, **gptq, fails="input 'b' is not in")
    samples = write_samples(context, [{"x": rows(5, 63), "b": rows(1, 48)[0]}])
    quantize(context, model, "--method", "gptq", "--calibrate", samples, **gptq, fails="0.npz")
    quantize(context, model, "--calibrate", samples, **gptq, fails="--calibrate has no use without --method gptq")
    assert not (context.folder / "out.onnx").exists()


@case
def gptq_of_halves(context):
    model = layers(context.folder / "m.onnx", np.float16)
    samples = write_samples(context, [{"x": correlated(40, 64).astype(np.float16)}])
    out = quantize(context, model, "--method", "gptq", "--calibrate", samples, scheme="weights")
    assert "note" not in context.report["nodes"][0], context.report
    agree(context, model, out, {"x": correlated(6, 64).astype(np.float16)}, least=0.97, linnet=False)


@case
def layers_of_halves(context):
    """A recurrent layer and an attention, which become operators of float32."""
    feeds = {"x": rows(14, 24, np.float16).reshape(7, 2, 24)}
    for directions in 1, 2:
        model = recurrent(context, "LSTM", 4, directions, dtype=np.float16)
        out = quantize(context, model)
        agree(context, model, out, feeds, least=0.998)
        assert results(context) == ["DynamicQuantizeLSTM"], context.report
    nodes = [helper.make_node("Attention", ["x", "w", "b"], ["y"], domain="com.microsoft", num_heads=4)]
    half = context.folder / "half.onnx"
    save(half, nodes, [info("x", HALF, [2, 6, 32])], [info("y", HALF, None)],
         [weight("w", 32, 96, dtype=np.float16), numpy_helper.from_array(rows(1, 96, dtype=np.float16)[0], "b")])  # fmt: skip
    feeds = {"x": RNG.standard_normal((2, 6, 32)).astype(np.float16)}
    wide = run_linnet(context, half, feeds)["y"]
    out = quantize(context, half)
    assert results(context) == ["QAttention"], context.report
    for answer in (session(out).run(None, feeds)[0], run_linnet(context, out, feeds)["y"]):
        assert answer.dtype == np.float16 and cosine(answer, wide) > 0.99, cosine(answer, wide)


def shared_inputs(folder, ports):
    feeds = {}
    for i, port in enumerate(ports):
        file = folder / "test_data_set_0" / f"input_{i}.pb"
        if file.exists():
            tensor = onnx.TensorProto()
            tensor.ParseFromString(file.read_bytes())
            feeds[port.name] = numpy_helper.to_array(tensor)
    return feeds


def check_shared(context, folder):
    """ONNX Runtime loads and agrees; models that it cannot run itself prove nothing."""
    model = folder / "model.onnx"
    try:
        reference = session(model)
        feeds = shared_inputs(folder, reference.get_inputs())
        expected = reference.run(None, feeds)
    except Exception:  # its exceptions have no common base
        return False
    for scheme, least in (("dynamic", 0.95), ("weights", 0.7)):
        out = quantize(context, model, scheme=scheme)
        for a, b in zip(expected, session(out).run(None, feeds)):
            if isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.shape == b.shape:
                assert cosine(a, b) > least, f"{folder.name}, {scheme}: {cosine(a, b):.4f}"
    return True


class Context:
    def __init__(self, linnet, folder):
        self.linnet, self.folder, self.report = str(linnet), folder, None


def main():
    parser = suite_cases.arguments_of(__doc__)
    parser.add_argument("--all", action="store_true", help="every shared model")
    arguments = parser.parse_args()
    shared = Path(os.environ.get("LINNET_SHARED", ROOT / "../shared")).resolve() / "models"
    found = sorted(p.parent for p in shared.glob("*/model.onnx")) if shared.exists() else []
    jobs = [(f.__name__, f) for f in CASES]
    jobs += [(p.name, lambda context, p=p: check_shared(context, p)) for p in found if arguments.all or p.name in SHARED]
    return suite_cases.run_cases(jobs, arguments.part, lambda folder: Context(arguments.linnet.resolve(), folder))


if __name__ == "__main__":
    sys.exit(main())
