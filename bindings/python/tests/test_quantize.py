"""linnet.quantize_dynamic, quantize_static and quantize_weights: files that onnxruntime runs as Linnet does."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import onnx
import pytest
from conftest import model_bytes, tensor
from onnx import helper, numpy_helper

import linnet

ort = pytest.importorskip("onnxruntime")
WIDTH = 128


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(1).normal(size=(WIDTH, WIDTH)).astype(np.float32)


@pytest.fixture
def model(weights, tmp_path):
    """y = Relu(x W) V."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], name="first"), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("MatMul", ["b", "v"], ["y"], name="second")]  # fmt: skip
    path = tmp_path / "model.onnx"
    path.write_bytes(model_bytes(nodes, [tensor("x", shape=["n", WIDTH])], [tensor("y", shape=["n", WIDTH])], [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(weights.T.copy(), "v")]))
    return path


def samples(count=4, seed=0):
    noise = np.random.default_rng(seed)
    return [{"x": noise.normal(size=(5, WIDTH)).astype(np.float32)} for _ in range(count)]


def cosine(a, b):
    return float(np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def check(model, made, least):
    """Both engines run the result, near the float model."""
    feed = samples(1, seed=7)[0]
    expected = linnet.load(model).run(feed)["y"]
    ours = linnet.load(made).run(feed)["y"]
    theirs = ort.InferenceSession(made, providers=["CPUExecutionProvider"]).run(None, feed)[0]
    assert cosine(ours, expected) > least and cosine(theirs, ours) > least
    assert made.stat().st_size < 0.4 * model.stat().st_size


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("options", [{}, {"weight_type": "uint8"}, {"per_channel": True, "reduce_range": True}, {"weight_type": linnet.QuantType.QUInt8}])
def test_dynamic(model, options):
    to = model.with_name("int8.onnx")
    report = linnet.quantize_dynamic(model, to, **options)
    check(model, to, 0.999)
    assert operators(to).count("MatMulInteger") == 2 and report["quantized"] == 2
    first = next(row for row in report["nodes"] if "first" in row["node"])
    assert first["result"] == "MatMulInteger" and first["weight_snr_db"] > 20


def test_as_onnxruntime_does(model):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = samples()

        def get_next(self):
            return self.left.pop() if self.left else None

    theirs, ours = model.with_name("theirs.onnx"), model.with_name("ours.onnx")
    for quantize, to in ((quantize_dynamic, theirs), (linnet.quantize_dynamic, ours)):
        quantize(str(model), str(to), ["MatMul"], True, weight_type=QuantType.QUInt8, nodes_to_exclude=["second"])
        assert operators(to).count("MatMul") == 1
    for quantize, to in ((quantize_static, theirs), (linnet.quantize_static, ours)):
        quantize(str(model), str(to), Reader(), QuantFormat.QOperator, activation_type=QuantType.QUInt8, weight_type=QuantType.QUInt8,
                 calibrate_method=CalibrationMethod.Percentile, extra_options={"ActivationSymmetric": True, "CalibPercentile": 99.9})  # fmt: skip
        assert operators(to).count("QLinearMatMul") == 2
    check(model, ours, 0.999)
    for zero_point in (initializer for initializer in onnx.load(ours).graph.initializer if initializer.name == "x_zero_point"):
        assert numpy_helper.to_array(zero_point) == 128
    with pytest.raises(ValueError, match="SmoothQuantFolding"):
        linnet.quantize_static(model, ours, samples(), extra_options={"SmoothQuantFolding": False})


@pytest.mark.parametrize("options", [
    {}, {"calibrate_method": "entropy", "num_bins": 2048}, {"calibrate_method": linnet.CalibrationMethod.MSE}, {"quant_format": "qoperator", "activation_type": "uint8"},
    {"activation_type": "int16"}, {"smooth_quant": True, "smooth_quant_alpha": 0.7}, {"moving_average": True, "symmetric_range": True},
    {"activation_symmetric": True, "bias_correction": False, "equalise": True, "calibrate_method": "percentile", "percentile": 99.9},
])  # fmt: skip
def test_static(model, options):
    to = model.with_name("static.onnx")
    report = linnet.quantize_static(model, to, samples(), **options)
    check(model, to, 0.99)
    assert report["bytes_after"] == to.stat().st_size


def test_samples_are_taken_one_at_a_time(model):
    references, most = [], 0

    class Array(np.ndarray):
        """An array that can be watched."""

    def alive():
        return sum(reference() is not None for reference in references)

    def stream():
        nonlocal most
        for sample in samples(20):
            array = sample["x"].view(Array)
            references.append(weakref.ref(array))
            del sample
            yield {"x": array}
            del array
            most = max(most, alive())

    linnet.quantize_static(model, model.with_name("static.onnx"), stream())
    assert most <= 1 and not alive() and len(references) == 20


def test_a_stream_serves_one_pass(model):
    to = model.with_name("static.onnx")
    with pytest.raises(linnet.InvalidArgumentError, match="more than once"):
        linnet.quantize_static(model, to, (sample for sample in samples()), smooth_quant=True)

    class Reader(linnet.CalibrationDataReader):
        def __init__(self):
            self.rewound, self.left = 0, samples()

        def get_next(self):
            return self.left.pop() if self.left else None

        def rewind(self):
            self.rewound, self.left = self.rewound + 1, samples()

    reader = Reader()
    linnet.quantize_static(model, to, reader, smooth_quant=True)
    assert reader.rewound == 1
    assert len(list(Reader())) == 4


def test_samples_of_other_kinds(model):
    to = model.with_name("static.onnx")
    value = linnet.OrtValue.ortvalue_from_numpy(samples(1)[0]["x"])
    linnet.quantize_static(model, to, [{"x": value}, {"x": value}])
    assert value.numpy().shape == (5, WIDTH)


@pytest.mark.parametrize("options,expected", [({}, 0.99), ({"bits": 8}, 0.9999), ({"block_size": 16, "is_symmetric": False}, 0.99), ({"method": "hqq"}, 0.99), ({"method": "gptq", "calibration_data_reader": (s for s in samples())}, 0.98), ({"mse": True}, 0.99), ({"accuracy_level": 4}, 0.99)])
def test_weights(model, options, expected):
    to = model.with_name("q4.onnx")
    linnet.quantize_weights(model, to, **options)
    check(model, to, expected)
    assert operators(to).count("MatMulNBits") == 2


def test_from_memory(model):
    to = model.with_name("int8.onnx")
    for source in (model.read_bytes(), onnx.load(model), memoryview(model.read_bytes())):
        linnet.quantize_dynamic(source, to)
        check(model, to, 0.999)
    linnet.compile(model.read_bytes(), model.with_name("model.linnet"))
    linnet.optimize(onnx.load(model), model.with_name("optimized.onnx"))


def test_errors(model):
    to = model.with_name("x.onnx")

    def fails(error, call, match=None):
        with pytest.raises(error, match=match):
            call()

    fails(linnet.MissingFileError, lambda: linnet.quantize_dynamic(model.with_name("missing.onnx"), to, nodes_to_exclude=["Matmul"]))
    fails(linnet.UnknownNameError, lambda: linnet.quantize_dynamic(model, to, nodes_to_exclude=["Matmul"]), "MatMul")
    fails(linnet.InvalidArgumentError, lambda: linnet.quantize_dynamic(model, model))
    fails(linnet.InvalidArgumentError, lambda: linnet.quantize_dynamic(model, "/nowhere/\udcff.onnx"))
    fails(linnet.InvalidModelError, lambda: linnet.quantize_dynamic(b"no model at all", to))
    fails(linnet.Error, lambda: linnet.quantize_dynamic(model, to, weight_type="int16"))
    fails(ValueError, lambda: linnet.quantize_dynamic(model, to, weight_type="int7"), "weight_type")
    fails(ValueError, lambda: linnet.quantize_dynamic(model, to, ["MatMul"], nodes_to_quantize=["first"]))
    fails(linnet.InvalidArgumentError, lambda: linnet.quantize_weights(model, to, bits=3))
    fails(ValueError, lambda: linnet.quantize_weights(model, to, method="gptq"), "calibration_data_reader")
    fails(ValueError, lambda: linnet.quantize_weights(model, to, calibration_data_reader=samples()), "method='gptq'")
    fails(linnet.InvalidArgumentError, lambda: linnet.quantize_static(model, to, []), "no sample")
    fails(linnet.InvalidArgumentError, lambda: linnet.quantize_static(model, to, samples(), percentile=0))
    fails(TypeError, lambda: linnet.quantize_static(model, to, None))
    fails(TypeError, lambda: linnet.quantize_static(model, to, [np.zeros(3)]), "dict")
    fails(linnet.UnknownNameError, lambda: linnet.quantize_static(model, to, [{"x": samples(1)[0]["x"], "q": np.zeros(3)}]), "'q'")
    fails(linnet.InvalidArgumentError, lambda: linnet.quantize_static(model, to, [{}]), "x")
    fails(linnet.InvalidArgumentError, lambda: linnet.quantize_static(model, to, [{"x": np.zeros((2, 3), np.float32)}]), "sample 0")
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.onnx"]


def broken():
    yield samples(1)[0]
    raise KeyError("the third file is gone")


@pytest.mark.parametrize("call", [
    lambda model, to: linnet.quantize_static(model, to, broken()),
    lambda model, to: linnet.quantize_static(model, to, samples(), progress=lambda done, total, what: {}["gone"]),
    lambda model, to: linnet.quantize_dynamic(model, to, progress=lambda done, total, what: {}["gone"]),
    lambda model, to: linnet.optimize(model, to, progress=lambda done, total, what: {}["gone"]),
    lambda model, to: linnet.compile(model, to, progress=lambda done, total, what: {}["gone"]),
])  # fmt: skip
def test_what_is_raised_meanwhile(model, call):
    with pytest.raises(KeyError):
        call(model, model.with_name("never.onnx"))
    assert [path.name for path in model.parent.iterdir()] == ["model.onnx"]


def test_progress(model):
    told = []
    linnet.quantize_static(model, model.with_name("static.onnx"), samples(3), progress=lambda *step: told.append(step))
    assert [done for done, total, what in told if what == "calibration"] == [0, 1, 2, 3] and any("second" in what for _, _, what in told)
    assert told[-1][2] == "writing"


@pytest.mark.parametrize("call", ["quantize_static", "quantize_dynamic", "optimize", "compile"])
def test_keyboard_interrupt(model, call):
    to = model.with_name("never.onnx")

    def interrupt(*step):
        if interrupt.left == 0:
            signal.raise_signal(signal.SIGINT)
        interrupt.left -= 1

    def stream():
        while True:
            yield samples(1)[0]

    interrupt.left = 3
    arguments = [stream()] if call == "quantize_static" else []
    with pytest.raises(KeyboardInterrupt):
        getattr(linnet, call)(model, to, *arguments, progress=interrupt)
    assert [path.name for path in model.parent.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("call", ["quantize_dynamic", "optimize", "compile"])
def test_progress_that_raises_at_any_step(model, call):
    steps, to = [], model.with_name("never.onnx")
    getattr(linnet, call)(model, to, progress=lambda *step: steps.append(step))
    to.unlink()
    for last in range(len(steps)):
        left = iter(range(last, -1, -1))
        with pytest.raises(ZeroDivisionError):
            getattr(linnet, call)(model, to, progress=lambda *_: 1 // next(left))
        assert [path.name for path in model.parent.iterdir()] == ["model.onnx"], steps[last]


INTERRUPTED = """
import numpy as np, sys, linnet
def stream():
    print("begun", flush=True)
    while True:
        yield {"x": np.ones((5, 128), np.float32)}
linnet.quantize_static(sys.argv[1], sys.argv[2], stream())
"""


def test_control_c(model):
    to = model.with_name("never.onnx")
    child = subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(model), str(to)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begun\n"
    os.kill(child.pid, signal.SIGINT)
    _, told = child.communicate(timeout=60)
    assert "KeyboardInterrupt" in told and child.returncode != 0
    assert [path.name for path in model.parent.iterdir()] == ["model.onnx"]


EXIT = """
import itertools, numpy as np, sys, threading, time, linnet
model, to, call, seconds = sys.argv[1:]
def stream():
    while True:
        yield {"x": np.ones((5, 128), np.float32)}
def work(number):
    name = to + str(number)
    if call == "tune":  # as often as there is time
        for i in itertools.count():
            linnet.tune(model, f"{name}.{i}", list(itertools.islice(stream(), 3)))
    elif call == "quantize_static":
        linnet.quantize_static(model, name, stream())
    else:
        while True:
            getattr(linnet, call)(model, name)
for i in range(3):
    threading.Thread(target=work, args=[i], daemon=True).start()
time.sleep(float(seconds))
"""


@pytest.mark.parametrize("seconds", [0, 0.02, 0.2])
@pytest.mark.parametrize("call", ["quantize_static", "quantize_dynamic", "optimize", "compile", "tune"])
def test_exit_meanwhile(model, call, seconds):
    done = subprocess.run([sys.executable, "-c", EXIT, str(model), str(model.with_name("never")), call, str(seconds)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Fatal" not in done.stderr, done
    left = [path.relative_to(model.parent) for path in model.parent.rglob("*") if path.name != "model.onnx"]
    if call == "quantize_static":
        assert not left
    assert not [path for path in left if "tmp" in path.name or "candidates" in path.name]


def test_other_threads_go_on(slow, slow_feed, tmp_path):
    turns, spent, ended = 0, [], threading.Event()

    def count():
        nonlocal turns
        while not ended.is_set():
            turns += 1
            time.sleep(0.001)

    def stream():
        before = turns
        yield {**slow_feed, "count": np.array(20_000)}
        spent.append(turns - before)

    large = onnx.load_from_string(slow)
    large.graph.initializer.append(numpy_helper.from_array(np.ones((64, 64), np.float32), "w"))
    large.graph.node.append(helper.make_node("MatMul", ["y", "w"], ["product"]))
    large.graph.output.append(tensor("product", shape=[64, 64]))
    thread = threading.Thread(target=count)
    thread.start()
    linnet.quantize_static(large, tmp_path / "large.onnx", stream())
    ended.set()
    thread.join()
    assert spent and spent[0] > 5


def test_explain(model, tmp_path):
    quality = linnet.quantize_dynamic(model, tmp_path / "d.onnx", explain=linnet.Explain(samples(), sensitivity="all"))
    assert quality["quality"]["samples"] == 4 and quality["quality"]["overall"]["mean_cosine"] > 0.99
    assert all(node["alone"]["mean_cosine"] > 0.99 for node in quality["nodes"])
    labels = [int(np.argmax(linnet.load(model).run({"x": s["x"][:1]})["y"])) for s in samples()]
    one_row = ({"x": s["x"][:1]} for s in samples())
    static = linnet.quantize_static(model, tmp_path / "s.onnx", one_row, explain=linnet.Explain(labels=np.array(labels)))
    assert static["quality"]["task"]["reference_accuracy"] == 1
    weights_ = linnet.quantize_weights(model, tmp_path / "w.onnx", explain=linnet.Explain(samples(2), only_faster=True))
    assert weights_["quality"]["samples"] == 2


def test_explain_refuses(model, tmp_path):
    made = tmp_path / "never.onnx"
    with pytest.raises(ValueError, match="takes samples"):
        linnet.quantize_dynamic(model, made, explain=linnet.Explain())
    with pytest.raises(ValueError, match="calibrate with"):
        linnet.quantize_static(model, made, samples(), explain=linnet.Explain(samples()))
    with pytest.raises(TypeError):
        linnet.quantize_dynamic(model, made, explain=linnet.Explain(samples(), labels=[1.5] * 4))
    with pytest.raises(ValueError, match="'all'"):
        linnet.quantize_dynamic(model, made, explain=linnet.Explain(samples(), sensitivity="some"))
    with pytest.raises(TypeError, match="sensitivity"):
        linnet.quantize_dynamic(model, made, explain=linnet.Explain(samples(), sensitivity=-1))
    with pytest.raises(linnet.InvalidArgumentError, match="labels"):
        linnet.quantize_dynamic(model, made, explain=linnet.Explain(samples(), labels=[1]))
    assert not made.exists()


def test_tune(model, tmp_path):
    told = []
    report = linnet.tune(model, tmp_path / "tuned", samples(), max_loss=0.05, threads=1, prefer="size", budget=20,
                         progress=lambda done, total, what: told.append(what))  # fmt: skip
    chosen = report["candidates"][report["points"][report["chosen"]]["candidate"]]
    assert chosen["fate"] == "timed" and told
    check(model, tmp_path / "tuned/model.onnx", 0.9)
    assert (tmp_path / "tuned/manifest.json").exists()
    nothing = linnet.tune(model, tmp_path / "tiny", samples(), max_bytes=10, budget=20)
    assert "chosen" not in nothing and not (tmp_path / "tiny/model.onnx").exists()


def test_tune_calibrates_with_other_samples_and_loses_nothing(model, tmp_path):
    others = [{"x": np.full((5, 128), 50.0, np.float32)}, {"x": np.full((5, 128), -3.0, np.float32)}]
    options = {"sample_path": "judge", "budget": 20}
    same, other = (linnet.tune(model, tmp_path / name, samples(), max_loss=1, prefer="size", calibration=given, calibration_path=path, **options)
                   for name, given, path in [("same", None, None), ("other", iter(others), "calibrate")])  # fmt: skip
    hashes = [{c.get("sha256") for c in report["candidates"] if "static" in c["arguments"]} for report in (same, other)]
    assert all(hashes) and hashes[0] != hashes[1]
    assert "calibrate" in json.dumps(other) and "calibrate\"" not in json.dumps(same)
    exact = linnet.tune(model, tmp_path / "exact", samples(), max_loss=0, **options)
    assert exact["limits"]["loss"] == 0 and exact["candidates"][exact["points"][exact["chosen"]]["candidate"]]["loss"] <= 0
    with pytest.raises(linnet.InvalidArgumentError, match="calibration_path"):
        linnet.tune(model, tmp_path / "never", samples(), calibration_path="x")


def test_tune_again(model, tmp_path):
    def stop(done, total, what):
        if what.startswith("trying"):
            raise KeyboardInterrupt

    folder, options = tmp_path / "tuned", {"budget": 20, "prefer": "size", "max_loss": 0.05}
    with pytest.raises(KeyboardInterrupt):
        linnet.tune(model, folder, samples(), progress=stop, **options)
    assert [path.name for path in folder.iterdir()] == ["tune.state"]
    with pytest.raises(linnet.InvalidArgumentError, match="the option resume goes on with it"):
        linnet.tune(model, folder, samples(), **options)
    linnet.tune(model, folder, samples(), resume=True, **options)
    first = (folder / "model.onnx").stat()
    linnet.tune(model, folder, samples(), **options)  # what has ended is replaced
    assert (folder / "model.onnx").stat() != first


def test_options_without_use(model, tmp_path):
    to = tmp_path / "never.onnx"
    for call, arguments, wrong, says in [
        ("quantize_static", [samples()], {"percentile": 99.9}, "percentile has no use"), ("quantize_static", [samples()], {"num_bins": 64}, "num_bins"),
        ("quantize_static", [samples()], {"smooth_quant_alpha": 0.3}, "smooth"), ("quantize_weights", [], {"accuracy_level": 2}, "0 or 4, not 2"),
        ("quantize_weights", [], {"actorder": True}, "gptq"), ("quantize_weights", [], {"method": "hqq", "mse": True}, "nearest"),
        ("optimize", [], {"convert_io": True}, "floats"), ("optimize", [], {"keep_float": ["MatMul"]}, "floats"),
    ]:  # fmt: skip
        with pytest.raises(linnet.InvalidArgumentError, match=says):
            getattr(linnet, call)(model, to, *arguments, **wrong)
    assert not to.exists()


def test_tune_refuses(model, tmp_path):
    folder = tmp_path / "tuned"
    for wrong in ({"max_loss": -1}, {"measure": "beauty"}, {"prefer": "cheap"}, {"labels": [1]}, {"budget": 0}, {"threads": [0]}):
        with pytest.raises(linnet.InvalidArgumentError):
            linnet.tune(model, folder, samples(), **wrong)
    for name, wrong in {"threads": [-1], "max_bytes": 1.5, "labels": [2**70], "prefer": None}.items():
        with pytest.raises(TypeError, match=name):
            linnet.tune(model, folder, samples(), **{name: wrong})
    with pytest.raises(linnet.InvalidArgumentError):
        linnet.tune(model, folder, [])
    with pytest.raises(ZeroDivisionError):
        linnet.tune(model, folder, samples(), progress=lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        linnet.tune(model, folder, (1 / 0 for _ in range(3)))
    assert not (folder / "model.onnx").exists()
