#!/usr/bin/env python3
"""Quantisation without calibration side by side: `linnet quantize dynamic` and onnxruntime.quantization.quantize_dynamic,
`linnet quantize weights` and its MatMulNBitsQuantizer.

Size beside the float model's, and the least cosine of an output with the float model's, mean over samples. Both files are
run by both engines: ONNX Runtime's 8-bit products saturate on machines without VNNI, Linnet's are exact.

    python bench/quantize/dynamic.py --linnet build/release/linnet MODEL[:INPUTS]... [--scheme per-tensor,per-channel,4-bit]

INPUTS is a folder with an .npy file for each input. The further samples are made of the first: integers in another
order, noise with the same mean and deviation.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import quantize_dynamic

SCHEMES = {
    "per-tensor": (["dynamic"], lambda a, b: quantize_dynamic(a, b)),
    "per-channel": (["dynamic", "--per-channel"], lambda a, b: quantize_dynamic(a, b, per_channel=True)),
    "4-bit": (["weights", "--bits", "4"], lambda a, b: quantize_blocks(a, b, True)),
    "4-bit asymmetric": (["weights", "--bits", "4", "--asymmetric"], lambda a, b: quantize_blocks(a, b, False)),
    "4-bit hqq": (["weights", "--bits", "4", "--method", "hqq"], None),
}


def quantize_blocks(source, target, symmetric):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer  # wants the package onnx_ir

    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=32, is_symmetric=symmetric)
    quantizer.process()
    quantizer.model.save_model_to_file(target)


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def file_name(name):
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name) + ".npy"


def make_samples(model, folder, count):
    first = {port.name: np.load(Path(folder) / file_name(port.name)) for port in model.get_inputs()}
    rng = np.random.default_rng(1)
    samples = [first]
    for _ in range(count - 1):
        sample = {}
        for name, array in first.items():
            if array.dtype.kind != "f":
                sample[name] = rng.permutation(array.ravel()).reshape(array.shape)
            else:
                noise = rng.standard_normal(array.shape) * array.std() + array.mean() if array.size else array
                sample[name] = noise.astype(array.dtype)
        samples.append(sample)
    return samples


def run_linnet(linnet, path, sample, names, work):
    source, target = work / "in", work / "result"
    source.mkdir(exist_ok=True)
    for name, array in sample.items():
        np.save(source / file_name(name), array)
    subprocess.run([linnet, "bench", str(path), "--inputs", str(source), "--threads", "1", "--warmup", "0", "--min-seconds", "0",
                    "--min-runs", "1", "--json", "--save-outputs", str(target)], check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    return [np.load(target / file_name(name)) for name in names]


def least_cosine(expected, outputs):
    least = 1.0
    for a, b in zip(expected, outputs):
        if a.dtype.kind != "f" or not a.size:
            continue
        a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
        least = min(least, a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))
    return least


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--linnet", default="build/release/linnet")
    parser.add_argument("--scheme", default="per-tensor,per-channel")
    parser.add_argument("--samples", type=int, default=3)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    print("| model | scheme | size, Linnet / ORT | run by Linnet: Linnet's / ORT's | run by ORT: Linnet's / ORT's | seconds |")
    print("|---|---|---|---|---|---|", flush=True)
    for spec in args.models:
        path, _, folder = spec.partition(":")
        reference = session(path)
        names = [port.name for port in reference.get_outputs()]
        samples = make_samples(reference, folder, args.samples)
        expected = [reference.run(None, sample) for sample in samples]
        for scheme in args.scheme.split(","):
            options, theirs = SCHEMES[scheme]
            with tempfile.TemporaryDirectory() as work:
                work = Path(work)
                cells = {}
                for who in "linnet", "ort":
                    out, begin = work / f"{who}.onnx", time.time()
                    if who == "linnet":
                        subprocess.run([args.linnet, "quantize", *options, path, "-o", str(out)], check=True, stdout=subprocess.DEVNULL)
                    elif theirs:
                        theirs(path, str(out))
                    else:
                        continue
                    seconds = time.time() - begin
                    model = session(out)
                    cells[who] = (
                        f"{os.path.getsize(out) / os.path.getsize(path):.3f}",
                        f"{np.mean([least_cosine(e, run_linnet(args.linnet, out, s, names, work)) for e, s in zip(expected, samples)]):.5f}",
                        f"{np.mean([least_cosine(e, model.run(None, s)) for e, s in zip(expected, samples)]):.5f}",
                        f"{seconds:.1f}",
                    )
                columns = " | ".join(" / ".join(cells[who][i] if who in cells else "-" for who in ("linnet", "ort")) for i in range(4))
                print(f"| {Path(path).stem} | {scheme} | {columns} |", flush=True)


if __name__ == "__main__":
    main()
