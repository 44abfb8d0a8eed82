"""The commands of `linnet` on small models made here: what they answer, and what they say of bad input.

Every error must be one sentence on stderr and exit code 2; an answer of "no" is exit code 1.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import suite_cases  # noqa: E402

TIMEOUT_S = 120
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
W = np.arange(12, dtype=np.float32).reshape(4, 3) / 10 - 0.5
B = np.array([0.5, -1, 2], np.float32)
X = np.array([[1, 2, 3, 4], [-1, 0.5, 0, 2]], np.float32)
CASES = []


def case(function):
    CASES.append(function)
    return function


def info(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def save(path, nodes, inputs, outputs, initializers=(), opsets=(("", 17),), **more):
    graph = helper.make_graph(nodes, "main", inputs, outputs, list(initializers))
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name="the tests"), path, **more)
    return path


def layer(path, w=W, **more):
    """y = Relu(x w + b), with the inner values h and s."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
        helper.make_node("Add", ["h", "b"], ["s"], name="sum"),
        helper.make_node("Relu", ["s"], ["y"], name="relu"),
    ]
    initializers = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(B, "b")]
    return save(path, nodes, [info("x", FLOAT, ["batch", 4])], [info("y", FLOAT, ["batch", 3])], initializers, **more)


def two_inputs(path):
    nodes = [helper.make_node("Add", ["in/a", "b"], ["sum"])]
    shape = ["batch", "length"]
    return save(path, nodes, [info("in/a", FLOAT, shape), info("b", FLOAT, shape)], [info("sum", FLOAT, shape)])


def unknown_operators(path):
    body = helper.make_graph([helper.make_node("Stranger", ["x"], ["inner"], domain="far", name="deep")], "body", [], [info("inner", FLOAT, [2])])
    nodes = [
        helper.make_node("Odd", ["x"], ["p"], domain="far", name="first"),
        helper.make_node("Odd", ["p"], ["q"], domain="far", name="second"),
        helper.make_node("If", ["c"], ["r"], then_branch=body, else_branch=body),
        helper.make_node("Add", ["q", "r"], ["y"]),
    ]
    inputs = [info("x", FLOAT, [2]), info("c", TensorProto.BOOL, [])]
    return save(path, nodes, inputs, [info("y", FLOAT, [2])], opsets=(("", 17), ("far", 1)))


def endless(path, trips=2**60, count=8):
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Cos", ["v"], ["v_next"])],
        "body",
        [info("i", INT64, []), info("go", TensorProto.BOOL, []), info("v", FLOAT, [count])],
        [info("on", TensorProto.BOOL, []), info("v_next", FLOAT, [count])],
    )
    nodes = [helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)]
    trips = numpy_helper.from_array(np.array(trips, np.int64), "trips")
    return save(path, nodes, [info("x", FLOAT, [count])], [info("y", FLOAT, [count])], [trips])


class Linnet:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder

    def path(self, name):
        return self.folder / name

    def run(self, *arguments, code=0):
        done = subprocess.run(
            [str(self.binary), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, text=True
        )
        said = f"{' '.join(map(str, arguments))}\nexit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert done.returncode == code, f"expected exit code {code}: {said}"
        assert "\x1b" not in done.stdout + done.stderr, f"control characters without a terminal: {said}"
        if code != 2:
            assert done.stderr == "", f"expected nothing on stderr: {said}"
        return done

    def json(self, *arguments, code=0):
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def outputs(self, *arguments):
        found = self.json("run", *arguments)["outputs"]
        return {o["name"]: np.array(o["data"], o["dtype"].replace("float", "float32")).reshape(o["shape"]) for o in found}

    def error(self, *arguments, says, code=2):
        done = self.run(*arguments, code=code)
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("linnet"), f"not one sentence: {done.stderr}"
        for words in [says] if isinstance(says, str) else says:
            assert words in done.stderr, f"expected '{words}': {done.stderr}"


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def npy(linnet, name, array):
    np.save(linnet.path(name), array)
    return linnet.path(name)


# --- run


@case
def run_reads_npy(linnet):
    model = layer(linnet.path("m.onnx"))
    close(linnet.outputs(model, "--input", f"x={npy(linnet, 'x.npy', X)}")["y"], np.maximum(X @ W + B, 0))


@case
def run_takes_the_only_input_without_its_name(linnet):
    close(linnet.outputs(layer(linnet.path("m.onnx")), "--input", npy(linnet, "x.npy", X))["y"], np.maximum(X @ W + B, 0))


@case
def run_reads_json(linnet):
    linnet.path("x.json").write_text(json.dumps(X.tolist()))
    close(linnet.outputs(layer(linnet.path("m.onnx")), "--input", f"x={linnet.path('x.json')}")["y"], np.maximum(X @ W + B, 0))


@case
def run_reads_an_archive(linnet):
    a, b = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)
    np.savez(linnet.path("in.npz"), **{"in/a": a, "b": b})
    close(linnet.outputs(two_inputs(linnet.path("m.onnx")), "--inputs", linnet.path("in.npz"))["sum"], a + b)


@case
def run_reads_a_folder_by_name(linnet):
    linnet.path("in").mkdir()
    a, b = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)
    npy(linnet, "in/in_a.npy", a)
    npy(linnet, "in/b.npy", b)
    close(linnet.outputs(two_inputs(linnet.path("m.onnx")), "--inputs", linnet.path("in"))["sum"], a + b)


@case
def run_reads_test_data(linnet):
    linnet.path("in").mkdir()
    linnet.path("in/input_0.pb").write_bytes(numpy_helper.from_array(X, "x").SerializeToString())
    close(linnet.outputs(layer(linnet.path("m.onnx")), "--inputs", linnet.path("in"))["y"], np.maximum(X @ W + B, 0))


@case
def run_decodes_images(linnet):
    nodes = [helper.make_node("Neg", ["image"], ["negative"])]
    model = save(linnet.path("m.onnx"), nodes, [info("image", FLOAT, [1, 3, 2, 2])], [info("negative", FLOAT, [1, 3, 2, 2])])
    pixels = np.arange(0, 240, 20, dtype=np.uint8).reshape(2, 2, 3)
    linnet.path("i.ppm").write_bytes(b"P6 2 2 255\n" + pixels.tobytes())
    expected = -pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
    close(linnet.outputs(model, "--input", f"image={linnet.path('i.ppm')}")["negative"], expected)
    linnet.path("wide.ppm").write_bytes(b"P6 3 2 255\n" + bytes(18))
    linnet.error("run", model, "--input", f"image={linnet.path('wide.ppm')}", says="resize the image")


@case
def run_finds_the_decoders_beside_it(linnet):
    nodes = [helper.make_node("Neg", ["image"], ["negative"])]
    model = save(linnet.path("m.onnx"), nodes, [info("image", FLOAT, [1, 1, 1, 1])], [info("negative", FLOAT, [1, 1, 1, 1])])
    linnet.path("i.pgm").write_bytes(b"P5 1 1 255\n\xff")
    command = ["linnet", "run", model, "--input", f"image={linnet.path('i.pgm')}"]
    by_path = dict(os.environ, PATH=str(Path(linnet.binary).parent))
    assert subprocess.run(command, env=by_path, cwd="/", capture_output=True, timeout=TIMEOUT_S).returncode == 0
    alone = shutil.copy(linnet.binary, linnet.path("linnet"))
    result = subprocess.run([alone, *command[1:]], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert result.returncode == 2 and "liblinnet_image.so" in result.stderr, result.stderr


@case
def run_saves_what_it_computed(linnet):
    model, out = layer(linnet.path("m.onnx")), linnet.path("new/out")
    linnet.run("run", model, "--input", f"x={npy(linnet, 'x.npy', X)}", "--save-outputs", out)
    close(np.load(out / "y.npy"), np.maximum(X @ W + B, 0))


@case
def run_saves_sequences(linnet):
    nodes = [helper.make_node("SequenceConstruct", ["x", "x"], ["list"])]
    sequence = helper.make_tensor_sequence_value_info("list", FLOAT, None)
    model = save(linnet.path("m.onnx"), nodes, [info("x", FLOAT, [2, 4])], [sequence])
    arguments = [model, "--input", f"x={npy(linnet, 'x.npy', X)}"]
    linnet.run("run", *arguments, "--save-outputs", linnet.path("out"))
    message = onnx.SequenceProto.FromString(linnet.path("out/list.pb").read_bytes())
    assert [numpy_helper.to_array(t).tolist() for t in message.tensor_values] == [X.tolist()] * 2
    (output,) = linnet.json("run", *arguments)["outputs"]
    assert [element["data"] for element in output["sequence"]] == [X.tolist()] * 2
    taking = save(linnet.path("s.onnx"), [helper.make_node("SequenceLength", ["list"], ["n"])], [sequence], [info("n", INT64, [])])
    assert linnet.outputs(taking, "--input", f"list={linnet.path('out/list.pb')}")["n"] == 2
    linnet.error("run", taking, says=["'list'", "--input"])


@case
def run_shows_maps(linnet):
    nodes = [helper.make_node("ZipMap", ["p"], ["scores"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"])]
    element = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, []))
    output = helper.make_value_info("scores", helper.make_sequence_type_proto(element))
    model = save(linnet.path("m.onnx"), nodes, [info("p", FLOAT, [1, 2])], [output], opsets=(("", 17), ("ai.onnx.ml", 3)))
    (found,) = linnet.json("run", model, "--input", f"p={npy(linnet, 'p.npy', np.array([[0.25, 0.75]], np.float32))}")["outputs"]
    assert found["sequence"][0]["map"]["keys"]["data"] == ["no", "yes"] and found["sequence"][0]["map"]["values"]["data"] == [0.25, 0.75]
    assert "map of 2" in linnet.run("run", model).stdout


@case
def run_gives_inner_values(linnet):
    model = layer(linnet.path("m.onnx"))
    arguments = [model, "--input", f"x={npy(linnet, 'x.npy', X)}", "--output", "h"]
    for more in [], ["--no-optimize"]:
        found = linnet.outputs(*arguments, *more)
        assert list(found) == ["h"]
        close(found["h"], X @ W)
    linnet.error("run", *arguments, "--output", "elsewhere", says="'elsewhere'")


@case
def run_makes_inputs_up(linnet):
    model = two_inputs(linnet.path("m.onnx"))
    shape = lambda *more: list(linnet.outputs(model, *more)["sum"].shape)  # noqa: E731
    assert shape() == [1, 1]
    assert shape("--size", "batch=2", "--size", "length=5") == [2, 5]
    assert shape("--random-shape", "in/a=4x3", "--random-shape", "b=1x3") == [4, 3]
    assert shape("--random-shape", "in/a=4x3") == [4, 3]  # the names are the same sizes
    assert shape("--input", f"b={npy(linnet, 'b.npy', np.ones((3, 2), np.float32))}") == [3, 2]  # the names are the same sizes
    first, again, other = (linnet.outputs(model, "--size", "length=9", "--seed", seed)["sum"].tolist() for seed in (1, 1, 2))
    assert first == again != other


@case
def run_says_which_sizes_it_assumed(linnet):
    nodes = [helper.make_node("MaxPool", ["image"], ["small"], kernel_shape=[3, 3])]
    shape = [1, 1, "height", "height + width + 2"]
    model = save(linnet.path("m.onnx"), nodes, [info("image", FLOAT, shape)], [info("small", FLOAT, None)])
    says = ["(MaxPool)", "--size height=64 --size width=64)"]
    for command in ["run"], ["bench"], ["profile"], ["dump"], ["diff", model], ["optimize", "-o", linnet.path("out.onnx"), "--verify"]:
        linnet.error(*command, model, says=says)
    unknown = linnet.json("inspect", model)["arena_unknown"]
    assert all(words in unknown for words in says), unknown
    told = "--size height=64 --size width=64".split()
    for command in "run", "bench", "profile", "dump", "inspect":
        linnet.run(command, model, *told, *(["--min-seconds", 0] if command == "bench" else []))
    odd = save(linnet.path("odd.onnx"), nodes, [info("image", FLOAT, ["batch", 1, "image height", "image height"])], [info("small", FLOAT, None)])
    linnet.error("run", odd, says="as in --size batch=1 --size 'image height=64')")
    nameless = save(linnet.path("n.onnx"), nodes, [info("image", FLOAT, [1, 1, None, None])], [info("small", FLOAT, None)])
    linnet.error("run", nameless, says="as in --random-shape image=1x1x64x64)")
    linnet.run("run", nameless, "--random-shape", "image=1x1x64x64")
    images = save(linnet.path("images.onnx"), nodes, [info("image", FLOAT, ["n", 1, "h", "h"])], [info("small", FLOAT, None)])
    linnet.error("run", images, says="as in --size n=1 --size h=64)")
    pool = [helper.make_node("MaxPool", ["sound"], ["small"], kernel_shape=[400])]
    sound = save(linnet.path("sound.onnx"), pool, [info("sound", FLOAT, ["batch", 1, "samples"])], [info("small", FLOAT, None)])
    linnet.error("run", sound, says="as in --size batch=1 --size samples=16000)")
    linnet.run("run", sound, *"--size batch=1 --size samples=16000".split())
    mixed = save(linnet.path("mixed.onnx"), nodes, [info("image", FLOAT, [None, 1, "height", None])], [info("small", FLOAT, None)])
    linnet.error("run", mixed, says="as in --random-shape image=1x1x64x64)")
    assert linnet.outputs(model, "--size", "height=4", "--size", "height + width + 2=9")["small"].shape == (1, 1, 2, 7)
    pair = save(
        linnet.path("sum.onnx"),
        [helper.make_node("Concat", ["a", "b"], ["both"], axis=0)],
        [info("a", FLOAT, ["p"]), info("b", FLOAT, ["p + 3"])],
        [info("both", FLOAT, None)],
    )
    assert linnet.outputs(pair, "--size", "p=4")["both"].shape == (11,)


@case
def run_tells_of_sizes_where_indices_come_from_shapes(linnet):
    nodes = [
        helper.make_node("Shape", ["past"], ["sizes"]),
        helper.make_node("Gather", ["mask", "sizes"], ["seen"], axis=1),
    ]
    inputs = [info("mask", FLOAT, ["batch", "total"]), info("past", FLOAT, ["past_length"])]
    model = save(linnet.path("m.onnx"), nodes, inputs, [info("seen", FLOAT, None)])
    linnet.error("run", model, says=["index 1 is out of range", "as in --size batch=1 --size total=32 --size past_length=16)"])
    linnet.run("run", model, *"--size batch=1 --size total=32 --size past_length=16".split())
    assert linnet.outputs(model, "--random-shape", "past=3", "--size", "total=4", "--output", "sizes")["sizes"].tolist() == [3]


@case
def run_is_silent_on_sizes_that_explain_nothing(linnet):
    table = numpy_helper.from_array(np.ones((4, 3), np.float32), "table")
    model = save(
        linnet.path("m.onnx"),
        [helper.make_node("Gather", ["table", "i"], ["rows"]), helper.make_node("Neg", ["x"], ["y"])],
        [info("i", INT64, [1]), info("x", FLOAT, ["batch"])],
        [info("rows", FLOAT, [1, 3]), info("y", FLOAT, ["batch"])],
        [table],
    )
    wrong = [["--input", f"i={npy(linnet, 'i.npy', np.array([9]))}"], ["--random-shape", "i=2"]]
    for arguments, says in zip(wrong, ("9", "must be of shape")):
        linnet.error("run", model, *arguments, says=says)
        assert "taken to be 1" not in linnet.run("run", model, *arguments, code=2).stderr


@case
def run_summarises(linnet):
    text = linnet.run("run", layer(linnet.path("m.onnx")), "--input", f"x={npy(linnet, 'x.npy', X)}").stdout
    y = np.maximum(X @ W + B, 0)
    for words in ["float[2x3]", f"min {y.min():.6g}", f"max {y.max():.6g}", f"mean {y.mean():.6g}"]:
        assert words in text, f"expected '{words}': {text}"


@case
def run_refuses_wrong_inputs(linnet):
    model, pair = layer(linnet.path("m.onnx")), two_inputs(linnet.path("pair.onnx"))
    good = npy(linnet, "x.npy", X)
    linnet.error("run", model, "--input", f"y={good}", says=["names no input", "'x'"])
    linnet.error("run", model, "--input", "x", says="--input x names no file; give one as in --input x=FILE.npy")
    linnet.error("run", pair, "--input", good, says=f"does not say of which input it is; give its name, as in --input in/a={good}")
    linnet.path("x.text").write_text("no tensor")
    linnet.error("run", model, "--input", linnet.path("x.text"), says="WebP")
    linnet.error("run", model, "--input", f"x={npy(linnet, 'shape.npy', X[:, :3])}", says=["'x'", "[batch, 4]", "2x3"])
    linnet.error("run", model, "--input", f"x={npy(linnet, 'type.npy', X.astype(np.float64))}", says=["'x'", "float", "double"])
    linnet.error("run", model, "--input", f"x={linnet.path('nowhere.npy')}", says="nowhere.npy")
    linnet.path("cut.npy").write_bytes(good.read_bytes()[:-3])
    linnet.error("run", model, "--input", f"x={linnet.path('cut.npy')}", says="cut.npy")
    linnet.path("ragged.json").write_text("[[1, 2, 3, 4], [5]]")
    linnet.error("run", model, "--input", f"x={linnet.path('ragged.json')}", says="ragged.json")
    linnet.error("run", model, "--input", f"x={model}", says="neither .npy")
    linnet.path("in").mkdir()
    npy(linnet, "in/b.npy", X)
    linnet.error("run", pair, "--inputs", linnet.path("in"), says=["'in/a'", "in_a"])
    linnet.error("run", pair, "--inputs", linnet.path("not_there"), says="not_there")
    linnet.error("run", model, "--random-shape", "x=2y4", says="x=2y4")
    linnet.error("run", model, "--random-shape", "x=1000000000x4000000000", says="'x'")
    linnet.error("run", model, "--size", "height=2", says=["height", "'batch'"])
    linnet.error("run", model, "--size", "batch=-2", says="batch=-2")


@case
def run_stops_in_time(linnet):
    linnet.error("run", endless(linnet.path("m.onnx")), "--timeout", 100, says="deadline")


@case
def models_that_are_none(linnet):
    model = layer(linnet.path("m.onnx"))
    linnet.path("cut.onnx").write_bytes(model.read_bytes()[:-20])
    linnet.path("text.onnx").write_text("this is no model\n" * 50)
    linnet.path("empty.onnx").write_bytes(b"")
    for command in ["run"], ["inspect"], ["profile"], ["dump"], ["dump", "--graph"]:
        for name in "nowhere.onnx", "cut.onnx", "text.onnx", "empty.onnx":
            linnet.error(*command, linnet.path(name), says=name)
        linnet.error(*command, linnet.folder, says="not a regular file")
        linnet.error(*command, linnet.path("text.onnx"), says="is not an ONNX model")
    linnet.path("pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    linnet.error("run", linnet.path("pointer.onnx"), says="git lfs pull")
    for begins, says in (b"\x1c\0\0\0ORTM", "(.ort)"), (b"\x1c\0\0\0TFL3", "TensorFlow Lite"), (b"PK\3\4", "zip archive"), (b"GGUF", "GGUF"):
        linnet.path("other.onnx").write_bytes(begins + bytes(100))
        linnet.error("run", linnet.path("other.onnx"), says=["is not an ONNX model but", says])
    named = onnx.load(model)  # the same letters in the name of the tool that made it
    named.producer_name = "ORTModule"
    onnx.save(named, model)
    linnet.run("run", model)
    linnet.error("diff", model, linnet.path("cut.onnx"), says="cut.onnx")
    linnet.error("bench", linnet.path("cut.onnx"), "--inputs", linnet.folder, says="cut.onnx")


@case
def passes_have_names(linnet):
    model = layer(linnet.path("m.onnx"))
    linnet.error("run", model, "--disable-pass", "fuse_everything", says="fuse_everything")
    passes = linnet.json("inspect", "--passes")
    assert {"fold_constants", "fuse_matmul"} <= {p["name"] for p in passes} and all(p["level"] in ("basic", "extended", "all") for p in passes)
    for p in passes:
        close(linnet.outputs(model, "--disable-pass", p["name"], "--input", npy(linnet, "x.npy", X))["y"], np.maximum(X @ W + B, 0))


# --- inspect


@case
def inspect_tells_what_a_model_is(linnet):
    report = linnet.json("inspect", layer(linnet.path("m.onnx")))
    assert report["producer"] == "the tests" and report["ir_version"] == 8 and report["opsets"] == {"ai.onnx": 17}
    assert report["inputs"] == [{"name": "x", "type": "float[batch, 4]"}] and report["outputs"] == [{"name": "y", "type": "float[batch, 3]"}]
    assert report["operators"] == {name: {"main": 1, "inner": 0} for name in ("Add", "MatMul", "Relu")}
    assert report["parameters"] == {"float": {"tensors": 2, "elements": 15, "bytes": 60}}
    assert report["memory"]["constants"] + report["memory"]["packed"] >= 60 and report["unsupported"] == {}
    text = linnet.run("inspect", linnet.path("m.onnx")).stdout
    assert "float[batch, 4]" in text and "MatMul" in text


@case
def inspect_plans_memory_for_sizes(linnet):
    model = layer(linnet.path("m.onnx"))
    small, large = (linnet.json("inspect", model, "--no-optimize", "--size", f"batch={n}")["memory"]["arena"] for n in (1, 1000))
    assert large >= small + 900 * 12
    wide = save(
        linnet.path("wide.onnx"),
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        [info("x", FLOAT, [1, 32, 64, 64])],
        [info("y", FLOAT, None)],
        [numpy_helper.from_array(np.ones((64, 32, 3, 3), np.float32), "w")],
    )
    arenas = {threads: linnet.json("inspect", wide, "--threads", threads)["memory"]["arena"] for threads in (1, 3)}
    assert arenas[1] < arenas[3], arenas
    for threads, arena in arenas.items():
        assert f"arena {arena} bytes" in linnet.run("dump", wide, "--threads", threads).stdout, (threads, arena)


@case
def inspect_says_why_the_arena_is_not_known(linnet):
    nodes = [helper.make_node("MaxPool", ["image"], ["small"], kernel_shape=[3, 3])]
    model = save(linnet.path("m.onnx"), nodes, [info("image", FLOAT, [1, 1, 5, "width"])], [info("small", FLOAT, None)])
    report = linnet.json("inspect", model)
    assert "arena" not in report["memory"] and "as in --size width=64" in report["arena_unknown"]
    assert "arena not known: node main/#0 (MaxPool)" in linnet.run("inspect", model).stdout
    assert "arena" in linnet.json("inspect", model, "--size", "width=4")["memory"]


@case
def inspect_lists_external_data(linnet):
    path = linnet.path("m.onnx")
    layer(path, save_as_external_data=True, all_tensors_to_one_file=True, location="weights.bin", size_threshold=0)
    report = linnet.json("inspect", path)
    assert report["external_data"] == {"weights.bin": {"tensors": 2, "elements": 15, "bytes": 60}}
    linnet.path("weights.bin").unlink()
    linnet.error("inspect", path, says="weights.bin")


@case
def inspect_lists_everything_unsupported(linnet):
    model = unknown_operators(linnet.path("m.onnx"))
    refused = linnet.json("inspect", model, code=1)["unsupported"]
    assert sorted(refused) == ["far.Odd", "far.Stranger"] and len(refused["far.Odd"]) == 2
    assert "first" in refused["far.Odd"][0] and "second" in refused["far.Odd"][1] and "deep" in refused["far.Stranger"][0]
    assert "far.Stranger" in linnet.run("inspect", model, code=1).stdout
    linnet.error("run", model, says=["far.Odd", "far.Stranger"])


@case
def inspect_points_at_scales_that_mean_nothing(linnet):
    def quantised(*scales):
        tensors = [numpy_helper.from_array(np.array(s, np.float32), f"scale{i}") for i, s in enumerate(scales)]
        nodes = [helper.make_node("QuantizeLinear", ["x", "scale0", "zero"], ["q"], name="down", axis=0)]
        nodes.append(helper.make_node("DequantizeLinear", ["q", f"scale{len(scales) - 1}", "zero"], ["y"], name="up", axis=0))
        tensors.append(numpy_helper.from_array(np.zeros(np.shape(scales[0]), np.uint8), "zero"))
        shape = [3] if np.ndim(scales[0]) else ["n"]
        return save(linnet.path("q.onnx"), nodes, [info("x", FLOAT, shape)], [info("y", FLOAT, shape)], tensors)

    for scales, words in [
        ([np.inf, 0.5], ["main/down", ": the scale 'scale0' is inf"]),
        ([0.5, np.nan], ["main/up", "'scale1' is nan"]),
        ([[1, 0, -1], [1, 0, 1]], ["main/down", "element 1", "is 0, not above 0"]),
        ([-0.5], ["'scale0' is -0.5, not above 0"]),
    ]:
        (warning,) = linnet.json("inspect", quantised(*scales))["warnings"]
        text = linnet.run("inspect", linnet.path("q.onnx")).stdout
        assert all(word in warning for word in words) and f"warnings\n  {warning}" in text, text
    assert linnet.json("inspect", quantised(0.5, 0.25))["warnings"] == []
    assert "warnings" not in linnet.run("inspect", linnet.path("q.onnx")).stdout


# --- profile, dump


@case
def profile_counts_and_times(linnet):
    model, trace = layer(linnet.path("m.onnx")), linnet.path("trace.json")
    report = linnet.json("profile", model, "--runs", 3, "--no-optimize", "--trace", trace)
    assert {o["name"]: o["count"] for o in report["operators"]} == {"MatMul": 1, "Add": 1, "Relu": 1}
    assert abs(sum(o["share"] for o in report["operators"]) - 1) < 1e-6 and len(report["nodes"]) == 3
    assert abs(sum(n["share"] for n in report["nodes"]) - 1) < 1e-6
    assert 0 < report["in_nodes_milliseconds"] <= report["milliseconds"]
    events = json.loads(trace.read_text())["traceEvents"]
    assert [e["cat"] for e in events] == ["MatMul", "Add", "Relu"]
    text = linnet.run("profile", model, "--runs", 2, "--by", "operator", "--no-optimize").stdout
    assert "Relu" in text and "relu" not in text and "median of 2" in text
    linnet.error("profile", model, "--trace", linnet.path("no/such/folder/t.json"), says="t.json")


@case
def profile_counts_nodes_of_subgraphs_once(linnet):
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Cos", ["v"], ["v_next"])],
        "body",
        [info("i", INT64, []), info("go", TensorProto.BOOL, []), info("v", FLOAT, [8])],
        [info("on", TensorProto.BOOL, []), info("v_next", FLOAT, [8])],
    )
    trips = numpy_helper.from_array(np.array(5, np.int64), "trips")
    model = save(linnet.path("m.onnx"), [helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)], [info("x", FLOAT, [8])], [info("y", FLOAT, [8])], [trips])
    report = linnet.json("profile", model, "--runs", 2)
    counts = {o["name"]: o["count"] for o in report["operators"]}
    assert counts["Cos"] == 5 and counts["Loop"] == 1
    assert report["in_nodes_milliseconds"] <= report["milliseconds"]


@case
def dump_shows_program_and_graph(linnet):
    model = layer(linnet.path("m.onnx"))
    program = linnet.run("dump", model, "--size", "batch=7", "--no-optimize").stdout
    assert "float[7x3]" in program and "arena" in program and "relu" in program
    graph = linnet.run("dump", model, "--graph", "--no-optimize").stdout
    assert "h: float[batch, 3] = MatMul(x, w: float[4x3])" in graph and "[0.5, -1, 2]" in graph


# --- diff


@case
def diff_of_a_model_with_itself(linnet):
    model = layer(linnet.path("m.onnx"))
    assert "agree" in linnet.run("diff", model, model, "--no-optimize-b", "--threads-a", 1, "--size", "batch=5").stdout
    report = linnet.json("diff", model, model, "--no-optimize-b")
    assert report["equal"] and [v["name"] for v in report["values"]] == ["h", "s", "y", "y"]


@case
def diff_finds_the_first_value(linnet):
    a = layer(linnet.path("a.onnx"))
    changed = W.copy()
    changed[2, 1] += 1
    b = layer(linnet.path("b.onnx"), changed)
    arguments = ["diff", a, b, "--input", f"x={npy(linnet, 'x.npy', X)}"]
    text = linnet.run(*arguments, code=1).stdout
    assert "the first is 'h'" in text and "product" in text
    assert not linnet.json(*arguments, code=1)["equal"]
    assert linnet.run(*arguments, "--verbose", code=1).stdout.count("differs") >= 2
    linnet.run(*arguments, "--atol", 100)
    linnet.error("diff", a, two_inputs(linnet.path("c.onnx")), says="not an input of the first model")


@case
def diff_and_verify_need_numbers(linnet):
    model, out = layer(linnet.path("m.onnx")), linnet.path("out.onnx")
    nan = ["--input", f"x={npy(linnet, 'x.npy', np.full_like(X, np.nan))}"]
    text = linnet.run("diff", model, model, "--no-optimize-b", *nan, code=1).stdout
    assert "agree\n" in text and "no output could be compared" in text and "all" not in text, text
    assert not linnet.json("diff", model, model, "--no-optimize-b", *nan, code=1)["equal"]
    text = linnet.run("optimize", model, "-o", out, "--verify", *nan, code=1).stdout
    assert "'y' could not be compared" in text and "nothing could be compared" in text and "agrees" not in text, text
    (output,) = linnet.json("optimize", model, "-o", out, "--verify", *nan, code=1)["verified"]
    assert not output["agrees"] and not output["compared"]


def overflowing(path):
    """y = (x w * 3e4) / 3e4, whose inner value "b" is beyond float16."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="product"),
        helper.make_node("Mul", ["a", "big"], ["b"], name="scale"),
        helper.make_node("Div", ["b", "big"], ["y"], name="back"),
    ]
    initializers = [numpy_helper.from_array((W * 10 + 1.1).astype(np.float32), "w"), numpy_helper.from_array(np.float32(3e4), "big")]
    return save(path, nodes, [info("x", FLOAT, ["batch", 4])], [info("y", FLOAT, ["batch", 3])], initializers)


@case
def diff_compares_floats_of_other_types(linnet):
    model, half = layer(linnet.path("a.onnx")), linnet.path("half.onnx")
    inputs = ["--input", f"x={npy(linnet, 'x.npy', X)}"]
    linnet.run("optimize", model, "-o", half, "--float16", "--level", "none")
    text = linnet.run("diff", model, half, *inputs).stdout
    assert "float16 instead of float in B" in text and "agree" in text, text
    assert {v["types"] for v in linnet.json("diff", model, half, *inputs)["values"]} == {"", "float16 instead of float"}
    assert "differ" in linnet.run("diff", model, half, *inputs, "--rtol", 0, "--atol", 1e-9, code=1).stdout
    model = overflowing(linnet.path("o.onnx"))
    linnet.run("optimize", model, "-o", half, "--float16", "--level", "none")
    text = linnet.run("diff", model, half, *inputs, code=1).stdout
    assert "the first is 'b' (main/scale (Mul))" in text and "inf instead of" in text, text
    whole = linnet.path("whole.onnx")  # inputs of other floats take the same numbers
    linnet.run("optimize", layer(linnet.path("a.onnx")), "-o", whole, "--float16", "--convert-io", "--level", "none")
    assert "agree" in linnet.run("diff", linnet.path("a.onnx"), whole, *inputs).stdout


# --- optimize


@case
def verify_tells_tolerances_and_what_overflows(linnet):
    model, half = overflowing(linnet.path("m.onnx")), linnet.path("half.onnx")
    arguments = ["optimize", model, "-o", half, "--float16", "--verify", "--input", f"x={npy(linnet, 'x.npy', X)}"]
    text = linnet.run(*arguments, code=1).stdout
    for words in ["'y' DIFFERS", "tolerances:", "0.01 of the number", "'b', made by main/scale (Mul)", "--keep-float 'scale'", "65504"]:
        assert words in text, f"expected '{words}': {text}"
    report = linnet.json(*arguments, "--keep-float", "scale", "--keep-float", "back")
    (output,) = report["verified"]
    assert output["agrees"] and output["rtol"] == 0.01 and 0 < output["max_abs"] < output["atol"] and "advice" not in report


@case
def verify_finds_what_overflows_inside(linnet):
    nodes = [
        helper.make_node("Mul", ["x", "big"], ["square"], name="scale"),
        helper.make_node("Reciprocal", ["square"], ["small"], name="inverse"),
        helper.make_node("Mul", ["small", "big"], ["y"], name="back"),
    ]
    big = numpy_helper.from_array(np.float32(6e4), "big")
    model = save(linnet.path("m.onnx"), nodes, [info("x", FLOAT, ["n"])], [info("y", FLOAT, ["n"])], [big])
    arguments = ["optimize", model, "-o", linnet.path("half.onnx"), "--level", "none", "--verify", "--input"]
    arguments.append(f"x={npy(linnet, 'x.npy', np.array([2, 3], np.float32))}")
    text = linnet.run(*arguments, "--float16", code=1).stdout
    assert "'y' DIFFERS" in text and "--keep-float 'scale'" in text and "linnet diff" not in text, text
    text = linnet.run(*arguments, "--bfloat16", "--rtol", 0, "--atol", 0, code=1).stdout
    assert "'y' DIFFERS" in text and f"`linnet diff {model} {linnet.path('half.onnx')}`" in text, text


@case
def what_a_rewrite_takes_away_cannot_stay_in_float(linnet):
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"], name="conv"), helper.make_node("Relu", ["h"], ["y"], name="relu")]
    weight = numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float32), "w")
    model = save(linnet.path("m.onnx"), nodes, [info("x", FLOAT, [1, 4, 8, 8])], [info("y", FLOAT, None)], [weight])
    arguments = ["optimize", model, "-o", linnet.path("out.onnx"), "--float16"]
    for name in "Relu", "relu":
        linnet.error(*arguments, "--keep-float", name, says=[f"'{name}' cannot stay", "'basic'"])
        linnet.run(*arguments, "--keep-float", name, "--level", "basic")
    linnet.error(*arguments, "--keep-float", "Softmax", says="no operator or node is named 'Softmax'")


@case
def verify_is_as_strict_as_the_model_is_exact(linnet):
    x = ["--verify", "--input", f"x={npy(linnet, 'x.npy', X)}"]
    model, half, out = layer(linnet.path("m.onnx")), linnet.path("half.onnx"), linnet.path("out.onnx")
    linnet.run("optimize", model, "-o", half, "--float16", "--level", "none")
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]), helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"])]
    codes = save(linnet.path("codes.onnx"), nodes, [info("x", FLOAT, ["batch", 4])], [info("y", FLOAT, ["batch", 4])])
    for given, rtol in [(model, 1e-3), (half, 1e-2), (codes, 5e-2)]:
        (output,) = linnet.json("optimize", given, "-o", out, *x)["verified"]
        assert output["agrees"] and output["rtol"] == rtol, (given, output)


@case
def verify_refuses_inputs_before_it_writes(linnet):
    model, out = layer(linnet.path("m.onnx")), linnet.path("out.onnx")
    out.write_bytes(b"what was there")
    linnet.path("empty").mkdir()
    verify = ["optimize", model, "-o", out, "--verify"]
    linnet.error(*verify, "--size", "btach=3", says=["btach", "'batch'"])
    linnet.error(*verify, "--inputs", linnet.path("empty"), says="input 'x' is not in")
    linnet.error(*verify, "--dim", "batch=2", "--size", "batch=3", says="names no symbolic size")
    assert out.read_bytes() == b"what was there"
    (output,) = linnet.json(*verify, "--dim", "batch=2", "--input", f"x={npy(linnet, 'x.npy', X)}")["verified"]
    assert output["agrees"]


@case
def verify_says_what_an_interrupt_leaves(linnet):
    model, out = endless(linnet.path("m.onnx"), trips=4000, count=1 << 16), linnet.path("out.onnx")
    command = [linnet.binary, "optimize", model, "-o", out, "--verify"]
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + TIMEOUT_S
    while not out.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=TIMEOUT_S)[1]
    assert process.returncode == 130 and "it is written, but not verified" in said, (process.returncode, said)


@case
def a_folder_that_is_not_there_is_told_before_the_work(linnet):
    model, out = layer(linnet.path("m.onnx")), linnet.path("none/out.onnx")
    linnet.path("samples").mkdir()
    linnet.path("samples/damaged.npy").write_text("no tensor")
    for command in (
        ["optimize", model, "--verify", "--input", linnet.path("samples/damaged.npy")],
        ["quantize", "static", model, "--calibrate", linnet.path("samples")],
        ["quantize", "weights", model, "--method", "gptq", "--calibrate", linnet.path("samples")],
        ["quantize", "dynamic", model, "--samples", linnet.path("samples"), "--only-faster"],
    ):
        linnet.error(*command, "-o", out, says=f"cannot write '{out}': there is no folder '{out.parent}'")
    linnet.error("bench", model, "--min-seconds", 0, "--save-outputs", model, says="linnet bench: ")


@case
def options_without_use_are_refused(linnet):
    model, out = layer(linnet.path("m.onnx")), linnet.path("out.onnx")
    x = npy(linnet, "x.npy", X)
    quantize = ["quantize", "weights", model, "-o", out]
    static = ["quantize", "static", model, "-o", out, "--calibrate", linnet.folder]
    for says, *arguments in [
        ("--keep-float has no use without --float16 or --bfloat16", "optimize", model, "-o", out, "--keep-float", "Relu"),
        ("--convert-io has no use without", "optimize", model, "-o", out, "--convert-io"),
        ("--disable-pass has no use without a --level", "optimize", model, "-o", out, "--level", "none", "--disable-pass", "fuse_gelu"),
        ("--external-from requires --external-data", "optimize", model, "-o", out, "--external-from", 5),
        ("--seed requires --verify", "optimize", model, "-o", out, "--seed", 5),
        ("--size requires --verify", "optimize", model, "-o", out, "--size", "batch=5"),
        ("a size of 1 or more, not 'batch=0'", "optimize", model, "-o", out, "--dim", "batch=0"),
        ("did you mean 'batch'?", "optimize", model, "-o", out, "--dim", "bach=1"),
        ("there are 'batch'", "optimize", model, "-o", out, "--dim", "height=1"),
        ("a size of 1 or more, not 'batch=0'", "compile", model, "-o", out, "--dim", "batch=0"),
        ("--actorder has no use without --method gptq", *quantize, "--actorder"),
        ("--calibrate has no use without --method gptq", *quantize, "--calibrate", linnet.folder),
        ("--mse has no use without --method nearest or gptq", *quantize, "--method", "hqq", "--mse"),
        ("2 not in", *quantize, "--accuracy-level", 2),
        ("a number of 0 or more, not -1", *quantize, "--method", "gptq", "--calibration-memory", -1),
        ("--percentile has no use without --calibrate-method percentile", *static, "--percentile", 99),
        ("--num-bins has no use without --calibrate-method entropy", *static, "--num-bins", 64),
        ("--smooth-quant-alpha has no use without --smooth-quant", *static, "--smooth-quant-alpha", 0.5),
        ("a number of 0 or more, not -1", "run", model, "--seed", -1),
        ("--no-optimize excludes --disable-pass", "run", model, "--no-optimize", "--disable-pass", "fuse_gelu"),
        ("'x' is given twice", "run", model, "--input", f"x={x}", "--input", f"x={x}"),
        ("--random-shape has no use", "run", model, "--input", f"x={x}", "--random-shape", "x=2x4"),
        ("--size batch=2 has no use", "run", model, "--input", f"x={x}", "--size", "batch=2"),
        ("excludes --graph", "dump", model, "--graph", "--size", "batch=2"),
        ("MODEL excludes --passes", "inspect", model, "--passes"),
        ("a report is a .html or .json file", "tune", model, "--samples", linnet.folder, "-o", out, "--report", "r.txt"),
    ]:
        linnet.error(*arguments, says=says)
        assert not out.exists(), arguments
    compiled = linnet.path("m.linnet")
    assert linnet.run("compile", model, "-o", compiled).stdout.startswith(f"{compiled}: ")
    linnet.error("run", compiled, "--no-optimize", says="the model is compiled already")


@case
def a_cache_that_cannot_be_written_is_told(linnet):
    model = layer(linnet.path("m.onnx"))
    linnet.path("file").write_text("")
    done = subprocess.run([linnet.binary, "run", model, "--cache", linnet.path("file/cache")], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0 and done.stderr.startswith("linnet: warning: ") and done.stderr.count("\n") == 1, done.stderr


@case
def names_that_are_near_are_offered(linnet):
    model, out = layer(linnet.path("m.onnx")), linnet.path("out.onnx")
    linnet.error("run", model, "--output", "hh", says="did you mean 'h'?")
    linnet.error("run", model, "--disable-pass", "fuse_matmull", says="did you mean 'fuse_matmul'?")
    linnet.error("optimize", model, "-o", out, "--float16", "--keep-float", "prodct", "--level", "none", says="did you mean 'product'?")
    linnet.error("dump", model, "--grap", says="linnet dump: there is no option '--grap'; did you mean '--graph'?")
    for arguments in [model, "--ouptut", "foo"], [model, "--ouptut=foo"], ["--ouptut", "foo", model, "--size", "batch=1"]:
        for command in "run", "optimize":
            linnet.error(command, *arguments, says=f"linnet {command}: there is no option '--ouptut'; did you mean '--output'?")
    linnet.error("run", model, "one", "two", says="linnet run: not expected: 'one', 'two';")
    image = save(linnet.path("image.onnx"), [helper.make_node("Neg", ["image"], ["y"])], [info("image", FLOAT, ["height"])], [info("y", FLOAT, ["height"])])
    linnet.error("run", image, "--input", f"imge={linnet.path('x.npy')}", says="did you mean 'image'?")
    linnet.error("run", image, "--random-shape", "iamge=3", says="did you mean 'image'?")
    linnet.error("run", image, "--size", "heigth=3", says="did you mean 'height'?")
    linnet.error("optimize", image, "-o", out, "--shape", "imag=3", says="did you mean 'image'?")
    linnet.error("optimize", image, "-o", out, "--shape", "x=3", says="no input named 'x'; there are 'image'")
    linnet.error("quantize", "static", model, "--clibrate=x", "-o", out, "--calibrate", "y", says="did you mean '--calibrate'?")
    linnet.error("qantize", model, says="did you mean 'quantize'?")


@case
def quantize_names_its_schemes(linnet):
    linnet.error("quantize", layer(linnet.path("m.onnx")), says=["dynamic (", "static (", "weights (", "-o model.int8.onnx"])
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    plain = save(linnet.path("plain.onnx"), nodes, [info("x", FLOAT, [2])], [info("y", FLOAT, [2])])
    text = linnet.run("quantize", "dynamic", plain, "-o", linnet.path("out.onnx")).stdout
    assert "nothing was quantised, the result is the model as it was: it has no" in text and "0 of 0 nodes" in text, text


@case
def inspect_shortens_metadata(linnet):
    model = onnx.load(layer(linnet.path("m.onnx")))
    words = "w\u00f6rter " * 1000
    helper.set_model_props(model, {"vocabulary": words, "author": "somebody"})
    onnx.save(model, linnet.path("m.onnx"))
    text = linnet.run("inspect", linnet.path("m.onnx")).stdout
    assert "somebody" in text and "(8000 bytes" in text and len(text) < 3000, text
    assert linnet.json("inspect", linnet.path("m.onnx"))["metadata"]["vocabulary"] == words


# --- bench, and the command line itself


@case
def bench_keeps_its_contract(linnet):
    model = layer(linnet.path("m.onnx"))
    linnet.path("in").mkdir()
    npy(linnet, "in/x.npy", X)
    report = linnet.json("bench", model, "--inputs", linnet.path("in"), "--threads", 2, "--warmup", 1, "--min-seconds", 0, "--min-runs", 5, "--save-outputs", linnet.path("out"))
    wanted = "load_ms first_run_ms start_to_first_output_ms p50_ms p90_ms p99_ms min_ms runs peak_rss_bytes rss_bytes anon_bytes cpu_ms_per_run"
    assert sorted(report) == sorted(wanted.split()) and report["runs"] == 5
    close(np.load(linnet.path("out/y.npy")), np.maximum(X @ W + B, 0))


@case
def bench_tells_units(linnet):
    text = linnet.run("bench", layer(linnet.path("m.onnx")), "--min-seconds", 0).stdout
    figures = {line[2:30].strip(): line.split()[-2:] for line in text.splitlines()}
    assert all(figures[name][1] == "ms" and float(figures[name][0]) > 0 for name in ("load", "first run", "median", "p90", "p99")), text
    assert figures["memory, at its peak"][1] == "MB" and figures["timed runs"][1] == "10", text


@case
def bench_reads_inputs_as_run_does(linnet):
    nodes = [helper.make_node("StringConcat", ["in/a", "b"], ["both"])]
    ports = [info(name, TensorProto.STRING, ["n"]) for name in ("in/a", "b", "both")]
    model = save(linnet.path("m.onnx"), nodes, ports[:2], ports[2:], opsets=(("", 20),))
    linnet.path("in").mkdir()
    linnet.path("in/in_a.json").write_text('["x", "y"]')
    linnet.path("in/b.pb").write_bytes(helper.make_tensor("b", TensorProto.STRING, [2], [b"1", b"2"]).SerializeToString())
    shortly = ["--min-seconds", 0, "--min-runs", 2, "--save-outputs", linnet.path("out")]
    linnet.run("bench", model, "--inputs", linnet.path("in"), *shortly)
    assert np.load(linnet.path("out/both.npy"), allow_pickle=True).tolist() == ["x1", "y2"]
    pair = two_inputs(linnet.path("pair.onnx"))
    a = np.zeros((0, 3), np.float32)  # a past of length 0
    np.savez(linnet.path("in.npz"), **{"in/a": a, "b": a})
    linnet.run("bench", pair, "--inputs", linnet.path("in.npz"), *shortly)
    assert np.load(linnet.path("out/sum.npy")).shape == (0, 3)
    linnet.run("bench", pair, "--size", "length=5", "--seed", 3, *shortly)
    assert np.load(linnet.path("out/sum.npy")).shape == (1, 5)
    npy(linnet, "in/b.npy", X)
    linnet.error("bench", pair, "--inputs", linnet.path("in"), says=["'in/a'", "in_a"])


# --- check


@case
def check_tells_what_it_did_not_compare(linnet):
    tensors = {"x": X, "h": X @ W, "y": X @ W + B}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])]
    constants = [numpy_helper.from_array(W, "w"), numpy_helper.from_array(B, "b")]
    save(linnet.path("model.onnx"), nodes, [info("x", FLOAT, ["n", 4])], [info(name, FLOAT, ["n", 3]) for name in "hy"], constants)
    data = linnet.path("test_data_set_0")
    data.mkdir()
    put = lambda file, name: (data / file).write_bytes(numpy_helper.from_array(tensors[name], name).SerializeToString())  # noqa: E731
    put("input_0.pb", "x")
    assert "nothing was compared" in linnet.run("check", linnet.folder).stdout
    for k, here, missing in (0, "h", "y"), (1, "y", "h"):
        put(f"output_{k}.pb", here)
        (result,) = linnet.json("check", linnet.folder)
        assert result["status"] == "pass" and f"of '{missing}': not compared" in result["message"], result
        assert f"'{missing}'" in linnet.run("check", linnet.folder).stdout
        (data / f"output_{k}.pb").unlink()
    put("output_0.pb", "h")
    put("output_1.pb", "y")
    assert linnet.json("check", linnet.folder)[0]["message"] == ""
    tensors["y"] = X @ W
    put("output_1.pb", "y")
    assert "'y'" in linnet.json("check", linnet.folder, code=1)[0]["message"]
    tensors["y"] = X @ W + B
    tensors["y"][0, 0] += 2e-6
    put("output_1.pb", "y")
    message = linnet.json("check", linnet.folder, "--rtol", 0, code=1)[0]["message"]
    for words in "element 0 is 1.5", " instead of 1.500002; at most ", "e-06 apart, with numbers up to ", "tolerances: 1e-07 + 0 of the number":
        assert words in message and "is 1.500002" not in message, message


@case
def check_takes_tensors_for_optionals(linnet):
    optional = helper.make_value_info("o", helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, None)))
    save(linnet.path("model.onnx"), [helper.make_node("Optional", ["x"], ["o"])], [info("x", FLOAT, None)], [optional])
    data = linnet.path("test_data_set_0")
    data.mkdir()
    for x in X, np.array(2.5, np.float32), np.zeros((0,), np.float32):
        message = numpy_helper.from_array(x, "x")
        (data / "input_0.pb").write_bytes(message.SerializeToString())
        message.name = "o"
        (data / "output_0.pb").write_bytes(message.SerializeToString())
        assert linnet.json("check", linnet.folder)[0]["status"] == "pass"
        (data / "output_0.pb").write_bytes(helper.make_optional("o", onnx.OptionalProto.TENSOR, message).SerializeToString())
        assert linnet.json("check", linnet.folder)[0]["status"] == "pass"
        (data / "output_0.pb").write_bytes(onnx.OptionalProto(name="o", elem_type=1).SerializeToString())
        linnet.json("check", linnet.folder, code=1)


@case
def help_has_examples(linnet):
    for command in "run", "inspect", "profile", "dump", "diff", "check", "bench", "quantize":
        text = linnet.run(command, "--help").stdout
        assert f"  linnet {command} " in text, f"no example: {text}"


@case
def help_tells_the_sides_of_diff_apart(linnet):
    text = " ".join(linnet.run("diff", "--help").stdout.split())
    assert "threads to run a on" in text and "threads to run b on" in text, text


@case
def operators_count_their_inputs(linnet):
    def errors(*inputs):
        node = helper.make_node("Add", inputs, ["y"])
        return save(linnet.path("m.onnx"), [node], [info("x", FLOAT, [2])], [info("y", FLOAT, [2])])

    linnet.error("run", errors("x"), says="has 1 input; Add takes 2")
    linnet.error("run", errors("x", "x", "x"), says="has 3 inputs; Add takes 2")


@case
def help_tells_what_may_be_repeated(linnet):
    text = linnet.run("run", "--help").stdout
    assert "--size TEXT " in text and "TEXT ..." not in text and text.count("(may be repeated)") == 5, text
    assert " ".join(linnet.run("check", "--help").stdout.split()).count("TEXT ...") == 1  # the folders
    text = linnet.run("quantize", "--help").stdout
    for scheme in "dynamic", "static", "weights":
        assert f"\n  {scheme} " in text and f"{scheme}" in linnet.run("--help").stdout, text


@case
def arguments_are_checked(linnet):
    model = layer(linnet.path("m.onnx"))
    linnet.error("run", says=["MODEL", "linnet run --help"])
    linnet.error("run", model, "--threads", -1, says="--threads")
    linnet.error("run", model, "--threads", "many", says="--threads")
    linnet.error("run", model, "--timeout", -5, says="--timeout")
    linnet.error("run", model, "--fast", says="--fast")
    linnet.error("profile", model, "--by", "colour", says="--by")
    linnet.error("profile", model, "--runs", 0, says="--runs")
    linnet.error("inspect", says="--passes")
    assert "not a folder" in linnet.run("check", model, code=1).stdout
    linnet.path("file").write_text("")
    linnet.error("run", model, "--save-outputs", linnet.path("file/out"), says="file/out")


def main():
    arguments = suite_cases.arguments_of(__doc__).parse_args()
    jobs = [(f.__name__, f) for f in CASES]
    return suite_cases.run_cases(jobs, arguments.part, lambda folder: Linnet(arguments.linnet, folder))


if __name__ == "__main__":
    sys.exit(main())
