#!/usr/bin/env python3
"""Static quantisation side by side: `linnet quantize static` and onnxruntime.quantization.quantize_static.

Both calibrate on the same samples with the same options and are judged by ONNX Runtime, without graph optimisation,
against the float model on other samples: the mean cosine of the outputs and how often the greatest output is the same.

    python bench/quantize/static.py --linnet build/release/linnet MODEL... [--methods minmax,entropy] [--json OUT]

A MODEL is an .onnx file whose one float input is made up of smooth random images, or `NAME=FILE:FOLDER` with a folder
of .npz samples, of which the first half calibrates.
"""
import argparse
import contextlib
import json
import logging
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.quantization.shape_inference import quant_pre_process

METHODS = {"minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy,
           "percentile": CalibrationMethod.Percentile, "mse": None}
FORMATS = {"qdq": QuantFormat.QDQ, "qoperator": QuantFormat.QOperator}
TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8, "int16": QuantType.QInt16, "uint16": QuantType.QUInt16}


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.rest = iter(samples)

    def get_next(self):
        return next(self.rest, None)


def smooth_image(shape, rng):
    """Noise of several frequencies, normalised as pictures are."""
    image = np.zeros(shape, np.float32)
    for size in (2, 4, 8, 16, 56):
        grid = rng.standard_normal((*shape[:2], size, size)).astype(np.float32)
        rows = np.linspace(0, size - 1, shape[2]).astype(int)
        columns = np.linspace(0, size - 1, shape[3]).astype(int)
        image += grid[:, :, rows][:, :, :, columns] * rng.uniform(0.3, 1)
    return image / image.std() * rng.uniform(0.5, 1.2) + rng.uniform(-0.5, 0.5)


def make_samples(model, count):
    port = onnx.load(model, load_external_data=False).graph.input[0]
    shape = [d.dim_value or 1 for d in port.type.tensor_type.shape.dim]
    rng = np.random.default_rng(1)
    return [{port.name: smooth_image(shape, rng)} for _ in range(count)]


def session(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def judge(path, samples, expected):
    cosines, same = [], []
    model = session(path)
    for sample, reference in zip(samples, expected):
        output = model.run(None, sample)[0].astype(np.float64).ravel()
        reference = reference.astype(np.float64).ravel()
        norm = np.linalg.norm(output) * np.linalg.norm(reference)
        cosines.append(output @ reference / norm if norm else 0.0)
        same.append(output.argmax() == reference.argmax())
    return float(np.mean(cosines)), float(np.mean(same))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--linnet", default="build/release/linnet")
    parser.add_argument("--methods", default="minmax,entropy,percentile,mse")
    parser.add_argument("--format", default="qdq", choices=["qdq", "qoperator"])
    parser.add_argument("--activation-type", default="int8", choices=sorted(TYPES))
    parser.add_argument("--per-channel", action="store_true")
    parser.add_argument("--samples", type=int, default=8, help="for calibration, and as many to judge")
    parser.add_argument("--json")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    rows = []
    for spec in args.models:
        if "=" in spec:
            name, rest = spec.split("=", 1)
            path, folder = rest.rsplit(":", 1)
            samples = [dict(np.load(f)) for f in sorted(Path(folder).glob("*.npz"))]
        else:
            name, path = Path(spec).stem, spec
            samples = make_samples(path, 2 * args.samples)
        calibration, test = samples[: len(samples) // 2], samples[len(samples) // 2 :]
        reference = session(path)
        expected = [reference.run(None, s)[0] for s in test]
        with tempfile.TemporaryDirectory() as work:
            work = Path(work)
            (work / "samples").mkdir()
            for i, sample in enumerate(calibration):
                np.savez(work / "samples" / f"{i:04}.npz", **sample)
            quant_pre_process(path, str(work / "prepared.onnx"), skip_symbolic_shape=True)
            for method in args.methods.split(","):
                row = {"model": name, "method": method}
                command = [args.linnet, "quantize", "static", path, "-o", str(work / "ours.onnx"), "--calibrate",
                           str(work / "samples"), "--calibrate-method", method, "--format", args.format,
                           "--activation-type", args.activation_type] + ["--per-channel"] * args.per_channel
                begin = time.time()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                row["linnet_seconds"] = time.time() - begin
                row["linnet"] = judge(work / "ours.onnx", test, expected)
                row["linnet_bytes"] = os.path.getsize(work / "ours.onnx")
                if METHODS[method] is not None:
                    begin = time.time()
                    try:
                        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                            quantize_static(str(work / "prepared.onnx"), str(work / "theirs.onnx"),
                                            Reader(calibration), quant_format=FORMATS[args.format],
                                            calibrate_method=METHODS[method], per_channel=args.per_channel,
                                            activation_type=TYPES[args.activation_type], weight_type=QuantType.QInt8)
                        row["onnxruntime_seconds"] = time.time() - begin
                        row["onnxruntime"] = judge(work / "theirs.onnx", test, expected)
                        row["onnxruntime_bytes"] = os.path.getsize(work / "theirs.onnx")
                    except Exception as error:
                        row["onnxruntime_error"] = str(error)
                rows.append(row)
                missing = "fails" if "onnxruntime_error" in row else "-"
                both = [f"{row[k][0]:.5f} {row[k][1]:.2f} {row[k + '_seconds']:.1f} s" if k in row else missing
                        for k in ("linnet", "onnxruntime")]
                print(f"| {name} | {method} | {both[0]} | {both[1]} |", flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
