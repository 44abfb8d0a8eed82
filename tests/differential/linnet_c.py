"""Linnet's C interface through ctypes, for tests and benchmarks.

Values are numpy arrays (small types as ml_dtypes has them, strings as objects), lists for sequences, dicts for maps, and
None for an optional without content.
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p

import ml_dtypes
import numpy as np

# onnx.TensorProto.DataType -> numpy
DTYPES = {
    number: np.dtype(dtype)
    for number, dtype in {
        1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 8: object, 9: np.bool_,
        10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64, 14: np.complex64, 15: np.complex128,
        16: ml_dtypes.bfloat16, 17: ml_dtypes.float8_e4m3fn, 18: ml_dtypes.float8_e4m3fnuz, 19: ml_dtypes.float8_e5m2,
        20: ml_dtypes.float8_e5m2fnuz, 21: ml_dtypes.uint4, 22: ml_dtypes.int4, 23: ml_dtypes.float4_e2m1fn,
        24: ml_dtypes.float8_e8m0fnu, 25: ml_dtypes.uint2, 26: ml_dtypes.int2,
    }.items()
}  # fmt: skip
NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}
KIND_NONE, KIND_TENSOR, KIND_SEQUENCE, KIND_MAP = range(4)


def number_of(array):
    return 8 if array.dtype.kind in "OUST" else NUMBERS[array.dtype]


def pack(array, bits):
    """Elements of less than a byte, low bits first."""
    per_byte = 8 // bits
    raw = array.ravel().view(np.uint8) & ((1 << bits) - 1)
    raw = np.concatenate([raw, np.zeros(-len(raw) % per_byte, np.uint8)]).reshape(-1, per_byte)
    return np.bitwise_or.reduce(raw << (np.arange(per_byte, dtype=np.uint8) * bits), axis=1).astype(np.uint8)


def unpack(raw, number, shape):
    bits = BITS[number]
    count = int(np.prod(shape))
    parts = (np.frombuffer(raw, np.uint8)[:, None] >> (np.arange(8 // bits, dtype=np.uint8) * bits)) & ((1 << bits) - 1)
    parts = parts.ravel()[:count].astype(np.uint8)
    dtype = DTYPES[number]
    if dtype.name.startswith("int"):  # ml_dtypes reads the sign from the whole byte
        return parts.view(np.int8).astype(np.int8).__lshift__(8 - bits).__rshift__(8 - bits).astype(dtype).reshape(shape)
    return (parts.view(dtype) if dtype.name.startswith("float") else parts.astype(dtype)).reshape(shape)


class LinnetError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class EngineOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("threads", c_size_t),
        ("memory_limit", c_size_t),
        ("runners", c_size_t),
        ("device", c_char_p),
        ("executor", c_void_p),
        ("executor_user", c_void_p),
        ("executor_release", c_void_p),
    ]


class View(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("kind", c_int),
        ("dtype", c_int),
        ("rank", c_size_t),
        ("shape", POINTER(c_int64)),
        ("count", c_int64),
        ("data", c_void_p),
        ("bytes", c_size_t),
    ]


class Library:
    def __init__(self, path):
        self.dll = ctypes.CDLL(str(path))
        self.dll.linnet_status_code.restype = c_int
        for name in ["linnet_status_message", "linnet_version"]:
            getattr(self.dll, name).restype = c_char_p
        for name in ["linnet_model_input_count", "linnet_model_output_count"]:
            getattr(self.dll, name).restype = c_size_t
        self.dll.linnet_value_string.restype = c_void_p
        self.dll.linnet_release.restype, self.dll.linnet_release.argtypes = None, [c_void_p]

    def call(self, name, *arguments):
        function = getattr(self.dll, name)
        function.restype = c_void_p
        status = function(*arguments)
        if status:
            held = c_void_p(status)
            error = LinnetError(self.dll.linnet_status_code(held), self.dll.linnet_status_message(held).decode())
            self.dll.linnet_release(held)
            raise error

    def make(self, name, *arguments):
        """Calls a function whose last parameter is the object that it makes."""
        out = c_void_p()
        self.call(name, *arguments, byref(out))
        return Handle(self, out)

    def engine(self, threads):
        options = EngineOptions(struct_size=ctypes.sizeof(EngineOptions), threads=threads)
        return self.make("linnet_engine_create", byref(options))

    def value(self, content):
        if content is None:
            return self.make("linnet_value_create_none")
        if isinstance(content, list):
            elements = [self.value(element) for element in content]
            number = number_of(content[0]) if content else 1
            array = (c_void_p * len(elements))(*[element.pointer for element in elements])
            return self.make("linnet_value_create_sequence", number, array, c_size_t(len(elements)))
        array = np.ascontiguousarray(content).reshape(np.shape(content))
        shape, rank = (c_int64 * array.ndim)(*array.shape), c_size_t(array.ndim)
        number = number_of(array)
        if number == 8:
            texts = [text if isinstance(text, bytes) else str(text).encode() for text in array.ravel().tolist()]
            return self.make("linnet_value_create_strings", (c_char_p * len(texts))(*texts), None, shape, rank)
        made = self.make("linnet_value_create_tensor", number, shape, rank)
        raw = pack(array, BITS[number]).tobytes() if number in BITS else array.tobytes()
        if raw:
            view = self.view(made)
            assert len(raw) <= view.bytes
            ctypes.memmove(view.data, raw, len(raw))
        return made

    def borrow(self, array):
        """A tensor over the memory of a contiguous array, which must outlive it."""
        shape = (c_int64 * array.ndim)(*array.shape)
        return self.make("linnet_value_borrow_tensor", number_of(array), shape, c_size_t(array.ndim), c_void_p(array.ctypes.data), c_size_t(array.nbytes), None, None)

    def view(self, value):
        view = View(struct_size=ctypes.sizeof(View))
        self.call("linnet_value_view", value.pointer, byref(view))
        return view

    def content(self, value):
        view = self.view(value)
        if view.kind == KIND_NONE:
            return None
        if view.kind != KIND_TENSOR:
            count = view.count if view.kind == KIND_SEQUENCE else 2
            elements = [self.content(self.make("linnet_value_at", value.pointer, c_size_t(i))) for i in range(count)]
            return dict(zip(*(element.tolist() for element in elements))) if view.kind == KIND_MAP else elements
        shape = tuple(view.shape[: view.rank])
        if view.dtype == 8:
            texts = np.empty(view.count, object)
            length = c_size_t()
            for i in range(texts.size):
                start = self.dll.linnet_value_string(value.pointer, c_size_t(i), byref(length))
                texts[i] = ctypes.string_at(start, length.value).decode()
            return texts.reshape(shape)
        raw = ctypes.string_at(view.data, view.bytes) if view.bytes else b""
        return unpack(raw, view.dtype, shape) if view.dtype in BITS else np.frombuffer(raw, DTYPES[view.dtype]).reshape(shape)


class Handle:
    def __init__(self, library, pointer):
        self.library, self.pointer = library, pointer

    def __del__(self):
        self.library.dll.linnet_release(self.pointer)


class Model:
    """A loaded model and a session of it."""

    def __init__(self, library, engine, data, level=3):
        self.library, self.engine = library, engine
        options = library.make("linnet_load_options_create")
        library.call("linnet_load_options_set_level", options.pointer, level)
        library.call("linnet_load_options_set_seed", options.pointer, ctypes.c_uint64(1))
        self.model = library.make("linnet_model_load_bytes", engine.pointer, data, c_size_t(len(data)), options.pointer)
        self.session = library.make("linnet_session_create", engine.pointer, self.model.pointer)

    def run(self, inputs):
        """Inputs and outputs in the model's order."""
        library = self.library
        held = [library.value(content) for content in inputs]
        given = (c_void_p * len(held))(*[value.pointer for value in held])
        count = library.dll.linnet_model_output_count(self.model.pointer)
        outputs = (c_void_p * count)()
        counts = c_size_t(len(held)), c_size_t(count)
        library.call("linnet_session_run", self.session.pointer, None, None, given, counts[0], None, outputs, counts[1])
        return [library.content(Handle(library, c_void_p(pointer))) for pointer in outputs]
