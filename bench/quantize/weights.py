#!/usr/bin/env python3
"""Weights in blocks of few bits: `linnet quantize weights` by each method beside ONNX Runtime's MatMulNBitsQuantizer.

Size is that of the file beside the float model's. Quality is of what ONNX Runtime computes with the file, on samples that
calibration has not seen: the cosine with the float model's first output, and for models of text the mean divergence
(Kullback-Leibler, in nats) of its distributions over the vocabulary. The samples are random: whole numbers up to the
greatest of the given input, noise with its mean and deviation.

    python bench/quantize/weights.py --linnet build/release/linnet MODEL:INPUTS... [--bits 4] [--block 32] [--schemes nearest,gptq]

INPUTS is a folder with an .npy file for each input. ONNX Runtime's quantiser wants the package onnx_ir.
"""

import argparse
import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

OURS = {
    "nearest": [],
    "nearest, asymmetric": ["--asymmetric"],
    "hqq": ["--method", "hqq"],
    "gptq": ["--method", "gptq"],
    "gptq, asymmetric": ["--method", "gptq", "--asymmetric"],
    "gptq --actorder": ["--method", "gptq", "--actorder"],
}
THEIRS = {"ORT": True, "ORT, asymmetric": False, "ORT gptq": True}


class Reader:
    """CalibrationDataReader."""

    def __init__(self, samples):
        self.samples = iter(samples)

    def __iter__(self):  # as its gptq wants it
        return self.samples

    def get_next(self):
        return next(self.samples, None)


def quantize_theirs(scheme, source, target, samples, bits, block):
    from onnxruntime.quantization import matmul_nbits_quantizer as q

    config = q.DefaultWeightOnlyQuantConfig(block_size=block, is_symmetric=THEIRS[scheme], bits=bits)
    if scheme == "ORT gptq":
        # It imports torch to ask whether samples are its tensors.
        sys.modules.setdefault("torch", types.SimpleNamespace(Tensor=type(None)))
        config = q.GPTQWeightOnlyQuantConfig(Reader(samples), block_size=128)
    quantizer = q.MatMulNBitsQuantizer(onnx.load(source), block_size=block, is_symmetric=THEIRS[scheme], algo_config=config)
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        quantizer.process()
    quantizer.model.save_model_to_file(str(target))


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def file_name(name):
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name) + ".npy"


def make_samples(model, folder, count, seed):
    first = {port.name: np.load(Path(folder) / file_name(port.name)) for port in model.get_inputs()}
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(count):
        sample = {}
        for name, array in first.items():
            if array.dtype.kind == "f":
                noise = rng.standard_normal(array.shape) * array.std() + array.mean() if array.size else array
                sample[name] = noise.astype(array.dtype)
            else:
                same = not array.size or array.min() == array.max()
                sample[name] = array if same else rng.integers(0, array.max() + 1, array.shape).astype(array.dtype)
        samples.append(sample)
    return samples


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def judge(expected, outputs):
    cosines, divergences = [], []
    for a, b in zip(expected, outputs):
        a, b = a.astype(np.float64), b.astype(np.float64)
        cosines.append((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
        if a.shape[-1] > 4096:
            p, q = log_softmax(a), log_softmax(b)
            divergences.append((np.exp(p) * (p - q)).sum(-1).mean())
    return np.mean(cosines), np.mean(divergences) if divergences else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL:INPUTS")
    parser.add_argument("--linnet", default="build/release/linnet")
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--block", type=int, default=32)
    parser.add_argument("--samples", type=int, default=16, help="for calibration")
    parser.add_argument("--judged", type=int, default=4)
    parser.add_argument("--schemes", help="separated by commas and no space")
    args = parser.parse_args()
    schemes = args.schemes.split(",") if args.schemes else [*OURS, *THEIRS]
    logging.disable(logging.WARNING)
    print("| model | method | size | cosine | divergence | seconds |")
    print("|---|---|--:|--:|--:|--:|", flush=True)
    for spec in args.models:
        path, _, folder = spec.partition(":")
        reference = session(path)
        output = reference.get_outputs()[0].name
        samples = make_samples(reference, folder, args.samples, 1)
        judged = make_samples(reference, folder, args.judged, 2)
        expected = [reference.run([output], sample)[0] for sample in judged]
        del reference
        for scheme in schemes:
            with tempfile.TemporaryDirectory() as work:
                out, calibration = Path(work) / "out.onnx", Path(work) / "samples"
                calibration.mkdir()
                begin = time.time()
                if scheme in THEIRS:
                    quantize_theirs(scheme, path, out, samples, args.bits, args.block)
                else:
                    options = ["--bits", str(args.bits), "--block", str(args.block), *OURS[scheme]]
                    if "gptq" in scheme:
                        for i, sample in enumerate(samples):
                            np.savez(calibration / f"{i}.npz", **sample)
                        options += ["--calibrate", str(calibration)]
                    subprocess.run([args.linnet, "quantize", "weights", *options, path, "-o", str(out)], check=True, stdout=subprocess.DEVNULL)
                seconds = time.time() - begin
                model = session(out)
                cosine, divergence = judge(expected, [model.run([output], sample)[0] for sample in judged])
                size = sum(f.stat().st_size for f in Path(work).iterdir() if f.is_file()) / os.path.getsize(path)
                divergence = "" if divergence is None else f"{divergence:.5f}"
                print(f"| {Path(path).stem} | {scheme} | {size:.3f} | {cosine:.5f} | {divergence} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
