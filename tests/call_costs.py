"""What a run of some 50 us costs without a binding, for the bindings' tests to compare with: costs(LINNET, FOLDER)."""

import ctypes
import json
import subprocess
import time

RUNS = 3000


def costs(linnet, folder):
    """JSON: the path of a model with an input x and an output y, the shape of x, microseconds of a run on one thread as the
    command line measures it, and of two thread wakes."""
    import numpy
    from onnx import TensorProto, helper, numpy_helper

    model, inputs, shape = folder / "fifty.onnx", folder / "fifty", [16, 128]
    inputs.mkdir(parents=True, exist_ok=True)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    weights = [numpy_helper.from_array(numpy.full(size, 0.01, numpy.float32), name) for name, size in [("v", (128, 512)), ("w", (512, 128))]]
    nodes = [helper.make_node("MatMul", ["x", "v"], ["a"]), helper.make_node("Relu", ["a"], ["b"]), helper.make_node("MatMul", ["b", "w"], ["y"])]
    made = helper.make_model(helper.make_graph(nodes, "g", ports[:1], ports[1:], weights), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.write_bytes(made.SerializeToString())
    numpy.save(inputs / "x.npy", numpy.ones(shape, numpy.float32))
    command = [linnet, "bench", model, "--inputs", inputs, "--threads", "1", "--min-runs", "2000", "--min-seconds", "0.2", "--json"]
    run = json.loads(subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=True).stdout)["min_ms"] * 1000
    return json.dumps({"model": str(model), "shape": shape, "run_us": run, "wakes_us": wakes_us(linnet.with_name("liblinnet.so"), model, shape)})


def wakes_us(library, model, shape):
    """How much longer a run takes on a runner thread that is waited for. Of the tenth part that
    other work disturbed least, the slowest."""
    c = ctypes.CDLL(str(library))
    keep = []

    def check(status):
        if status:
            c.linnet_status_message.restype = ctypes.c_char_p
            raise RuntimeError(c.linnet_status_message(ctypes.c_void_p(status)).decode())

    def make(name, *arguments):
        handle, function = ctypes.c_void_p(), getattr(c, name)
        function.restype = ctypes.c_void_p
        check(function(*arguments, ctypes.byref(handle)))
        keep.append(handle)
        return handle

    class EngineOptions(ctypes.Structure):
        _fields_ = [("struct_size", ctypes.c_size_t), ("threads", ctypes.c_size_t)]

    engine = make("linnet_engine_create", ctypes.byref(EngineOptions(ctypes.sizeof(EngineOptions), 1)))
    session = make("linnet_session_create", None, make("linnet_model_load", engine, str(model).encode(), None))
    x = make("linnet_value_create_tensor", ctypes.c_int32(1), (ctypes.c_int64 * len(shape))(*shape), ctypes.c_size_t(len(shape)))
    word, size = ctypes.c_void_p, ctypes.c_size_t
    run, start, wait, release = c.linnet_session_run, c.linnet_session_run_async, c.linnet_task_wait, c.linnet_release
    run.argtypes, run.restype = [word, word, word, word, size, word, word, size], word
    start.argtypes, start.restype = [word, word, word, word, size, word, word, size, word, word], word
    wait.argtypes, wait.restype = [word, ctypes.c_int64, word], word
    release.argtypes = [word]
    inputs, outputs, task = (ctypes.c_void_p * 1)(x), (ctypes.c_void_p * 1)(), ctypes.c_void_p()
    at_inputs, at_outputs, at_task = ctypes.addressof(inputs), ctypes.addressof(outputs), ctypes.addressof(task)

    def at_once():
        check(run(session, None, None, at_inputs, 1, None, at_outputs, 1))
        release(outputs[0])
        outputs[0] = None

    def waited_for():
        check(start(session, None, None, at_inputs, 1, None, None, 1, None, at_task))
        check(wait(task, -1, None))
        release(task)

    def median(call):
        times = []
        for _ in range(RUNS):
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        return sorted(times)[RUNS // 10] * 1e6

    wakes = median(waited_for) - median(at_once)
    for handle in reversed(keep):
        release(handle)
    return wakes
