"""`linnet tune` on small models made here: what it writes keeps the limits, is reproduced byte for byte by the command that
it tells, and loads in ONNX Runtime; an interrupted search goes on; bad input ends in one sentence."""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import suite_cases  # noqa: E402

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
TIMEOUT_S = 240
CASES = []


def case(function):
    CASES.append(function)
    return function


def info(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def weight(rng, name, *shape):
    return numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32), name)


def save(path, nodes, inputs, outputs, initializers):
    graph = helper.make_graph(nodes, "main", inputs, outputs, initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def layers(path, width=64, depth=3, outlier=False, seed=0):
    """y = softmax of MatMul + Relu layers. With an outlier the first layer reads a channel that is far above the others."""
    rng = np.random.default_rng(seed)
    nodes, initializers, x = [], [], "x"
    if outlier:
        factors = np.ones(width, np.float32)
        factors[0] = 3000
        initializers += [numpy_helper.from_array(factors, "up")]
        nodes += [helper.make_node("Mul", ["x", "up"], ["x_up"], name="scale")]
        x = "x_up"
    for i in range(depth):
        w = (rng.standard_normal((width, width)) / np.sqrt(width)).astype(np.float32)
        if outlier and i == 0:
            w[0] /= 3000
        initializers.append(numpy_helper.from_array(w, f"w{i}"))
        nodes += [
            helper.make_node("MatMul", [x, f"w{i}"], [f"h{i}"], name=f"/layer {i}/MatMul"),
            helper.make_node("Relu", [f"h{i}"], [f"r{i}"], name=f"/layer {i}/Relu"),
        ]
        x = f"r{i}"
    nodes.append(helper.make_node("Softmax", [x], ["y"], name="softmax"))
    return save(path, nodes, [info("x", FLOAT, ["n", width])], [info("y", FLOAT, ["n", width])], initializers)


def samples(folder, count=6, width=64, rows=4, seed=1):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        np.save(folder / f"{i}.npy", rng.standard_normal((rows, width)).astype(np.float32))
    return folder


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def ort(model, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


class Context:
    def __init__(self, linnet, folder):
        self.linnet, self.folder = str(linnet), folder

    def run(self, *arguments, code=0):
        done = subprocess.run([self.linnet, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S)
        said = f"{' '.join(map(str, arguments))}\nexit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
        assert done.returncode == code, f"expected exit code {code}: {said}"
        assert "\x1b" not in done.stdout + done.stderr, f"control characters without a terminal: {said}"
        if code not in (2, 130):
            assert done.stderr == "", f"expected nothing on stderr: {said}"
        return done

    def tune(self, model, folder, out, *options, code=0, budget=20):
        done = self.run("tune", model, "--samples", folder, "-o", out, "--budget", budget, "--json", *options, code=code)
        return json.loads(done.stdout)

    def error(self, *arguments, says):
        done = self.run("tune", *arguments, code=2)
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("linnet tune: "), done.stderr
        assert says in done.stderr, f"expected '{says}': {done.stderr}"

    def made_again(self, command, output, to):
        """The command of a manifest, writing elsewhere."""
        words = shlex.split(command)
        assert words[0] == "linnet"
        words[words.index("-o") + 1] = str(to)
        self.run(*words[1:])
        return to


def chosen(report):
    point = report["points"][report["chosen"]]
    return point, report["candidates"][point["candidate"]]


@case
def a_model_and_all_that_is_told_of_it(context):
    model, folder, out = layers(context.folder / "m.onnx"), samples(context.folder / "s"), context.folder / "out"
    report = context.tune(model, folder, out)
    assert sorted(p.name for p in out.iterdir()) == ["manifest.json", "model.onnx", "report.html", "report.json", "tune.state"]
    assert report == json.loads((out / "report.json").read_text())
    point, candidate = chosen(report)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["source"] == {"path": str(model), "sha256": sha256(model), "bytes": os.path.getsize(model)}
    assert manifest["result"] == {"path": str(out / "model.onnx"), "sha256": sha256(out / "model.onnx")}
    assert manifest["samples"]["count"] == 6 and len(manifest["samples"]["sha256"]) == 64
    assert manifest["linnet"] and manifest["isa"]
    measured = manifest["measured"]
    assert measured["bytes"] == os.path.getsize(out / "model.onnx") == candidate["bytes"]
    assert measured["loss"] <= 0.01 and measured["memory"] > 1e6 and measured["memory_of"] == "process"
    assert 0 < measured["median_ms"] <= measured["p95_ms"] and measured["runs"] >= 8
    x = np.load(folder / "0.npy")
    a, b = ort(model, x).ravel(), ort(out / "model.onnx", x).ravel()
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.98
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 3 and "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
    assert manifest["command"].replace("'", "&#39;") in page or manifest["command"] in page


@case
def every_candidate_is_made_again_by_its_command(context):
    """Not only the chosen one, so that each scheme is looked at."""
    model, folder, out = layers(context.folder / "m.onnx"), samples(context.folder / "s"), context.folder / "out"
    report = context.tune(model, folder, out)
    again = context.made_again(report["command"], out / "model.onnx", context.folder / "again" / "model.onnx") if (context.folder / "again").mkdir() is None else None
    assert again.read_bytes() == (out / "model.onnx").read_bytes()
    schemes = set()
    for candidate in report["candidates"]:
        if "sha256" not in candidate or candidate["fate"] == "same file":
            continue
        words = list(candidate["arguments"])
        at = 2 if words[0] == "quantize" else 1
        words[at:at] = [str(model), "-o", str(context.folder / "again" / "model.onnx")]
        if "static" in words or "gptq" in words:
            words += ["--calibrate", str(folder)]
        context.run(*words)
        assert sha256(context.folder / "again" / "model.onnx") == candidate["sha256"], words
        schemes.update(candidate["arguments"])
    assert {"dynamic", "static", "weights", "--level", "--float16", "hqq", "gptq", "entropy"} <= schemes, schemes


@case
def a_file_beside_a_folder(context):
    model, folder, out = layers(context.folder / "m.onnx"), samples(context.folder / "s"), context.folder / "best.onnx"
    text = context.run("tune", model, "--samples", folder, "-o", out, "--budget", 20, "--prefer", "size", "--report", context.folder / "r.html").stdout
    assert out.exists() and (context.folder / "best.tune" / "manifest.json").exists()
    assert (context.folder / "r.html").read_text() == (context.folder / "best.tune" / "report.html").read_text()
    assert "chosen: weights --bits 4" in text and "made again by: linnet quantize weights" in text, text
    # Over what it wrote itself, a finished search may write.
    context.tune(model, folder, out)


@case
def limits_that_cannot_be_kept(context):
    model, folder, out = layers(context.folder / "m.onnx"), samples(context.folder / "s"), context.folder / "out"
    for options, words in [
        (["--size-mb", 0.001], "size"),
        (["--p95-ms", 1e-6], "p95"),
        (["--ram-mb", 0.5], "memory"),
        (["--size-mb", 0.02, "--max-loss", 0], "loss"),
    ]:
        report = context.tune(model, folder, out, *options, code=1)
        assert "chosen" not in report and words in report["beyond"], (options, report.get("beyond"))
        assert not (out / "model.onnx").exists() and not (out / "manifest.json").exists()
    for out, result in (out, out / "model.onnx"), (context.folder / "small.onnx", context.folder / "small.onnx"):
        context.tune(model, folder, out, "--prefer", "size")
        manifest = (out if out.is_dir() else out.with_suffix(".tune")) / "manifest.json"
        assert result.exists() and manifest.exists()
        context.tune(model, folder, out, "--size-mb", 0.001, code=1)
        assert not result.exists() and not manifest.exists(), "what an earlier search has chosen is still there"
    text = context.run("tune", model, "--samples", folder, "-o", out, "--p95-ms", 1e-6, code=1).stdout
    assert "no candidate keeps the limits; the nearest, " in text, text


@case
def what_loses_too_much_is_not_timed(context):
    model, folder, out = layers(context.folder / "m.onnx"), samples(context.folder / "s"), context.folder / "out"
    report = context.tune(model, folder, out, "--max-loss", 0.00001)
    timed = {p["candidate"] for p in report["points"]}
    lossy = {i for i, c in enumerate(report["candidates"]) if c["fate"] == "too lossy"}
    assert lossy and not lossy & timed
    assert all(report["candidates"][i]["loss"] <= 0.00001 for i in timed)


@case
def the_harmful_node_is_left_out(context):
    model, folder, out = layers(context.folder / "m.onnx", outlier=True), samples(context.folder / "s"), context.folder / "out"
    report = context.tune(model, folder, out, "--max-loss", 0.01, budget=40)
    dynamic = [c for c in report["candidates"] if c["arguments"][:2] == ["quantize", "dynamic"]]
    whole = [c for c in dynamic if "--exclude" not in c["arguments"]]
    assert all(c["fate"] in ("too lossy", "same file") for c in whole), whole
    kept = [c for c in dynamic if c["fate"] == "timed"]
    assert kept, dynamic
    assert any(c["arguments"].count("--exclude") == 1 and "/layer 0/MatMul" in c["arguments"] for c in kept), kept


@case
def accuracy_by_labels(context):
    model, folder, out = layers(context.folder / "m.onnx"), samples(context.folder / "s", rows=1), context.folder / "out"
    answers = [int(ort(model, np.load(folder / f"{i}.npy")).argmax()) for i in range(6)]
    labels = context.folder / "labels.txt"
    labels.write_text("".join(f"{a}\n" for a in answers[:5]) + f"{(answers[5] + 1) % 64}\n")
    report = context.tune(model, folder, out, "--labels", labels)
    assert report["measure"] == "accuracy" and abs(report["reference"] - 5 / 6) < 1e-9
    named = context.folder / "named.csv"
    named.write_text("".join(f"{i}.npy,{answers[i]}\r\n" for i in reversed(range(6))))
    report = context.tune(model, folder, context.folder / "out2", "--labels", named)
    assert report["reference"] == 1
    report = context.tune(model, folder, context.folder / "out3", "--measure", "top1", "--max-loss", 0)
    assert report["measure"] == "top1" and chosen(report)[1]["loss"] == 0


@case
def samples_for_calibration_apart(context):
    model, folder, out = layers(context.folder / "m.onnx"), samples(context.folder / "s"), context.folder / "out"
    apart = samples(context.folder / "it's apart", count=2, seed=9)
    report = context.tune(model, folder, out, "--calibrate", apart)
    static = next(c for c in report["candidates"] if c["arguments"][:2] == ["quantize", "static"])
    context.run("quantize", "static", model, "-o", context.folder / "model.onnx", "--calibrate", apart, *static["arguments"][2:])
    assert sha256(context.folder / "model.onnx") == static["sha256"]


@case
def threads_and_memory_of_the_engine(context):
    model, folder, out = layers(context.folder / "m.onnx"), samples(context.folder / "s"), context.folder / "out"
    report = context.tune(model, folder, out, "--threads", "2,1,2", "--memory", "engine")
    assert {p["threads"] for p in report["points"]} == {1, 2}
    assert report["memory_of"] == "engine"
    assert chosen(report)[1]["memory"] < 1e6  # a process alone has more


@case
def an_interrupted_search_goes_on(context):
    model, folder, out = layers(context.folder / "m.onnx", width=256, depth=6), samples(context.folder / "s", width=256), context.folder / "out"
    command = [context.linnet, "tune", str(model), "--samples", str(folder), "-o", str(out), "--budget", "60", "--json"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    state = out / "tune.state"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (state.exists() and state.read_text().count("\ncandidate") >= 2):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=60)
    assert process.returncode == 130, f"{process.returncode} {told}"
    assert said == "" and told.count("\n") == 1 and "--resume" in told, told
    assert [p.name for p in out.iterdir()] == ["tune.state"]
    before = state.read_text()
    context.error(*command[2:-1], says="has a search that was interrupted")
    assert state.read_text() == before
    # Of another model, with other samples.
    other = layers(context.folder / "other.onnx", width=256, depth=6, seed=5)
    context.error(other, *command[3:-1], "--resume", says="is of another search")
    np.save(folder / "more.npy", np.ones((1, 256), np.float32))
    context.error(*command[2:-1], "--resume", says="is of another search")
    (folder / "more.npy").unlink()
    assert state.read_text() == before
    report = json.loads(context.run(*command[1:], "--resume").stdout)
    measured = [line.split("\t") for line in before.splitlines() if line.startswith("candidate")]
    for fields, candidate in zip(measured, sorted(report["candidates"], key=lambda c: c.get("sha256", ""))):
        assert any(c.get("sha256") == fields[5] for c in report["candidates"]), fields
    assert (out / "model.onnx").exists()


@case
def bad_input(context):
    model, folder, out = layers(context.folder / "m.onnx"), samples(context.folder / "s"), context.folder / "out"
    empty = context.folder / "empty"
    empty.mkdir()
    context.error(model, "--samples", empty, "-o", out, says="there are no samples in")
    context.error(model, "--samples", context.folder / "nowhere", "-o", out, says="cannot read the folder")
    context.error(context.folder / "nowhere.onnx", "--samples", folder, "-o", out, says="nowhere.onnx")
    broken = context.folder / "broken.onnx"
    broken.write_bytes(b"hello")
    context.error(broken, "--samples", folder, "-o", out, says="broken.onnx")
    compiled = context.folder / "m.linnet"
    context.run("compile", model, "-o", compiled)
    context.error(compiled, "--samples", folder, "-o", out, says="a compiled model cannot be tuned")
    wrong = samples(context.folder / "wrong", width=7)
    context.error(model, "--samples", wrong, "-o", out, says="0.npy")
    nan = samples(context.folder / "nan", count=3)
    np.save(nan / "1.npy", np.full((4, 64), np.nan, np.float32))
    np.save(nan / "2.npy", np.full((4, 64), np.inf, np.float32))
    context.error(model, "--samples", nan, "-o", out, says=f"no finite number for '{nan / '1.npy'}' and '{nan / '2.npy'}'")
    assert not out.exists()

    context.error(model, "--samples", folder, "-o", model, says="would replace")
    context.error(model, "--samples", folder, "-o", folder / "tuned", says="is inside the samples")
    context.error(model, "--samples", folder, "-o", folder / "tuned.onnx", says="is inside the samples")
    context.error(model, "--samples", folder, "-o", out, "--calibrate", context.folder, says="is inside the samples")
    context.error(model, "--samples", folder, "-o", broken / "out", says="cannot make the folder")
    context.error(model, "--samples", folder, "-o", "/proc/out", says="cannot make the folder")
    (context.folder / "taken.onnx").mkdir()
    context.error(model, "--samples", folder, "-o", context.folder / "taken.onnx", says="is a folder")

    labels = context.folder / "labels"
    labels.write_text("1\n2\n")
    context.error(model, "--samples", folder, "-o", out, "--labels", labels, says="2 labels for 6 samples")
    labels.write_text("1\n" * 7)
    context.error(model, "--samples", folder, "-o", out, "--labels", labels, says="7 labels for 6 samples")
    labels.write_text("1\ncat\n")
    context.error(model, "--samples", folder, "-o", out, "--labels", labels, says="line 2")
    labels.write_text("0.npy 1\n0.npy 2\n")
    context.error(model, "--samples", folder, "-o", out, "--labels", labels, says="has a label already")
    labels.write_text("cat.npy 1\n")
    context.error(model, "--samples", folder, "-o", out, "--labels", labels, says="no sample")
    context.error(model, "--samples", folder, "-o", out, "--labels", context.folder / "none", says="cannot read the labels")
    context.error(model, "--samples", folder, "-o", out, "--measure", "accuracy", says="without labels")
    labels.write_text("1\n" * 6)
    context.error(model, "--samples", folder, "-o", out, "--labels", labels, "--measure", "cosine", says="--labels is for accuracy")

    for option, value, says in [
        ("--max-loss", -1, "from 0 to 1"),
        ("--max-loss", 2, "from 0 to 1"),
        ("--max-loss", "nan", "from 0 to 1"),
        ("--p95-ms", 0, "has to be above 0"),
        ("--size-mb", 0, "--size-mb has to be more than 0"),
        ("--ram-mb", -1, "--ram-mb has to be more than 0"),
        ("--budget", 0, "budget"),
        ("--threads", 0, "threads"),
        ("--threads", "1,x", "threads"),
        ("--prefer", "beauty", "beauty"),
    ]:
        context.error(model, "--samples", folder, "-o", out, option, value, says=says)
    context.error(model, "--samples", folder, "-o", out, "--resume", says="no search to resume")
    assert not out.exists(), "a refused search leaves a folder"
    out.mkdir(exist_ok=True)
    (out / "tune.state").write_text("hello\n")
    context.error(model, "--samples", folder, "-o", out, "--resume", says="is not the state of a search")


@case
def a_model_with_nothing_to_quantise(context):
    model = save(context.folder / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [info("x", FLOAT, ["n", 64])], [info("y", FLOAT, ["n", 64])], [])
    report = context.tune(model, samples(context.folder / "s"), context.folder / "out")
    assert chosen(report)[1]["arguments"][0] == "optimize"
    assert any("nothing in the model can be quantised" in c.get("reason", "") for c in report["candidates"])


def main():
    arguments = suite_cases.arguments_of(__doc__).parse_args()
    jobs = [(f.__name__, f) for f in CASES]
    return suite_cases.run_cases(jobs, arguments.part, lambda folder: Context(arguments.linnet.resolve(), folder))


if __name__ == "__main__":
    sys.exit(main())
