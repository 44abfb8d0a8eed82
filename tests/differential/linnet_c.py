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
        ("executor", c_void_p),
        ("executor_user", c_void_p),
    ]


class Library:
    def __init__(self, path):
        self.dll = ctypes.CDLL(str(path))
        results = {
            c_int: ["linnet_status_code", "linnet_value_kind", "linnet_value_dtype"],
            c_char_p: ["linnet_status_message", "linnet_version"],
            c_size_t: ["linnet_value_rank", "linnet_value_size", "linnet_value_length", "linnet_model_input_count", "linnet_model_output_count"],
            POINTER(c_int64): ["linnet_value_shape"],
            c_int64: ["linnet_value_element_count"],
        }
        for result, names in results.items():
            for name in names:
                getattr(self.dll, name).restype = result
        for name in ["status", "engine", "value", "load_options", "model", "session", "binding"]:
            release = getattr(self.dll, f"linnet_{name}_release")
            release.restype, release.argtypes = None, [c_void_p]
        self.dll.linnet_load_options_create.restype = c_void_p
        self.dll.linnet_value_data.restype = c_void_p
        self.dll.linnet_value_string.restype = c_void_p

    def call(self, name, *arguments):
        function = getattr(self.dll, name)
        function.restype = c_void_p
        status = function(*arguments)
        if status:
            held = c_void_p(status)
            error = LinnetError(self.dll.linnet_status_code(held), self.dll.linnet_status_message(held).decode())
            self.dll.linnet_status_release(held)
            raise error

    def make(self, name, *arguments):
        """Calls a function whose last parameter is the object that it makes."""
        out = c_void_p()
        self.call(name, *arguments, byref(out))
        return Handle(self, out, name.split("_")[1])

    def engine(self, threads):
        options = EngineOptions(ctypes.sizeof(EngineOptions), threads, 0, None, None)
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
            return self.make("linnet_value_create_strings", (c_char_p * len(texts))(*texts), shape, rank)
        made = self.make("linnet_value_create_tensor", number, shape, rank)
        raw = pack(array, BITS[number]).tobytes() if number in BITS else array.tobytes()
        if raw:
            assert len(raw) <= self.dll.linnet_value_size(made.pointer)
            ctypes.memmove(self.dll.linnet_value_data(made.pointer), raw, len(raw))
        return made

    def borrow(self, array):
        """A tensor over the memory of a contiguous array, which must outlive it."""
        shape = (c_int64 * array.ndim)(*array.shape)
        return self.make("linnet_value_borrow_tensor", number_of(array), shape, c_size_t(array.ndim), c_void_p(array.ctypes.data), c_size_t(array.nbytes))

    def content(self, value):
        dll, pointer = self.dll, value.pointer
        kind = dll.linnet_value_kind(pointer)
        if kind == KIND_NONE:
            return None
        if kind != KIND_TENSOR:
            elements = []
            for i in range(dll.linnet_value_length(pointer) if kind == KIND_SEQUENCE else 2):
                elements.append(self.content(self.make("linnet_value_at", pointer, c_size_t(i))))
            return dict(zip(*(element.tolist() for element in elements))) if kind == KIND_MAP else elements
        shape = tuple(dll.linnet_value_shape(pointer)[: dll.linnet_value_rank(pointer)])
        number = dll.linnet_value_dtype(pointer)
        if number == 8:
            texts = np.empty(int(np.prod(shape)), object)
            length = c_size_t()
            for i in range(texts.size):
                start = dll.linnet_value_string(pointer, c_size_t(i), byref(length))
                texts[i] = ctypes.string_at(start, length.value).decode()
            return texts.reshape(shape)
        size = dll.linnet_value_size(pointer)
        raw = ctypes.string_at(dll.linnet_value_data(pointer), size) if size else b""
        return unpack(raw, number, shape) if number in BITS else np.frombuffer(raw, DTYPES[number]).reshape(shape)


class Handle:
    def __init__(self, library, pointer, kind):
        self.library, self.pointer, self.kind = library, pointer, kind

    def __del__(self):
        getattr(self.library.dll, f"linnet_{self.kind}_release")(self.pointer)


class Model:
    """A loaded model and a session of it."""

    def __init__(self, library, engine, data, level=3):
        self.library, self.engine = library, engine
        options = c_void_p(library.dll.linnet_load_options_create())
        library.dll.linnet_load_options_set_level(options, level)
        library.dll.linnet_load_options_set_seed(options, ctypes.c_uint64(1))
        try:
            self.model = library.make("linnet_model_load_bytes", engine.pointer, data, c_size_t(len(data)), 0, options)
        finally:
            library.dll.linnet_load_options_release(options)
        self.session = library.make("linnet_session_create", engine.pointer, self.model.pointer)

    def run(self, inputs):
        """Inputs and outputs in the model's order."""
        library = self.library
        held = [library.value(content) for content in inputs]
        given = (c_void_p * len(held))(*[value.pointer for value in held])
        count = library.dll.linnet_model_output_count(self.model.pointer)
        outputs = (c_void_p * count)()
        library.call("linnet_session_run", self.session.pointer, None, given, c_size_t(len(held)), outputs, c_size_t(count))
        return [library.content(Handle(library, c_void_p(pointer), "value")) for pointer in outputs]
