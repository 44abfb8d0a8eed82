"""Runs a case with ONNX Runtime, with Linnet in several ways, and with onnx's own reference for a third opinion."""

import ctypes
import functools
from pathlib import Path

import linnet_c
import numpy as np
import onnx
import onnxruntime
from case import TYPE_NAMES
from linnet_c import BITS, DTYPES, KIND_NONE, number_of
from onnxruntime.capi import onnxruntime_pybind11_state as bound

# Those that onnxruntime hands over as numpy arrays of the right type.
onnxruntime.set_default_logger_severity(4)
PLAIN = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}


class NoKernel(Exception):
    """ONNX Runtime cannot run the case."""


def ort_value(array):
    number = number_of(array)
    raw = array
    if number in BITS:
        raw = linnet_c.pack(array, BITS[number])
    elif number not in PLAIN:
        raw = array.view(np.uint16 if array.itemsize == 2 else np.uint8)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(raw).reshape(raw.shape), number)


def content(value):
    """The content of an OrtValue."""
    if not value.has_value():
        return None
    if not value.is_tensor():
        return value.numpy() if not value.is_tensor_sequence() else [np.asarray(x) for x in value._ortvalue.to_list()]
    number, shape = value.element_type(), tuple(value.shape())
    if number in PLAIN:
        return np.asarray(value.numpy())
    count = int(np.prod(shape))
    size = (count * BITS[number] + 7) // 8 if number in BITS else count * DTYPES[number].itemsize
    raw = ctypes.string_at(value.data_ptr(), size) if size else b""
    return linnet_c.unpack(raw, number, shape) if number in BITS else np.frombuffer(raw, DTYPES[number]).reshape(shape)


def run_ort(data, inputs, shared=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        ports = [port.type for port in session.get_inputs()] + [port.type for port in session.get_outputs()]
        if all(port.startswith("tensor(") for port in ports) and "tensor(string)" not in ports[: len(inputs)]:
            if shared:  # it writes into some of them
                inputs = {name: array.copy() for name, array in inputs.items()}
            given = {name: ort_value(array) for name, array in inputs.items()}
            if shared:
                return run_bound(session, given, shared)
            return [content(value) for value in session.run_with_ort_values(None, given)]
        return [tidy(value) for value in session.run(None, inputs)]
    except Exception as error:  # its exceptions have no common base
        raise NoKernel(str(error)) from None


def run_bound(session, given, shared):
    binding = session.io_binding()
    for name, value in given.items():
        binding.bind_ortvalue_input(name, value)
    for port in session.get_outputs():
        if port.name in shared:
            binding.bind_ortvalue_output(port.name, given[shared[port.name]])
        else:
            binding.bind_output(port.name)
    session.run_with_iobinding(binding)
    return [content(value).copy() for value in binding.get_outputs()]  # some lie in the inputs' memory, which goes


def tidy(value):
    """Python results as the other engine gives them."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return value
    return [np.asarray(x) for x in value] if isinstance(value, list) else value


class Linnet:
    def __init__(self, path):
        self.library = linnet_c.Library(path)

    @functools.cache  # noqa: B019
    def engine(self, threads):
        return self.library.engine(threads)

    def run(self, data, inputs, threads=1, level=3):
        model = linnet_c.Model(self.library, self.engine(threads), data, level)
        return model.run(list(inputs.values()))


def run_reference(case):
    """What onnx's reference implementation says, or the case's own formula; or why neither says anything."""
    from onnx.reference import ReferenceEvaluator

    try:
        with np.errstate(all="ignore"):
            if case.formula:
                return case.formula()
            return [np.asarray(x) if not isinstance(x, (list, dict, type(None))) else x for x in ReferenceEvaluator(case.model).run(None, case.inputs)]
    except Exception as error:  # it raises whatever it meets
        return str(error)


def library_path(linnet):
    return Path(linnet).with_name("liblinnet.so")


@functools.cache
def kernel_table():
    """(domain, operator) -> [(first opset, last opset, {parameter: types})] of the CPU provider."""
    table = {}
    for kernel in bound.get_all_opkernel_def():
        if kernel.provider == "CPUExecutionProvider":
            constraints = {name: {t.removeprefix("tensor(").removesuffix(")") for t in types} for name, types in kernel.type_constraints.items()}
            table.setdefault((kernel.domain, kernel.op_name), []).append((*kernel.version_range, constraints))
    return table


def kernel_types(op, opset, parameter="T", domain=""):
    """Types of a parameter for which ONNX Runtime has a kernel, by name, in a fixed order."""
    found = set()
    for first, last, constraints in kernel_table().get((domain, op), []):
        if first <= opset <= last:
            found |= constraints.get(parameter, set())
    return sorted(found & TYPE_NAMES.keys())


@functools.cache
def versions(op, domain="", least=1, newest=26):
    """Operator sets that changed the operator."""
    return sorted({s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == op and s.domain == domain and least <= s.since_version <= newest and not s.deprecated})


__all__ = ["KIND_NONE", "Linnet", "NoKernel", "kernel_table", "kernel_types", "library_path", "run_ort", "run_reference", "versions"]
