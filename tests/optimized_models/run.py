"""What `linnet optimize` writes gives what the model gave: in Linnet at each level, in ONNX Runtime up to "extended".

  run.py              a few of the shared models, where they are, and small ones made here
  run.py --all        every one of them
  run.py resnet       those whose name has this part
  run.py --float16    the same models with 16-bit floats, with which only the small ones run otherwise
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import conformance  # noqa: E402

LEVELS = ["none", "basic", "extended", "all"]
CHOSEN = [
    "bert_script11", "conv_bilstm_tagger", "convnext_script17", "crnn_recogniser_script11", "densenet_script17", "dynamic_int8_distilbert_script13",
    "external_many_files", "fp16_vit_script17", "functions_nested", "gpt2_past_script13", "initializers_as_inputs", "llama_gqa_past_script17",
    "loop_forms", "mobilenet_v3_script17", "names_odd", "nbits4_gather_phi", "nested_if_script", "old_cnn_opset7", "optional_inputs_empty",
    "qdq_u8u8_vit", "resnet_basic_script11", "scan_rnn", "sequence_operators", "sk_random_forest", "typed_data_fields", "unet_nearest_script13",
]  # fmt: skip
# ONNX Runtime makes their products ones of inputs rounded to 8 bits.
ROUNDS_INPUTS = {"weights_int4", "weights_uint4"}
OWN_DOMAINS = {"": {"none", "basic", "extended", "float16"}, "ai.onnx.ml": {"none", "basic", "extended", "float16"},
               "com.microsoft": {"extended", "float16"}}  # fmt: skip


def made_here(folder):
    """Small models in the layout of the shared ones; what is expected comes from ONNX Runtime."""
    import onnxruntime

    random = np.random.default_rng(0)
    weight = lambda name, *shape: numpy_helper.from_array(random.standard_normal(shape, dtype=np.float32) * 0.4, name)  # noqa: E731
    number = lambda name, value: numpy_helper.from_array(np.float32(value), name)  # noqa: E731
    node = helper.make_node
    channels = [weight(name, 8) for name in ("gamma", "beta", "mean")] + [numpy_helper.from_array(np.full(8, 0.7, np.float32), "variance")]
    scales = numpy_helper.from_array(np.float32([1, 1, 2, 2]), "scales")
    models = {
        "conv_norm_swish": (11, [2, 3, 9, 9], [
            node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]), node("BatchNormalization", ["a", "gamma", "beta", "mean", "variance"], ["b"]),
            node("Sigmoid", ["b"], ["s"]), node("Mul", ["b", "s"], ["c"]), node("Conv", ["c", "w2"], ["d"]), node("Relu", ["d"], ["e"]),
            node("Softmax", ["e"], ["y"]),
        ], [weight("w", 8, 3, 3, 3), weight("w2", 4, 8, 1, 1), *channels]),
        "gelu_norm": (13, [2, 5, 16], [
            node("ReduceMean", ["x"], ["m"], axes=[-1]), node("Sub", ["x", "m"], ["d"]), node("Mul", ["d", "d"], ["q"]),
            node("ReduceMean", ["q"], ["v"], axes=[-1]), node("Add", ["v", "eps"], ["ve"]), node("Sqrt", ["ve"], ["sd"]),
            node("Div", ["d", "sd"], ["n"]), node("Mul", ["n", "scale"], ["ns"]), node("Add", ["ns", "shift"], ["h"]),
            node("MatMul", ["h", "w"], ["p"]), node("Add", ["p", "bias"], ["pb"]), node("Div", ["pb", "root"], ["r"]),
            node("Erf", ["r"], ["f"]), node("Add", ["f", "one"], ["g"]), node("Mul", ["pb", "g"], ["k"]), node("Mul", ["k", "half"], ["y"]),
        ], [weight("scale", 16), weight("shift", 16), weight("w", 16, 24), weight("bias", 24), number("eps", 1e-5), number("root", 2**0.5),
            number("one", 1), number("half", 0.5)]),
        "branches": (17, [4, 4], [
            node("ReduceSum", ["x"], ["total"], keepdims=0), node("Greater", ["total", "zero"], ["positive"]),
            node("If", ["positive"], ["z"],
                 then_branch=helper.make_graph([node("MatMul", ["x", "w"], ["t"])], "then", [], [helper.make_tensor_value_info("t", 1, None)]),
                 else_branch=helper.make_graph([node("Add", ["x", "w"], ["f"])], "else", [], [helper.make_tensor_value_info("f", 1, None)])),
            node("Split", ["z"], ["left", "right"], axis=1), node("Concat", ["right", "left"], ["y"], axis=1),
        ], [weight("w", 4, 4), number("zero", 0)]),
        # Before operator set 13 no input of Resize may be left out.
        "upsample_7": (7, [1, 2, 4, 4], [node("Upsample", ["x"], ["u"], scales=[1.0, 1.0, 2.0, 2.0]), node("Relu", ["u"], ["y"])], []),
        "upsample_9": (9, [1, 2, 4, 4], [node("Upsample", ["x", "scales"], ["y"], mode="linear")], [scales]),
        "resize_10": (10, [1, 2, 4, 4], [node("Resize", ["x", "scales"], ["y"], mode="nearest")], [scales]),
        # Sums of integers beyond the range of float16, scaled in one step and in two.
        "integer_sums": (11, [2, 5, 256], [
            node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]), node("MatMulInteger", ["q", "w8", "qz"], ["p"]), node("Cast", ["p"], ["f"], to=1),
            node("Mul", ["qs", "w8_scale"], ["s"]), node("Mul", ["f", "s"], ["a"]), node("Relu", ["a"], ["ar"]),
            node("Transpose", ["f"], ["ft"], perm=[1, 0, 2]), node("Mul", ["w8_scale", "ft"], ["b"]), node("Mul", ["b", "qs"], ["b2"]),
            node("Transpose", ["b2"], ["b3"], perm=[1, 0, 2]), node("Sub", ["ar", "b3"], ["y"]),
        ], [numpy_helper.from_array(random.integers(60, 127, (256, 8), dtype=np.int8), "w8"), number("w8_scale", 0.9)]),
        # In 16 bits ONNX Runtime 1.32 crashes over such a Transpose in front of a product.
        "steps_first": (13, [2, 5, 16], [
            node("Transpose", ["x"], ["t"], perm=[1, 0, 2]), node("MatMul", ["t", "w"], ["m"]), node("Transpose", ["m"], ["u"], perm=[1, 2, 0]),
            node("Relu", ["u"], ["r"]), node("MatMul", ["w2", "u"], ["n"]), node("ReduceSum", ["r"], ["total"], keepdims=0), node("Add", ["n", "total"], ["y"]),
        ], [weight("w", 16, 12), weight("w2", 3, 12)]),
    }  # fmt: skip
    for name, (opset, shape, nodes, initializers) in models.items():
        sizes = ["batch", *shape[1:]]
        graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], initializers)  # fmt: skip
        data = folder / name / "test_data_set_0"
        data.mkdir(parents=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
        onnx.save(model, folder / name / "model.onnx")
        x = random.standard_normal(shape, dtype=np.float32)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        for part, value in ("input_0.pb", x), ("output_0.pb", session.run(None, {"x": x})[0]):
            (data / part).write_bytes(numpy_helper.from_array(value).SerializeToString())
        (folder / name / "meta.json").write_text(json.dumps({"rtol": 1e-3, "atol": 1e-5}))


def domains_of(graph):
    found = set()
    for node in graph.node:
        found.add("" if node.domain == "ai.onnx" else node.domain)
        for attribute in node.attribute:
            for body in ([attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs):
                found |= domains_of(body)
    return found


def read_value(path):
    data = path.read_bytes()
    tensor = onnx.TensorProto()
    tensor.ParseFromString(data)
    return numpy_helper.to_array(tensor)


def session_of(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def difference(expected, actual, rtol, atol):
    """Why they differ; empty where they agree."""
    for index, (e, a) in enumerate(zip(expected, actual)):
        if not isinstance(e, np.ndarray) or e.dtype.kind not in "fiub":
            continue
        if e.shape != a.shape or e.dtype != a.dtype:
            return f"output {index} is {a.dtype}{list(a.shape)} instead of {e.dtype}{list(e.shape)}"
        if e.dtype.kind == "f":
            e, a = e.astype(np.float64), a.astype(np.float64)
            scale = np.nanmax(np.abs(np.where(np.isfinite(e), e, 0)), initial=0)
            if not np.allclose(a, e, rtol=rtol, atol=max(atol, rtol * scale), equal_nan=True):
                return f"output {index} is off by up to {np.nanmax(np.abs(a - e))} of {scale}"
        elif e.dtype.kind != "b" and rtol < 5e-3 and not np.array_equal(e, a):
            return f"output {index} has other integers"
    return ""


def standard_complaint(path):
    """What the standard's checker says against a model, if anything."""
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, ValueError) as error:
        return str(error).split("\n")[0][:300]
    return ""


def in_onnxruntime(original, optimized, rtol, atol):
    """What is wrong with the optimized model there; None where the original does not run."""
    try:
        session = session_of(original / "model.onnx")
        sets = sorted(original.glob("test_data_set_*"))[:1]
        cases = []
        for data in sets:
            feeds = {i.name: read_value(data / f"input_{k}.pb") for k, i in enumerate(session.get_inputs()) if (data / f"input_{k}.pb").exists()}
            cases.append((feeds, session.run(None, feeds)))
    except Exception:  # its exceptions have no common base
        return None
    try:
        session = session_of(optimized / "model.onnx")
        for feeds, expected in cases:
            if complaint := difference(expected, session.run(None, feeds), rtol, atol):
                return complaint
    except Exception as error:
        return str(error).splitlines()[0][:300]
    return ""


class Commands:
    """What the command line promises beside good models; each method is a case."""

    def __init__(self, linnet, folder):
        self.linnet, self.folder = linnet, folder
        made_here(folder)
        self.model = folder / "gelu_norm" / "model.onnx"

    def run(self, *arguments):
        done = subprocess.run([self.linnet, "optimize", *map(str, arguments)], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def refused(self, *arguments, told):
        before = sorted(self.folder.rglob("*"))
        code, _, error = self.run(*arguments)
        assert code == 2 and told in error and error.count("\n") == 1, (code, error)
        assert sorted(self.folder.rglob("*")) == before, "files were left behind"

    def written_over(self):
        self.refused(self.model, "-o", self.model, told="file of the model itself")

    def bad_options(self):
        to = self.folder / "out.onnx"
        self.refused(self.model, "-o", to, "--level", "best", told="level")
        self.refused(self.model, "-o", to, "--disable-pass", "no_such_pass", told="no_such_pass")
        self.refused(self.model, "-o", to, "--shape", "x=2x", told="--shape")
        self.refused(self.model, "-o", to, "--shape", "z=2", told="no input named 'z'")
        self.refused(self.model, "-o", to, "--shape", "x=2x6x16", told="size 1 of input 'x' is 5")
        self.refused(self.model, "-o", to, "--shape", "x=2x5", told="rank 3")
        self.refused(self.model, "-o", to, "--dim", "time=2", told="time")
        self.refused(self.model, "-o", to, "--float16", "--bfloat16", told="one of")
        self.refused(self.model, "-o", to, "--float16", "--keep-float", "Erv", told="Erv")
        self.refused(self.folder / "missing.onnx", "-o", to, told="missing.onnx")
        self.refused(self.model, "-o", self.folder / "nowhere" / "out.onnx", told="cannot write")

    def full_disk(self):
        """A limit on the size of files stands for it."""
        to = self.folder / "out.onnx"
        command = ["bash", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "bash", self.linnet, "optimize", self.model, "-o", to]
        before = sorted(self.folder.rglob("*"))
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2 and "cannot write" in done.stderr, done.stderr
        assert sorted(self.folder.rglob("*")) == before, "files were left behind"

    def shapes(self):
        to = self.folder / "out.onnx"
        for how in (["--shape", "x=3x5x16"], ["--dim", "batch=3"]):
            code, _, error = self.run(self.model, "-o", to, *how)
            assert code == 0, error
            sizes = [d.dim_value for d in onnx.load(to).graph.input[0].type.tensor_type.shape.dim]
            assert sizes == [3, 5, 16], sizes

    def report(self):
        to = self.folder / "out.onnx"
        code, text, error = self.run(self.model, "-o", to, "--json", "--verify")
        assert code == 0, error
        report = json.loads(text)
        passes = {entry["pass"]: entry for entry in report["passes"]}
        assert passes["fuse_gelu"]["changes"] == 1 and passes["fuse_layer_norm"]["changes"] == 1
        assert report["nodes"] == {"before": 16, "after": len(onnx.load(to).graph.node)}
        assert report["bytes"] == {"before": self.model.stat().st_size, "after": to.stat().st_size}
        assert [entry["agrees"] for entry in report["verified"]] == [True]
        code, text, _ = self.run(self.model, "-o", to, "--disable-pass", "fuse_gelu", "--json")
        assert code == 0 and "fuse_gelu" not in {entry["pass"] for entry in json.loads(text)["passes"]}
        assert "Erf" in {node.op_type for node in onnx.load(to).graph.node}

    def verify_can_fail(self):
        """Half floats are not within a tolerance of nothing."""
        code, text, error = self.run(self.model, "-o", self.folder / "out.onnx", "--float16", "--verify", "--rtol", "0", "--atol", "0")
        assert code == 1 and "DIFFERS" in text, (code, text, error)

    def external_data(self):
        to = self.folder / "out.onnx"
        code, text, error = self.run(self.model, "-o", to, "--external-data", "--external-from", "100", "--verify", "--json")
        assert code == 0, error
        data = to.with_name("out.onnx.data")
        assert json.loads(text)["bytes"]["after"] == to.stat().st_size + data.stat().st_size
        self.refused(to, "-o", data, told="file of the model itself")
        session_of(to)

    def half_floats(self):
        to = self.folder / "out.onnx"
        code, text, error = self.run(self.model, "-o", to, "--float16", "--keep-float", "Gelu", "--verify", "--json")
        assert code == 0, error
        report = json.loads(text)
        assert report["floats"]["constants"] > 0 and len(report["floats"]["kept"]) == 1
        model = onnx.load(to)
        kinds = {i.name: i.data_type for i in model.graph.initializer}
        assert TensorProto.FLOAT16 in kinds.values() and TensorProto.FLOAT not in kinds.values(), kinds
        assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
        code, _, error = self.run(self.model, "-o", to, "--bfloat16", "--convert-io", "--verify")
        assert code == 0, error
        assert onnx.load(to).graph.input[0].type.tensor_type.elem_type == TensorProto.BFLOAT16


def check_commands(linnet, complaints):
    names = [name for name in vars(Commands) if not name.startswith("_") and name not in ("run", "refused")]
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                getattr(Commands(linnet, Path(folder).resolve()), name)()
            except AssertionError as error:
                complaints[name] = repr(error)
    return sum(name not in complaints for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help="only models whose name has one of these parts")
    parser.add_argument("--linnet", type=Path, default=conformance.ROOT / "build/release/linnet")
    parser.add_argument("--all", action="store_true", help="every shared model")
    parser.add_argument("--float16", action="store_true", help="with 16-bit floats, at the level extended")
    arguments = parser.parse_args()
    models = Path(os.environ.get("LINNET_SHARED", conformance.ROOT / "../shared")).resolve() / "models"
    skipped, complaints = 0, {}
    passed = check_commands(arguments.linnet, complaints) if not arguments.part else 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch).resolve()
        chosen = CHOSEN
        made = scratch / "made"
        made_here(made)
        sources = {path.parent.name: path.parent for root in (made, models) for path in sorted(root.glob("*/model.onnx"))}
        everything = sorted(sources)
        names = everything if arguments.all else [name for name in everything if name in chosen or (made / name).is_dir()]
        if arguments.part:
            names = [name for name in everything if any(part in name for part in arguments.part)]
        folders = {}
        for name in names:
            small = sources[name].parent == made
            for level in ["float16"] if arguments.float16 else [*LEVELS, *(["float16"] if small else [])]:
                folder = scratch / f"{name}.{level}"
                folder.mkdir()
                command = [arguments.linnet, "optimize", sources[name] / "model.onnx", "-o", folder / "model.onnx", "--json", "--level"]
                done = subprocess.run([*command, *(["extended", "--float16"] if level == "float16" else [level])], capture_output=True, text=True)
                if done.returncode != 0:
                    complaints[folder.name] = done.stderr.strip() or f"ended with {done.returncode}"
                    continue
                report = json.loads(done.stdout)
                if report["nodes"]["after"] > report["nodes"]["before"] and level == "basic":
                    complaints[folder.name] = f"{report['nodes']['before']} nodes became {report['nodes']['after']}"
                for path in (sources[name]).iterdir():
                    if path.is_dir() or path.name == "meta.json":
                        (folder / path.name).symlink_to(path)
                folders[folder] = (sources[name], level)
        half = [folder for folder, (_, level) in folders.items() if level == "float16"]
        results = conformance.check_all(arguments.linnet, [folder for folder in folders if folder not in half], [])
        results |= conformance.check_all(arguments.linnet, half, ["--rtol", "0.05", "--atol", "0.05"])
        for folder, (original, level) in folders.items():
            result = results.get(folder, {"status": "crash", "message": "no result"})
            if result["status"] != "pass":
                complaints.setdefault(folder.name, f"{result['status']}: {result.get('message', '')}")
            if level == "all":
                continue
            model = onnx.load(folder / "model.onnx", load_external_data=False)
            before = domains_of(onnx.load(original / "model.onnx", load_external_data=False).graph)
            for domain in domains_of(model.graph) - before:
                if level not in OWN_DOMAINS.get(domain, ()):
                    complaints.setdefault(folder.name, f"has operators of '{domain}'")
            complaint = standard_complaint(folder / "model.onnx")
            if complaint and not standard_complaint(original / "model.onnx"):
                complaints.setdefault(folder.name, f"is no valid ONNX: {complaint}")
            meta = json.loads((original / "meta.json").read_text())
            tolerance = (max(meta["rtol"], 2e-2), max(meta["atol"], 1e-3)) if level == "float16" else (meta["rtol"], meta["atol"])
            if original.name in ROUNDS_INPUTS:
                tolerance = (0.05, 0.05)
            verdict = in_onnxruntime(original, folder, *tolerance)
            if verdict is None:
                skipped += 1
            elif verdict:
                complaints.setdefault(folder.name, f"in ONNX Runtime: {verdict}")
        passed += len(folders) - sum(folder.name in complaints for folder in folders)
    for name, complaint in complaints.items():
        print(f"{name}: {complaint}")
    print(f"{passed} passed, {len(complaints)} failed, {skipped} skipped")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
