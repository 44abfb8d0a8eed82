"""InferenceSession and linnet.load: names, errors, threads, bindings, asynchronous runs, memory."""

import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import through

import linnet

ONES = np.ones((2, 3), np.float32)
FEED = {"a": ONES, "b": ONES}


def test_description(add):
    session = linnet.InferenceSession(add, providers=["CPUExecutionProvider"])
    assert [(port.name, port.type, port.shape) for port in session.get_inputs()] == [("a", "tensor(float)", ["n", 3]), ("b", "tensor(float)", ["n", 3])]
    assert [port.name for port in session.get_outputs()] == ["y", "z"]
    meta = session.get_modelmeta()
    assert (meta.producer_name, meta.graph_name, meta.description, meta.custom_metadata_map) == ("tests", "graph", "adds", {"made by": "a test"})
    assert session.get_providers() == linnet.get_available_providers() == ["CPUExecutionProvider"]


def test_outputs_by_name(add):
    session = linnet.InferenceSession(add)
    assert [array[0, 0] for array in session.run(["z", "y"], FEED)] == [-2, 2]
    assert len(session.run([], FEED)) == 2
    assert list(linnet.load(add).run(FEED, ["z"])) == ["z"]


@pytest.mark.parametrize("as_path", [str, os.fsencode, lambda path: path], ids=["str", "bytes", "path"])
def test_paths(add, tmp_path, as_path):
    path = tmp_path / "mödel 模型.onnx"
    path.write_bytes(add)
    source = as_path(path)
    if isinstance(source, bytes):
        source = os.fsdecode(source)
    np.testing.assert_array_equal(linnet.load(source).run(FEED)["y"], 2)


@pytest.mark.parametrize(
    "call,error",
    [
        (lambda s: linnet.load("/nowhere/model.onnx"), linnet.MissingFileError),
        (lambda s: linnet.load(b"no model at all"), linnet.InvalidModelError),
        (lambda s: linnet.load("/nowhere/\udcff.onnx"), linnet.InvalidArgumentError),
        (lambda s: s.run(None, {"a": ONES}), linnet.InvalidArgumentError),
        (lambda s: s.run(None, {**FEED, "c": ONES}), linnet.UnknownNameError),
        (lambda s: s.run(["nothing"], FEED), linnet.UnknownNameError),
        (lambda s: s.io_binding().bind_cpu_input("c", ONES), linnet.UnknownNameError),
        (lambda s: s.io_binding().bind_output("nothing"), linnet.UnknownNameError),
        (lambda s: s.run(None, {**FEED, "b": ONES[:, :2]}), linnet.InvalidArgumentError),
        (lambda s: s.run(None, {**FEED, "b": ONES.astype(np.float64)}), linnet.InvalidArgumentError),
        (lambda s: s.run(None, {**FEED, "b": "text"}), linnet.InvalidArgumentError),
        (lambda s: s.run(None, {**FEED, "b": object()}), linnet.InvalidArgumentError),
        (lambda s: s.run(None, {1: ONES}), TypeError),
        (lambda s: s.run("y", FEED), TypeError),
        (lambda s: s.run(None, None), TypeError),
    ],
)
def test_errors(add, call, error):
    session = linnet.InferenceSession(add)
    with pytest.raises(error) as raised:
        call(session)
    assert str(raised.value)
    assert session.run(None, FEED)[0][0, 0] == 2  # still good


def test_errors_are_pythons_own_too():
    assert issubclass(linnet.MissingFileError, FileNotFoundError) and issubclass(linnet.DeadlineExceededError, TimeoutError)
    assert issubclass(linnet.UnknownNameError, ValueError) and not issubclass(linnet.UnknownNameError, OSError)
    for error in (linnet.MissingFileError, linnet.UnknownNameError):
        assert issubclass(error, linnet.NotFoundError) and issubclass(error, LookupError)
    assert issubclass(linnet.OutOfMemoryError, MemoryError) and issubclass(linnet.InvalidArgumentError, ValueError)


def test_a_name_is_no_file(add):
    model = linnet.load(add)
    with pytest.raises(linnet.UnknownNameError, match="no input 'c'; it has 'a', 'b'"):
        model.run({**FEED, "c": ONES})
    with pytest.raises(linnet.UnknownNameError):
        asyncio.run(model.run_async(FEED, ["nothing"]))
    options = linnet.SessionOptions()
    options.outputs = ["yy"]
    with pytest.raises(linnet.UnknownNameError, match="did you mean 'y'"):
        linnet.InferenceSession(add, options)
    with pytest.raises(linnet.MissingFileError):
        linnet.InferenceSession("/nowhere/model.onnx", options)


@pytest.mark.parametrize(
    "array,hint",
    [
        (ONES.astype(np.float64), r"'b' must be a tensor\(float\), not a tensor\(double\); array.astype\(np.float32\) converts it"),
        (np.ones((3, 2)).T, r"array.astype\(np.float32\)"),
        (np.array([["one"]]), r"not a tensor\(string\)$"),
    ],
)
def test_arrays_of_another_type(add, array, hint):
    session = linnet.InferenceSession(add)
    for refused in (
        lambda: session.run(None, {**FEED, "b": array}),
        lambda: session.run_async(None, {**FEED, "b": array}, lambda *ended: None),
        lambda: session.io_binding().bind_cpu_input("b", array),
    ):
        with pytest.raises(linnet.InvalidArgumentError, match=hint):
            refused()
    assert session.run(None, {"a": [[1.0, 2, 3]], "b": [[1, 2, 3]]})[0].tolist() == [[2, 4, 6]]  # lists have no type


def test_an_error_names_its_node():
    from conftest import model_bytes, tensor
    from onnx import TensorProto, helper

    node = helper.make_node("Reshape", ["x", "shape"], ["y"], name="bend")
    model = linnet.load(model_bytes([node], [tensor("x"), tensor("shape", TensorProto.INT64, [1])], [tensor("y", shape=None)]))
    with pytest.raises(linnet.Error) as raised:
        model(x=np.ones(3, np.float32), shape=np.array([2], np.int64))
    assert "bend" in raised.value.node and "float" in raised.value.inputs


def test_options(add):
    options = linnet.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = linnet.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_free_dimension_override_by_name("n", 2)
    session = linnet.InferenceSession(add, options)
    assert session.get_inputs()[0].shape == [2, 3]
    engine = linnet.Engine(threads=2)
    assert engine.threads == 2
    assert linnet.load(add, engine=engine).run(FEED)["y"][0, 0] == 2
    with pytest.warns(UserWarning, match="CUDA"):
        linnet.InferenceSession(add, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])


def test_inputs_that_are_missing(add):
    model = linnet.load(add)
    for inputs in ({}, {"b": FEED["b"]}):
        with pytest.raises(linnet.InvalidArgumentError, match="input 'a' is missing"):
            model.run(inputs)
        with pytest.raises(linnet.InvalidArgumentError, match="input 'a' is missing"):
            asyncio.run(model.run_async(inputs))
    for wrong in (list(FEED.values()), FEED["a"], None):
        with pytest.raises(TypeError, match="a dict of arrays"):
            model.run(wrong)


def test_misspelt_options():
    with pytest.raises(AttributeError, match="did you mean 'intra_op_num_threads'"):
        linnet.SessionOptions().intra_op_threads = 1
    with pytest.raises(AttributeError, match="did you mean 'timeout'"):
        linnet.RunOptions().timout = 1
    options = linnet.SessionOptions()
    options.log_severity_level, options.use_deterministic_compute = 3, True
    run = linnet.RunOptions()
    run.log_severity_level, run.terminate = 3, False


def test_profile(add, tmp_path):
    options = linnet.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "p")
    session = linnet.InferenceSession(add, options)
    session.run(None, FEED)
    with open(session.end_profiling()) as file:
        assert json.load(file)


def test_timeout(slow, slow_feed):
    start = time.monotonic()
    with pytest.raises(linnet.DeadlineExceededError):
        linnet.load(slow).run(slow_feed, timeout=0.05)
    assert time.monotonic() - start < 30


def test_terminate(slow, slow_feed):
    session, options = linnet.InferenceSession(slow), linnet.RunOptions()
    threading.Timer(0.05, lambda: setattr(options, "terminate", True)).start()
    with pytest.raises(linnet.CancelledError):  # the lock is released, else the timer would never run
        session.run(None, slow_feed, options)
    options.terminate = False
    assert session.run(None, {**slow_feed, "count": np.array(1)}, options)


def test_threads():
    model = linnet.load(through("Neg"))

    def work(seed):
        x = np.full(1000 + seed, seed, np.float32)
        return all((model(x=x) == -seed).all() for _ in range(100))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(16)))


def test_io_binding(add):
    session = linnet.InferenceSession(add)
    a, b, y = ONES.copy(), ONES.copy(), np.zeros((2, 3), np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input("a", a)
    binding.bind_input("b", "cpu", 0, np.float32, b.shape, b.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
    binding.bind_output("z")
    session.run_with_iobinding(binding)
    assert y[0, 0] == 2 and binding.get_outputs()[1].numpy()[0, 0] == -2
    a[:] = 5
    session.run_with_iobinding(binding)
    assert y[0, 0] == 6 and binding.copy_outputs_to_cpu()[1][0, 0] == -6
    with pytest.raises(linnet.Error):
        binding.bind_cpu_input("nothing", a)
    binding.clear_binding_inputs()
    with pytest.raises(linnet.Error):
        session.run_with_iobinding(binding)


def test_asyncio(slow, slow_feed):
    model = linnet.load(slow)

    async def main():
        run = asyncio.ensure_future(model.run_async(slow_feed))
        quick = await asyncio.gather(*(model.run_async({**slow_feed, "count": np.array(i)}) for i in range(5)))
        assert len(quick) == 5 and not run.done()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        with pytest.raises(linnet.DeadlineExceededError):
            await model.run_async(slow_feed, timeout=0.01)

    engine_threads = os.cpu_count() or 1
    if engine_threads > 1:
        asyncio.run(main())


def test_run_async(add):
    told = []
    session = linnet.InferenceSession(add)
    task = session.run_async(["y"], FEED, lambda outputs, user, error: told.append((outputs[0][0, 0], user, error)), "mine")
    assert task.wait(30)
    deadline = time.monotonic() + 30
    while not told and time.monotonic() < deadline:
        time.sleep(0.001)
    assert told == [(2, "mine", "")]


def test_a_callback_that_raises(add, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda about: told.append(about.exc_value))
    session = linnet.InferenceSession(add)
    task = session.run_async(None, FEED, lambda *ended: {}["gone"])
    assert task.wait(30)
    deadline = time.monotonic() + 30
    while not told and time.monotonic() < deadline:
        time.sleep(0.001)
    assert [type(error) for error in told] == [KeyError]
    assert session.run(None, FEED)


def test_a_session_that_goes_during_a_run(slow, slow_feed):
    ended = []
    session = linnet.InferenceSession(slow)
    task = session.run_async(None, {**slow_feed, "count": np.array(500)}, lambda outputs, user, error: ended.append(error))
    del session
    gc.collect()
    assert task.wait(60)
    deadline = time.monotonic() + 30
    while not ended and time.monotonic() < deadline:
        time.sleep(0.001)
    assert ended == [""]


def test_memory_that_is_too_small(add):
    binding = linnet.InferenceSession(add).io_binding()
    with pytest.raises(linnet.Error):
        linnet._native.borrow_array(np.zeros(2, np.float32), 1, [3])
    for name, array in (("a", ONES), ("b", ONES)):
        binding.bind_cpu_input(name, array)
    binding.bind_cpu_output("y", np.zeros((1, 3), np.float32))
    with pytest.raises(linnet.InvalidArgumentError):
        binding._session.run_with_iobinding(binding)
    with pytest.raises(ValueError):
        binding.bind_cpu_output("y", np.zeros((2, 6), np.float32)[:, ::2])
    locked = np.zeros((2, 3), np.float32)
    locked.flags.writeable = False
    with pytest.raises(ValueError):
        binding.bind_cpu_output("y", locked)


EXIT = """
import numpy as np, sys, linnet
model = linnet.load(sys.argv[1])
feed = {"count": np.array(10**8), "x": np.eye(64, dtype=np.float32)}
for _ in range(3):
    model.session.run_async(None, feed, lambda *told: None)
"""


def test_exit_during_a_run(slow, tmp_path):
    path = tmp_path / "slow.onnx"
    path.write_bytes(slow)
    done = subprocess.run([sys.executable, "-c", EXIT, str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def resident_kb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def test_memory_stays(add):
    session = linnet.InferenceSession(add)
    large = linnet.InferenceSession(through("Neg"))
    x, model = np.ones(250_000, np.float32), linnet.load(add)

    async def asynchronous(count):
        for _ in range(count):
            await model.run_async(FEED)

    def work(count):
        for i in range(count):
            session.run(None, FEED)
            if i % 100 == 0:
                large.run(None, {"x": x})
        asyncio.run(asynchronous(count // 20))
        gc.collect()
        return resident_kb()

    before = work(2000)
    assert work(100_000) - before < 4000
