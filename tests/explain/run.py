"""What `linnet quantize` explains with samples: numbers against numpy's and ONNX Runtime's, pages that a parser takes,
bad input in one sentence."""

import html.parser
import json
import os
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

TIMEOUT_S = 300
FLOAT = TensorProto.FLOAT
SAMPLES = 5
CASES = []


def case(function):
    CASES.append(function)
    return function


def info(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def save(path, nodes, inputs, outputs, initializers):
    graph = helper.make_graph(nodes, "main", inputs, outputs, initializers)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def quantize(context, scheme, model, *options, fails=None, written=False):
    """The report. `fails`: the command does, and says this; no model is left unless it is `written` before."""
    out = context.folder / "out.onnx"
    out.unlink(missing_ok=True)
    command = [context.linnet, "quantize", scheme, str(model), "-o", str(out), "--threads", "1", "--json", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    if fails is not None:
        assert done.returncode == 2, f"exit code {done.returncode}, {done.stderr}"
        assert done.stderr.count("\n") == 1 and fails in done.stderr, done.stderr
        assert out.exists() == written, "a model is left, or none is"
        return None
    assert done.returncode == 0, done.stderr
    context.out = out
    return json.loads(done.stdout)


def run_linnet(context, model, feeds):
    np.savez(context.folder / "feeds.npz", **feeds)
    target = context.folder / "outputs"
    command = [context.linnet, "run", str(model), "--inputs", str(context.folder / "feeds.npz"), "--save-outputs", str(target), "--threads", "1"]
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
    return {file.stem: np.load(file) for file in target.glob("*.npy")}


def run_ort(model, feeds, names):
    """Values inside the model too."""
    proto = onnx.load(model)
    del proto.graph.output[:]
    proto.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(None, feeds)))


def classifier(path, rng, names=("first", "", "last")):
    """x -> scores and, beside them, probabilities; one row a sample. The second node has no name."""
    def weight(name, *shape):
        return numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32), name)

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name=names[0]),
        helper.make_node("Relu", ["h"], ["r"], name="rectify"),
        helper.make_node("MatMul", ["r", "v"], ["g"], name=names[1]),
        helper.make_node("Add", ["g", "b"], ["a"], name="bias"),
        helper.make_node("Relu", ["a"], ["q"], name="again"),
        helper.make_node("MatMul", ["q", "u"], ["scores"], name=names[2]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], name="softmax"),
    ]
    bias = numpy_helper.from_array(rng.standard_normal(96).astype(np.float32), "b")
    initializers = [weight("w", 64, 128), weight("v", 128, 96), weight("u", 96, 32), bias]
    return save(path, nodes, [info("x", [1, 64])], [info("scores", [1, 32]), info("probabilities", [1, 32])], initializers)


def samples(context, rng, count=SAMPLES):
    folder = context.folder / "samples"
    folder.mkdir(exist_ok=True)
    arrays = [rng.standard_normal((1, 64)).astype(np.float32) for _ in range(count)]
    for i, array in enumerate(arrays):
        np.save(folder / f"{i}.npy", array)
    return folder, [{"x": array} for array in arrays]


def snr(pairs):
    signal = sum((np.asarray(r, np.float64) ** 2).sum() for r, o in pairs)
    noise = sum(((np.asarray(r, np.float64) - o) ** 2).sum() for r, o in pairs)
    return 10 * np.log10(signal / noise)


def cosine(a, b):
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def softmax(x):
    e = np.exp(np.asarray(x, np.float64) - np.max(x))
    return e / e.sum()


def near(value, expected, rtol=1e-6):
    assert abs(value - expected) <= rtol * abs(expected) + 1e-12, f"{value} instead of {expected}"


@case
def quality_is_what_numpy_says(context):
    rng = np.random.default_rng(1)
    model = classifier(context.folder / "m.onnx", rng)
    folder, feeds = samples(context, rng)
    labels = context.folder / "labels.txt"
    before = [run_linnet(context, model, f) for f in feeds]
    answers = [int(b["scores"].argmax()) for b in before]
    answers[1] = (answers[1] + 1) % 32
    labels.write_text("\ufeff" + "\r\n".join(map(str, answers)) + "\r\n")
    report = quantize(context, "weights", model, "--block", 16, "--samples", folder, "--labels", labels)
    named = context.folder / "named.txt"
    named.write_text("".join(f"{i}.npy, {answers[i]}\n" for i in reversed(range(SAMPLES))))
    again = quantize(context, "weights", model, "--block", 16, "--samples", folder, "--labels", named)
    assert again["quality"]["task"] == report["quality"]["task"], again["quality"]["task"]
    after = [run_linnet(context, context.out, f) for f in feeds]
    assert report["quality"]["samples"] == SAMPLES
    for output in report["quality"]["outputs"]:
        pairs = [(b[output["name"]], a[output["name"]]) for b, a in zip(before, after)]
        cosines = [cosine(*pair) for pair in pairs]
        near(output["mean_cosine"], np.mean(cosines))
        near(output["least_cosine"], min(cosines))
        near(output["snr_db"], snr(pairs))
        near(output["max_abs_error"], max(np.abs(r - o).max() for r, o in pairs))
        rows = pairs if output["name"] == "probabilities" else [(softmax(r), softmax(o)) for r, o in pairs]
        rows = [(np.asarray(p, np.float64), np.asarray(q, np.float64)) for p, q in rows]
        near(output["kl_divergence"], np.mean([(p * np.log(p / (q / q.sum()))).sum() for p, q in rows]), 1e-3)
        near(output["top1_agreement"], np.mean([p.argmax() == q.argmax() for p, q in rows]))
    overall = report["quality"]["overall"]
    near(overall["mean_cosine"], min(o["mean_cosine"] for o in report["quality"]["outputs"]))
    near(overall["max_abs_error"], max(o["max_abs_error"] for o in report["quality"]["outputs"]))
    task = report["quality"]["task"]
    assert task["output"] == "scores"
    near(task["reference_accuracy"], (SAMPLES - 1) / SAMPLES)
    near(task["accuracy"], np.mean([a["scores"].argmax() == answer for a, answer in zip(after, answers)]))
    assert report["run"]["milliseconds_before"] > 0 and report["run"]["milliseconds_after"] > 0


def noise(model, out, feeds, name, restored):
    """Of a value, by ONNX Runtime; `restored` makes it of the values of the quantised model."""
    pairs = []
    for f in feeds:
        names, make = restored
        pairs.append((run_ort(model, f, [name])[name], make(*run_ort(out, f, names).values())))
    return snr(pairs)


@case
def noise_inside_is_what_onnx_runtime_has(context):
    rng = np.random.default_rng(2)
    model = classifier(context.folder / "m.onnx", rng)
    folder, feeds = samples(context, rng)
    given = ["--samples", folder]
    unsigned = ["--weight-type", "uint8", *given]  # products of bytes of unlike signs saturate in ONNX Runtime
    for scheme, options in ("dynamic", unsigned), ("dynamic", ["--per-channel", *unsigned]), ("weights", given), ("static", ["--calibrate", folder, *given]):
        report = quantize(context, scheme, model, *options)
        rows = {row["name"]: row for row in report["nodes"]}
        assert "g" in rows, "a node without a name is named after its output"
        for name, value in ("first", "h"), ("g", "g"), ("last", "scores"):
            assert rows[name].get("result"), rows[name]
            expected = noise(model, context.out, feeds, value, ([value], lambda x: x))
            assert abs(rows[name]["activation_snr_db"] - expected) < 0.05, (scheme, name, rows[name], expected)


@case
def noise_of_codes(context):
    """Where only integers are left, what they stand for is compared."""
    rng = np.random.default_rng(3)
    model = classifier(context.folder / "m.onnx", rng)
    folder, feeds = samples(context, rng)
    options = "--calibrate", folder, "--activation-type", "uint8", "--format", "qoperator", "--report", context.folder / "r.json"
    rows = {row["name"]: row for row in quantize(context, "static", model, *options)["nodes"]}
    assert rows["first"]["result"] == "integer MatMul" and rows["rectify"]["result"] == "left out", rows
    assert "activation_snr_db" not in rows["first"], "its codes are those of Relu's result"
    constants = {c.name: numpy_helper.to_array(c) for c in onnx.load(context.out).graph.initializer}
    scale = next(constants[n] for n in ("h_scale", "r_scale") if n in constants)
    zero = next(constants[n] for n in ("h_zero_point", "r_zero_point") if n in constants)
    restored = ["h_quantized"], lambda codes: (codes.astype(np.float64) - zero) * scale
    assert abs(rows["rectify"]["activation_snr_db"] - noise(model, context.out, feeds, "r", restored)) < 0.05, rows["rectify"]


@case
def a_node_alone(context):
    rng = np.random.default_rng(4)
    model = classifier(context.folder / "m.onnx", rng)
    folder, _ = samples(context, rng)
    for scheme, options in ("dynamic", ["--samples", folder]), ("static", ["--calibrate", folder]):
        report = quantize(context, scheme, model, *options, "--sensitivity", "all")
        alone = {row["name"]: row["alone"] for row in report["nodes"] if "alone" in row}
        assert {"first", "g", "last"} <= set(alone), alone
        for name in "first", "g", "last":
            one = quantize(context, scheme, model, *options, "--include", name, "--report", context.folder / "r.json")
            near(alone[name]["mean_cosine"], one["quality"]["overall"]["mean_cosine"], 1e-9)
            near(alone[name]["max_abs_error"], one["quality"]["overall"]["max_abs_error"], 1e-9)
        weights = [row for row in report["nodes"] if row.get("result") and "weight_snr_db" in row]
        noisiest = min(weights, key=lambda row: row["weight_snr_db"])["name"]
        report = quantize(context, scheme, model, *options, "--sensitivity", 1)
        assert [row["name"] for row in report["nodes"] if "alone" in row] == [noisiest]


@case
def without_samples_nothing_is_run(context):
    model = classifier(context.folder / "m.onnx", np.random.default_rng(5))
    report = quantize(context, "dynamic", model, "--report", context.folder / "r.json")
    assert set(report) == {"bytes_before", "bytes_after", "quantized", "nodes"}
    assert json.loads((context.folder / "r.json").read_text()) == report
    assert not any(key.startswith(("milli", "activation", "alone")) for row in report["nodes"] for key in row)


@case
def what_is_no_number(context):
    """In both models alike it says nothing; JSON stays JSON."""
    rng = np.random.default_rng(6)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
        helper.make_node("Log", ["x"], ["nan"]),  # of negative numbers, beside it
        helper.make_node("MatMul", ["nan", "w"], ["z"], name="poisoned"),
        helper.make_node("Mul", ["x", "zero"], ["zeros"]),
        helper.make_node("MatMul", ["zeros", "w"], ["y"], name="nothing"),
    ]
    initializers = [numpy_helper.from_array(rng.standard_normal((64, 64)).astype(np.float32), "w"), numpy_helper.from_array(np.float32(0), "zero")]
    model = save(context.folder / "m.onnx", nodes, [info("x", [1, 64])], [info(n, [1, 64]) for n in ("h", "nan", "z", "y")], initializers)
    folder, _ = samples(context, rng)
    report = quantize(context, "weights", model, "--samples", folder, "--sensitivity", "all", "--report", context.folder / "r.html")
    outputs = {o["name"]: o for o in report["quality"]["outputs"]}
    assert outputs["nan"]["mean_cosine"] == outputs["y"]["mean_cosine"] == 1
    assert "mean_cosine" not in outputs["z"] and outputs["z"]["without_numbers"] == SAMPLES, outputs["z"]
    assert outputs["y"]["snr_db"] is None and 0.9 < outputs["h"]["mean_cosine"] < 1
    assert all(o["not_comparable"] == 0 for o in outputs.values())
    Page().check(context.folder / "r.html")


@case
def samples_without_numbers_are_named(context):
    rng = np.random.default_rng(7)
    model = classifier(context.folder / "m.onnx", rng)
    folder, _ = samples(context, rng)
    np.save(folder / "1.npy", np.full((1, 64), np.nan, np.float32))
    report = quantize(context, "weights", model, "--samples", folder, "--report", context.folder / "r.html")
    (name,) = report["samples"]["without_numbers"]
    assert name.endswith("1.npy") and report["quality"]["overall"]["without_numbers"] == 1
    assert 0.9 < report["quality"]["overall"]["mean_cosine"] < 1
    assert "1.npy" in (context.folder / "r.html").read_text()
    for i in range(SAMPLES):
        np.save(folder / f"{i}.npy", np.full((1, 64), np.nan, np.float32))
    overall = quantize(context, "weights", model, "--samples", folder)["quality"]["overall"]
    assert not {"mean_cosine", "snr_db", "kl_divergence", "top1_agreement"} & set(overall), overall
    command = [context.linnet, "quantize", "weights", str(model), "-o", str(context.out), "--samples", str(folder)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    assert "nothing could be compared: the model as it was gives no finite number for '" in text and "2.npy' and 2 more" in text, text


class Page(html.parser.HTMLParser):
    """Elements are closed in order, nothing is fetched, and the cells of each table are kept."""

    VOID = {"meta", "!doctype"}

    def __init__(self):
        super().__init__()
        self.open, self.tables, self.text, self.titles, self.scripts = [], [], [], [], 0

    def check(self, path):
        text = path.read_text(encoding="utf-8")
        self.feed(text)
        self.close()
        assert self.open == [], f"not closed: {self.open}"
        assert "@import" not in text and "url(" not in text
        return self

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            assert not name.startswith("on") and name not in ("src", "href", "xlink:href"), (tag, name, value)
        self.scripts += tag == "script"
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in self.VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> within {self.open}"

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


@case
def pages(context):
    rng = np.random.default_rng(7)
    evil = 'a</td><script>alert("1")</script>&amp;\'\x01'
    model = classifier(context.folder / "m.onnx", rng, names=(evil, "", "last"))
    folder, _ = samples(context, rng)
    for options in [], ["--samples", folder], ["--samples", folder, "--sensitivity", "all"]:
        report = quantize(context, "dynamic", model, *options, "--report", context.folder / "r.html")
        page = Page().check(context.folder / "r.html")
        assert page.scripts == 1, "the page's own"
        nodes = page.tables[-1]
        assert [row[0] for row in nodes[1:]] == [row["node"].replace("\x01", "�") for row in report["nodes"]], nodes
        assert all(len(row) == len(nodes[0]) for row in nodes)
        assert ("alone: cosine" in nodes[0]) == ("--sensitivity" in options)
        assert len(page.tables) == (2 if options else 1)


@case
def only_faster(context):
    """Whatever this machine says, what is left is told with both times, and what is quantised is told as ever."""
    rng = np.random.default_rng(8)
    model = classifier(context.folder / "m.onnx", rng)
    folder, _ = samples(context, rng)
    for scheme, options in ("dynamic", ["--samples", folder]), ("weights", ["--samples", folder]), ("static", ["--calibrate", folder]):
        report = quantize(context, scheme, model, *options, "--only-faster")
        for row in report["nodes"]:
            if "slower" in row.get("reason", ""):
                times = [float(word) for word in row["reason"].replace(" ms", "").split(": ")[1].split(" instead of ")]
                assert times[0] > times[1], row
        feeds = {"x": np.ones((1, 64), np.float32)}
        a, b = run_ort(model, feeds, ["scores"])["scores"], run_ort(context.out, feeds, ["scores"])["scores"]
        assert cosine(a, b) > 0.95


@case
def model_tests_are_samples(context):
    """A folder in the layout of ONNX's model tests: its test data, whatever else it holds."""
    rng = np.random.default_rng(11)
    model = classifier(context.folder / "m.onnx", rng)
    folder, _ = samples(context, rng)
    tests = context.folder / "tests"
    for i, file in enumerate(sorted(folder.glob("*.npy"))):
        (tests / f"test_data_set_{i}").mkdir(parents=True)
        tensor = onnx.numpy_helper.from_array(np.load(file), "any")
        (tests / f"test_data_set_{i}" / "input_0.pb").write_bytes(tensor.SerializeToString())
    (tests / "meta.json").write_text("{}")
    qualities = [quantize(context, "dynamic", model, "--samples", path)["quality"] for path in (folder, tests)]
    assert qualities[0] == qualities[1], qualities


@case
def bad_input(context):
    rng = np.random.default_rng(9)
    model = classifier(context.folder / "m.onnx", rng)
    folder, _ = samples(context, rng)
    labels, empty = context.folder / "labels.txt", context.folder / "empty"
    empty.mkdir()
    labels.write_text("1\n2\n")
    quantize(context, "dynamic", model, "--report", "r.txt", fails="a report is a .html or .json file, not 'r.txt'")
    quantize(context, "dynamic", model, "--report", "html", fails="a report is a .html or .json file")
    quantize(context, "dynamic", model, "--samples", empty, fails="there are no samples in")
    quantize(context, "dynamic", model, "--samples", context.folder / "none", fails="cannot read the folder")
    quantize(context, "dynamic", model, "--samples", folder, "--labels", labels, fails="2 labels for 5 samples")
    quantize(context, "dynamic", model, "--samples", folder, "--labels", context.folder / "none", fails="none")
    labels.write_text("1\n2\n3\ncat\n5\n")
    quantize(context, "dynamic", model, "--samples", folder, "--labels", labels, fails="line 4 of")
    labels.write_text("1\n2\n3.npy 3\n4\n5\n")
    quantize(context, "dynamic", model, "--samples", folder, "--labels", labels, fails="names its sample, unlike")
    labels.write_text("1\n2\n3\n4\n5\n")
    quantize(context, "dynamic", model, "--samples", folder, "--labels", labels, "--label-output", "nothing", fails="no output 'nothing'")
    quantize(context, "dynamic", model, "--samples", folder, "--labels", labels, "--label-output", "score", fails="did you mean 'scores'?")
    quantize(context, "dynamic", model, "--samples", folder, "--label-output", "scores", fails="--label-output takes --labels")
    for wrong, sample in (32, 2), (-1, 5), (32, 5):
        answers = [wrong if i + 1 == sample else i for i in range(SAMPLES)]
        labels.write_text("".join(f"{answer}\n" for answer in answers))
        says = f"the label of sample {sample} is {wrong}, but output 'scores' has scores of 32 classes"
        quantize(context, "dynamic", model, "--samples", folder, "--labels", labels, fails=says)
    for option in (["--only-faster"], ["--sensitivity", "3"], ["--labels", labels]):
        quantize(context, "dynamic", model, *option, fails=f"{option[0]} takes samples of inputs")
    for wrong in "few", "-1", "3x":
        quantize(context, "dynamic", model, "--samples", folder, "--sensitivity", wrong, fails="--sensitivity: a number of nodes")
    np.save(folder / "9.npy", np.zeros((1, 3), np.float32))
    quantize(context, "dynamic", model, "--samples", folder, fails="9.npy", written=True)
    (folder / "9.npy").rename(folder / "0.npy")
    quantize(context, "dynamic", model, "--samples", folder, fails="0.npy")


def catches_interrupts(process):
    caught = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (signal.SIGINT - 1) & 1


@case
def interruptions_say_what_is_left(context):
    rng = np.random.default_rng(3)
    nodes = [helper.make_node("MatMul", [f"h{i}", "w"], [f"h{i + 1}"], f"p{i}") for i in range(8)]
    weight = numpy_helper.from_array((rng.standard_normal((512, 512)) / 23).astype(np.float32), "w")
    model = save(context.folder / "m.onnx", nodes, [info("h0", ["n", 512])], [info("h8", ["n", 512])], [weight])
    folder = context.folder / "many"
    folder.mkdir()
    for i in range(200):
        np.save(folder / f"{i}.npy", rng.standard_normal((256, 512)).astype(np.float32))
    out, page = context.folder / "out.onnx", context.folder / "page.html"
    command = [context.linnet, "quantize", "static", str(model), "-o", str(out), "--calibrate", str(folder), "--report", str(page)]
    for written in False, True:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not (out.exists() if written else catches_interrupts(process)) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=60)
        assert process.returncode == 130 and said == "" and told.count("\n") == 1, (process.returncode, told)
        assert out.exists() == written == ("the result is written, but not explained" in told), told
        assert not page.exists() and not [p for p in context.folder.iterdir() if ".tmp" in p.name]
    onnx.checker.check_model(onnx.load(out))


class Context:
    def __init__(self, linnet, folder):
        self.linnet, self.folder, self.out = str(linnet), folder, None


def main():
    arguments = suite_cases.arguments_of(__doc__).parse_args()
    jobs = [(f.__name__, f) for f in CASES]
    return suite_cases.run_cases(jobs, arguments.part, lambda folder: Context(arguments.linnet.resolve(), folder))


if __name__ == "__main__":
    sys.exit(main())
