"""Conversions between Python objects and native values that are no mere reinterpretation of memory."""

from __future__ import annotations

import functools
from typing import Any, Mapping

import numpy as np

from . import _native
from ._errors import InvalidArgumentError

TENSOR, SEQUENCE, MAP = 1, 2, 3
FLOAT, STRING = 1, 8

_NUMPY = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128",
}  # fmt: skip
# Types of the package ml_dtypes: one or two bytes an element there, some of them packed here.
_ML_DTYPES = {
    16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz",
    21: "uint4", 22: "int4", 23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
}  # fmt: skip
_PACKED_BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}
_NUMBERS = {name: number for number, name in (_NUMPY | _ML_DTYPES).items()}


@functools.cache
def numpy_dtype(number: int) -> np.dtype:
    """The numpy dtype of an ONNX element type."""
    if number == STRING:
        return np.dtype(object)
    if number in _NUMPY:
        return np.dtype(_NUMPY[number])
    if number not in _ML_DTYPES:
        raise InvalidArgumentError(f"{number} is no element type of ONNX")
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError(f"elements of type {_native.dtype_name(number)} need the package ml_dtypes") from None
    return np.dtype(getattr(ml_dtypes, _ML_DTYPES[number]))


def dtype_number(dtype: Any) -> int:
    """The ONNX element type of a numpy dtype, or of a number that is one already."""
    if isinstance(dtype, int):
        return dtype
    dtype = np.dtype(dtype)
    if dtype.kind in "OUST":
        return STRING
    if dtype.name not in _NUMBERS:
        raise InvalidArgumentError(f"ONNX has no element type for numpy's {dtype}")
    return _NUMBERS[dtype.name]


def _pack(array: np.ndarray, bits: int) -> np.ndarray:
    codes = array.view(np.uint8).ravel() & ((1 << bits) - 1)
    per_byte = 8 // bits
    codes = np.pad(codes, (0, -codes.size % per_byte)).reshape(-1, per_byte)
    return np.bitwise_or.reduce(codes << (np.arange(per_byte, dtype=np.uint8) * bits), axis=1, dtype=np.uint8)


def _unpack(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    codes = packed[:, None] >> (np.arange(8 // bits, dtype=np.uint8) * bits)
    return (codes & ((1 << bits) - 1)).ravel()[:count].astype(np.uint8)


def array_to_value(array: np.ndarray) -> _native.OrtValue:
    """A tensor that borrows the array's memory where it can."""
    number = dtype_number(array.dtype)
    shape = list(array.shape)
    if number == STRING:
        texts = array.astype(object) if array.dtype.kind == "T" else array
        flat = texts.ravel().tolist()
        if not all(isinstance(text, (str, bytes)) for text in flat):
            raise InvalidArgumentError("the elements of a string tensor must be str or bytes")
        return _native.make_strings(flat, shape)
    array = np.require(array.astype(array.dtype.newbyteorder("="), copy=False), requirements=["C", "A"])
    if number in _PACKED_BITS:
        packed = _pack(array, _PACKED_BITS[number])
        return _native.borrow_array(packed, number, shape)
    if number in _ML_DTYPES:  # a buffer has no name for them
        array = array.reshape(-1).view(np.uint16 if array.itemsize == 2 else np.uint8)
    return _native.borrow_array(array, number, shape)


def to_value(obj: Any, kind: int = TENSOR, dtype: int = 0, key_dtype: int = 0) -> _native.OrtValue:
    """The native value of an argument; what a port expects decides how lists, dicts and plain numbers are read."""
    if isinstance(obj, _native.OrtValue):
        return obj
    if obj is None:
        return _native.make_none()
    if kind == MAP or (kind == SEQUENCE and isinstance(obj, Mapping)):
        if not isinstance(obj, Mapping):
            raise InvalidArgumentError(f"a dict is expected, not {type(obj).__name__}")
        keys = np.asarray(list(obj.keys()), dtype=numpy_dtype(key_dtype) if key_dtype else None)
        values = np.asarray(list(obj.values()), dtype=numpy_dtype(dtype) if dtype else None)
        return _native.make_map(array_to_value(keys), array_to_value(values))
    if kind == SEQUENCE:
        if not isinstance(obj, (list, tuple)):
            raise InvalidArgumentError(f"a list is expected, not {type(obj).__name__}")
        elements = [to_value(element, MAP if isinstance(element, Mapping) else TENSOR, dtype, key_dtype) for element in obj]
        return _native.make_sequence(dtype or (elements[0].dtype if elements else FLOAT), elements)
    if isinstance(obj, np.ndarray):
        return array_to_value(obj)
    if hasattr(obj, "__dlpack__"):
        return _native.OrtValue.from_dlpack(obj)
    if hasattr(obj, "__array__"):
        return array_to_value(np.asarray(obj))
    try:  # numbers, strings and nested lists of them
        return array_to_value(np.asarray(obj, dtype=numpy_dtype(dtype) if dtype else None))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgumentError(f"no tensor can be made of {type(obj).__name__}: {error}") from None


def refuse_type(name: str, expected: int, given: int) -> None:
    """Raises for an input of another element type."""
    message = f"input '{name}' must be a tensor({_native.dtype_name(expected)}), not a tensor({_native.dtype_name(given)})"
    if STRING not in (expected, given):
        dtype = (_NUMPY | _ML_DTYPES)[expected]
        package = "" if dtype == "bool" else "np." if expected in _NUMPY else "ml_dtypes."
        message += f"; array.astype({package}{dtype}) converts it"
    raise InvalidArgumentError(message)


def to_python(value: _native.OrtValue) -> Any:
    """What to_value took, of the kinds that _native does not convert itself."""
    if value.kind == MAP:
        keys, entries = value._at(0).numpy(), value._at(1).numpy()
        return dict(zip(keys.tolist(), entries.tolist()))
    if value.kind == SEQUENCE:
        return [value._at(i).numpy() for i in range(len(value))]
    if value.kind != TENSOR:
        return None
    if value.dtype == STRING:
        array = np.empty(len(value), dtype=object)
        array[:] = value._strings()
        return array.reshape(value.shape())
    dtype, bits = numpy_dtype(value.dtype), value._bits()
    if value.dtype in _PACKED_BITS:
        codes = _unpack(bits, _PACKED_BITS[value.dtype], len(value))
        if value.dtype in (22, 26):  # two's complement
            sign = 1 << (_PACKED_BITS[value.dtype] - 1)
            codes = (codes ^ sign).astype(np.int8) - np.int8(sign)
            return codes.astype(dtype).reshape(value.shape())
        return codes.view(dtype).reshape(value.shape())
    return bits.view(dtype).reshape(value.shape())
