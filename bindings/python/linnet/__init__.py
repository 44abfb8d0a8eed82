"""Linnet: small, fast inference of ONNX models.

    model = linnet.load("model.onnx")
    y = model(x=array)

InferenceSession, SessionOptions, RunOptions, IOBinding and OrtValue have the names that users of onnxruntime know.
"""

import atexit as _atexit

from . import _native
from ._errors import (
    CallbackError,
    CancelledError,
    ClosedError,
    DeadlineExceededError,
    Error,
    InternalError,
    InvalidArgumentError,
    InvalidModelError,
    IoError,
    MissingFileError,
    NotFoundError,
    OutOfMemoryError,
    UnknownNameError,
    UnsupportedError,
)
from ._model import Model, load
from ._native import Engine, OrtValue, Task
from ._session import (
    ExecutionMode,
    GraphOptimizationLevel,
    InferenceSession,
    IOBinding,
    ModelMetadata,
    NodeArg,
    RunOptions,
    SessionOptions,
)
from ._writing import (
    CalibrationDataReader,
    CalibrationMethod,
    Explain,
    QuantFormat,
    QuantType,
    compile,
    optimize,
    quantize_dynamic,
    quantize_static,
    quantize_weights,
    tune,
)

__version__ = _native.version()

__all__ = [
    "CalibrationDataReader", "CalibrationMethod", "CallbackError", "CancelledError", "ClosedError", "DeadlineExceededError", "Engine", "Error", "ExecutionMode", "Explain",
    "GraphOptimizationLevel", "IOBinding", "InferenceSession", "InternalError", "InvalidArgumentError",
    "InvalidModelError", "IoError", "MissingFileError", "Model", "ModelMetadata", "NodeArg", "NotFoundError", "OrtValue", "OutOfMemoryError",
    "QuantFormat", "QuantType", "RunOptions", "SessionOptions", "Task", "UnknownNameError", "UnsupportedError", "get_all_providers", "get_available_providers",
    "compile", "get_device", "has_feature", "load", "optimize",
    "quantize_dynamic", "quantize_static", "quantize_weights", "tune",
]  # fmt: skip


def get_available_providers() -> list[str]:
    return ["CPUExecutionProvider"]


get_all_providers = get_available_providers


def get_device() -> str:
    return "CPU"


def has_feature(name: str) -> bool:
    """Whether this build on this machine has "device:cpu", "isa:avx2" (in use), or an operator, "op:ai.onnx.Conv"."""
    return _native.has_feature(name)


# What nobody has waited for would call back into an interpreter that is gone.
_atexit.register(_native.cancel_all)
_atexit.register(_native.cancel_writing)
