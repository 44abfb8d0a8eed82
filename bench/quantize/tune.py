#!/usr/bin/env python3
"""What `linnet tune` chose beside the presets of ONNX Runtime: the optimised float model, quantize_dynamic, and
quantize_static with MinMax, each as it is and with a scale for each channel.

Loss is 1 less the mean cosine with the float model's output, of the worst output, each result run by its own runtime.
Times are medians of runs in turns: a process of `linnet bench` of half a second, then half a second of each preset, and
again. Memory is the peak of a process that loads and runs the model, for ONNX Runtime less what Python has before.

    python bench/quantize/tune.py --linnet build/release/linnet MODEL.onnx TUNED.onnx SAMPLES [--threads 1] [--json OUT]

SAMPLES is a folder of .npz archives, of subfolders with a .npy for each input, or of .npy files of a model with one.
"""
import argparse
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from static import Reader

PEAK = """
import sys
import numpy as np, onnxruntime as ort
def status(key):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(key))
options = ort.SessionOptions(); options.intra_op_num_threads = int(sys.argv[3]); options.log_severity_level = 3
before = status("VmRSS")
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
session.run(None, dict(np.load(sys.argv[2])))
print(status("VmHWM") - before)
"""


def read_samples(folder, names):
    samples = [dict(np.load(f)) for f in sorted(folder.glob("*.npz"))]
    samples += [{name: np.load(f / f"{name}.npy") for name in names} for f in sorted(folder.iterdir()) if f.is_dir()]
    samples = samples or [{names[0]: np.load(f)} for f in sorted(folder.glob("*.npy"))]
    return samples or sys.exit(f"{folder} has no .npz archives, no folders and no .npy files")


def open_session(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def loss(expected, outputs):
    """By sample and output."""
    return 1 - min(np.mean([cosine(e[k], o[k]) for e, o in zip(expected, outputs)]) for k in range(len(expected[0])))


def make_presets(model, samples, folder):
    prepared = folder / "prepared.onnx"
    with contextlib.redirect_stdout(sys.stderr):
        quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    presets = {"float": model}
    for per_channel in (False, True):
        text = " per channel" if per_channel else ""
        path = presets[f"quantize_dynamic{text}"] = folder / f"dynamic{per_channel}.onnx"
        quantize_dynamic(str(prepared), str(path), per_channel=per_channel)
        path = folder / f"static{per_channel}.onnx"
        try:
            quantize_static(str(prepared), str(path), Reader(samples), quant_format=QuantFormat.QDQ, per_channel=per_channel,
                            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)  # fmt: skip
            presets[f"quantize_static{text}"] = path
        except Exception as error:  # its exceptions have no common base
            print(f"quantize_static{text}: {error}", file=sys.stderr)
    return presets


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--linnet", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    reference = open_session(arguments.model, arguments.threads)
    names = [i.name for i in reference.get_inputs()]
    samples = read_samples(arguments.samples, names)
    expected = [reference.run(None, s) for s in samples]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        presets = make_presets(arguments.model, samples, folder)
        np.savez(folder / "first.npz", **samples[0])
        inputs, outputs = folder / "inputs", folder / "outputs"
        inputs.mkdir()
        bench = [arguments.linnet, "bench", str(arguments.tuned), "--inputs", str(inputs), "--threads", str(arguments.threads), "--json"]
        answers = []
        for sample in samples:
            for name, value in sample.items():
                np.save(inputs / f"{name}.npy", value)
            done = subprocess.run([*bench, "--min-seconds", "0", "--min-runs", "1", "--save-outputs", str(outputs)], check=True, capture_output=True, text=True)
            answers.append([np.load(outputs / f"{o.name}.npy") for o in reference.get_outputs()])
        for name, value in samples[0].items():
            np.save(inputs / f"{name}.npy", value)
        rows = {"linnet tune": {"loss": loss(expected, answers), "bytes": arguments.tuned.stat().st_size, "ms": [],
                                "memory": json.loads(done.stdout)["peak_rss_bytes"]}}  # fmt: skip
        sessions = {}
        for name, path in presets.items():
            sessions[name] = open_session(path, arguments.threads)
            peak = subprocess.run([sys.executable, "-c", PEAK, str(path), str(folder / "first.npz"), str(arguments.threads)], check=True, capture_output=True, text=True)
            rows[name] = {"loss": loss(expected, [sessions[name].run(None, s) for s in samples]), "bytes": path.stat().st_size, "ms": [], "memory": int(peak.stdout)}
        for _ in range(arguments.rounds):
            done = subprocess.run([*bench, "--min-seconds", "0.5"], check=True, capture_output=True, text=True)
            rows["linnet tune"]["ms"].append(json.loads(done.stdout)["p50_ms"])
            for name, session in sessions.items():
                times, begin = [], time.perf_counter()
                while time.perf_counter() - begin < 0.5 or len(times) < 5:
                    start = time.perf_counter()
                    session.run(None, samples[0])
                    times.append((time.perf_counter() - start) * 1e3)
                rows[name]["ms"].append(statistics.median(times))
    print("| | loss | size, MB | memory, MB | median, ms |\n|---|--:|--:|--:|--:|")
    for name, row in rows.items():
        row["ms"] = statistics.median(row["ms"])
        print(f"| {name} | {row['loss']:.6f} | {row['bytes'] / 1e6:.1f} | {row['memory'] / 1e6:.0f} | {row['ms']:.1f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
