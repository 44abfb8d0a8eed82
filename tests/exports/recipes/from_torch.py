"""From a PyTorch module to a Product, by either of PyTorch's exporters."""

import contextlib
import inspect
import io
import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from recipes.product import Product

logging.getLogger("torch.onnx").setLevel(logging.ERROR)
torch.backends.mha.set_fastpath_enabled(False)  # the fused encoder layer has no ONNX form
VERSION = torch.__version__.split("+")[0]


def randomise(module, gain=1.3):
    """Weights of a sensible scale; no bias, gain or statistic stays at 0 or 1."""
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    with torch.no_grad():
        for parameter in module.parameters():
            if id(parameter) in embeddings:
                parameter.normal_(0.0, 0.6)
            elif parameter.dim() >= 2 and parameter[0].numel() > 1:
                parameter.normal_(0.0, gain / parameter[0].numel() ** 0.5)
            elif parameter.is_floating_point():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        for norm in module.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 1.5)
    return module.eval()


def flat(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for element in value for tensor in flat(element)]


def without_stack_traces(model):
    """The exporter notes the source line of each node, a path of the machine at hand."""
    for body in [model.graph, *model.functions]:
        for node in body.node:
            del node.metadata_props[:]
        for value in [*body.value_info, *getattr(body, "input", []), *getattr(body, "output", [])]:
            if not isinstance(value, str):
                del value.metadata_props[:]
    return model


def export(module, case, inputs, outputs, opset, dynamo):
    if not dynamo:
        buffer = io.BytesIO()
        torch.onnx.export(module, case, buffer, input_names=list(inputs), output_names=list(outputs), opset_version=opset, dynamo=False,
                          dynamic_axes={name: axes for name, axes in {**inputs, **outputs}.items() if axes})  # fmt: skip
        return onnx.load_from_string(buffer.getvalue())
    shapes = [{axis: torch.export.Dim.DYNAMIC for axis in axes} or None for axes in inputs.values()]
    shapes = dict(inspect.signature(module.forward).bind(*shapes).arguments)  # those of *values are one tuple
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "model.onnx"
        torch.onnx.export(module, case, path, input_names=list(inputs), output_names=list(outputs), opset_version=opset, dynamo=True,
                          dynamic_shapes=shapes, external_data=False, verbose=False)  # fmt: skip
        return without_stack_traces(onnx.load(path))


def from_torch(module, cases, inputs, outputs, opset, dynamo, **fields):
    """inputs, outputs: name -> {axis: its name}. The export is made with the last case."""
    module.eval()
    with torch.no_grad():
        expected = [[tensor.numpy() for tensor in flat(module(*case))] for case in cases]
        model = export(module, cases[-1], inputs, outputs, opset, dynamo)
    kept = [list(inputs).index(value.name) for value in model.graph.input]
    return Product(model, [[np.asarray(case[k]) for k in kept] for case in cases], expected, f"torch {VERSION} dynamo={dynamo}", f"torch {VERSION}", **fields)
