"""The command line and ONNX Runtime, as the cases use them."""

import json
import subprocess

import numpy as np
import onnx
import onnxruntime as ort

LINNET = "build/release/linnet"
TIMEOUT_S = 120


def quantize(scheme, model, output, *options):
    """The report of `linnet quantize`."""
    command = [LINNET, "quantize", scheme, str(model), "-o", str(output), "--json", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}: {done.stderr}"
    return json.loads(done.stdout)


def refusal(scheme, model, output, *options):
    """The sentence with which `linnet quantize` refuses; no file is left."""
    command = [LINNET, "quantize", scheme, str(model), "-o", str(output), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 2, f"{' '.join(command)}: exit code {done.returncode}: {done.stdout}{done.stderr}"
    assert done.stderr.count("\n") == 1, done.stderr
    assert not output.exists()
    return done.stderr


def optimize(model, output, *options):
    command = [LINNET, "optimize", str(model), "-o", str(output), *map(str, options)]
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)


def operators_of_ort(model, scratch):
    """That ONNX Runtime runs in the end."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(scratch / "optimized.onnx")
    ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(scratch / "optimized.onnx").graph.node}


def run_ort(model, inputs, optimized):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"]).run(None, inputs)


def run_linnet(model, inputs, scratch, *options):
    np.savez(scratch / "inputs.npz", **inputs)
    command = [LINNET, "run", str(model), "--inputs", str(scratch / "inputs.npz"), "--save-outputs",
               str(scratch / "outputs"), *options]
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
    return [np.load(scratch / "outputs" / f"{o.name}.npy") for o in onnx.load(model).graph.output]


def cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
