"""InferenceSession and its companions, with the names that users of onnxruntime know."""

from __future__ import annotations

import difflib
import enum
import logging
import os
import time
import warnings
from collections.abc import Mapping
from typing import Any, Callable, Iterable, Sequence

import numpy as np

from . import _convert, _native
from ._errors import InvalidArgumentError, UnsupportedError, names_of
from ._native import OrtValue

_LOGGER = logging.getLogger("linnet")
_LOG_LEVELS = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR]
_PROVIDER = "CPUExecutionProvider"
_STANDARD_METADATA = {
    "producer_name", "producer_version", "domain", "description", "graph_name", "ir_version", "model_version",
}  # fmt: skip


class GraphOptimizationLevel(enum.IntEnum):
    """How much of a graph is rewritten when it is loaded."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    """Accepted, without effect: the engine orders the steps itself."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


def _refuse_unknown(options: object, name: str) -> None:
    """Misspelt options are attributes that their class did not make."""
    if hasattr(options, name):
        return
    known = [option for option in dir(options) if not option.startswith("_") and not callable(getattr(options, option))]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
    raise AttributeError(f"{type(options).__name__} has no option {name!r}{hint}")


class SessionOptions:
    """Options of an InferenceSession. Those of onnxruntime that the engine has no use for are accepted and ignored."""

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self, "_entries"):  # all are made
            _refuse_unknown(self, name)
        super().__setattr__(name, value)

    def __init__(self) -> None:
        self.intra_op_num_threads = 0  # 0: one a core
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.enable_profiling = False
        self.profile_file_prefix = "linnet_profile_"
        self.log_severity_level = 2  # of what goes to logging.getLogger("linnet")
        self.memory_limit = 0  # bytes for what runs allocate; 0: none
        self.cache_folder: str | os.PathLike[str] | None = None  # what loading computes is kept there for the next start
        self.copy_files = False  # reads files instead of mapping them
        self.seed: int | None = None  # of random operators that have none
        self.outputs: list[str] = []  # inner values that become outputs
        self.engine: _native.Engine | None = None  # shared with others; else one is made where the options ask for it
        # Without effect:
        self.inter_op_num_threads = 0
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.enable_cpu_mem_arena = self.enable_mem_pattern = self.enable_mem_reuse = True
        self.use_deterministic_compute = self.use_per_session_threads = True
        self.log_verbosity_level = 0
        self.logid = ""
        self._sizes: dict[str, int] = {}
        self._initializers: dict[str, OrtValue] = {}
        self._files: dict[str, bytes] = {}
        self._entries: dict[str, str] = {}

    def add_free_dimension_override_by_name(self, dim_name: str, dim_value: int) -> None:
        """A symbolic size of the inputs becomes a number."""
        self._sizes[dim_name] = dim_value

    def add_initializer(self, name: str, value: OrtValue) -> None:
        """Replaces an initializer of the model by one of the same type and shape."""
        self._initializers[name] = value

    def add_external_initializers(self, names: Sequence[str], values: Sequence[OrtValue]) -> None:
        self._initializers.update(zip(names, values))

    def add_external_initializers_from_files_in_memory(
        self, names: Sequence[str], buffers: Sequence[bytes], lengths: Sequence[int]
    ) -> None:
        """The content of external data files, by the location that the model names."""
        for name, data, length in zip(names, buffers, lengths):
            self._files[name] = bytes(data)[:length]

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Accepted, without effect."""
        self._entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        if key not in self._entries:
            raise InvalidArgumentError(f"there is no entry '{key}'")
        return self._entries[key]

    def register_custom_ops_library(self, path: str) -> None:
        raise UnsupportedError("libraries of custom operators of onnxruntime cannot be used; linnet.h registers operators")

    def _load_options(self, disabled: Iterable[str]) -> _native.LoadOptions:
        options = _native.LoadOptions()
        options.set_level(min(int(self.graph_optimization_level), 3))
        for name in disabled:
            options.disable_pass(name)
        for name, size in self._sizes.items():
            options.fix_size(name, size)
        for name, value in self._initializers.items():
            options.replace_initializer(name, value)
        for location, data in self._files.items():
            options.supply_external_data(location, data)
        for name in self.outputs:
            options.add_output(name)
        if self.copy_files:
            options.set_copy_files(True)
        if self.seed is not None:
            options.set_seed(self.seed)
        if self.cache_folder is not None:
            options.set_cache_folder(_path(self.cache_folder))
        least = self.log_severity_level

        def log(severity: int, text: str) -> None:
            if severity >= least:
                _LOGGER.log(_LOG_LEVELS[severity], text)

        options.set_log(log)
        return options

    def _engine(self) -> _native.Engine:
        if self.engine is not None:
            return self.engine
        if self.intra_op_num_threads or self.memory_limit:
            return _native.Engine(threads=self.intra_op_num_threads, memory_limit=self.memory_limit)
        return default_engine()


class RunOptions(_native.RunOptionsBase):
    """Options of a run: `terminate`, `timeout` in seconds."""

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self, "only_execute_path_to_fetches"):  # all are made
            _refuse_unknown(self, name)
        super().__setattr__(name, value)

    def __init__(self) -> None:
        super().__init__()
        # Without effect:
        self.log_severity_level = 2
        self.log_verbosity_level = 0
        self.logid = self.run_tag = ""
        self.only_execute_path_to_fetches = True

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Accepted, without effect."""


class NodeArg:
    """An input or output: `name`, `type` such as "tensor(float)", `shape` of numbers, names and None."""

    def __init__(self, port: _native.Port) -> None:
        self.name: str = port.name
        self.type: str = _type_of(port)
        self.shape: list[int | str | None] | None = port.shape

    def __repr__(self) -> str:
        return f"NodeArg(name={self.name!r}, type={self.type!r}, shape={self.shape!r})"


class ModelMetadata:
    """What the model says of itself."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self.producer_name = metadata.get("producer_name", "")
        self.graph_name = metadata.get("graph_name", "")
        self.domain = metadata.get("domain", "")
        self.description = metadata.get("description", "")
        self.graph_description = ""
        self.version = int(metadata.get("model_version") or 0)
        self.custom_metadata_map = {
            key: text
            for key, text in metadata.items()
            if key not in _STANDARD_METADATA and not key.startswith("opset:")
        }


class InferenceSession:
    """A model that is ready to run. Any number of threads may run it at once."""

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        sess_options: SessionOptions | None = None,
        providers: Sequence[str | tuple[str, Mapping[str, Any]]] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | None = None,
        *,
        disabled_optimizers: Iterable[str] = (),
    ) -> None:
        for provider in providers or ():
            name = provider if isinstance(provider, str) else provider[0]
            if name != _PROVIDER:
                warnings.warn(f"{name} is not available; the model runs on the CPU", stacklevel=2)
        options = sess_options or SessionOptions()
        self._options = options
        self._model = load_model(path_or_bytes, options, disabled_optimizers)
        self._session = _native.Session(self._model)
        self._session.set_profiling(bool(options.enable_profiling))
        self._profile_start = time.time_ns()

    def get_inputs(self) -> list[NodeArg]:
        return [NodeArg(port) for port in self._model.inputs]

    def get_outputs(self) -> list[NodeArg]:
        return [NodeArg(port) for port in self._model.outputs]

    def get_overridable_initializers(self) -> list[NodeArg]:
        """None: SessionOptions.add_initializer replaces initializers, before the model is loaded."""
        return []

    def get_modelmeta(self) -> ModelMetadata:
        return ModelMetadata(self._model.metadata)

    def get_session_options(self) -> SessionOptions:
        return self._options

    def get_providers(self) -> list[str]:
        return [_PROVIDER]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {_PROVIDER: {}}

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
    ) -> list[Any]:
        """The outputs, in the order asked for; None or []: all. Inputs may be arrays, lists, dicts, OrtValues."""
        return self._session.run(output_names, _feed(input_feed), run_options)

    def run_with_ort_values(
        self,
        output_names: Sequence[str] | None,
        input_dict_ort_values: Mapping[str, OrtValue],
        run_options: RunOptions | None = None,
    ) -> list[OrtValue]:
        results = self.run(output_names, input_dict_ort_values, run_options)
        kinds = {port.name: port for port in self._model.outputs}
        names = output_names or list(kinds)
        return [_to_value(result, kinds.get(name)) for name, result in zip(names, results)]

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callable[[list[Any] | None, Any, str], None],
        user_data: Any = None,
        run_options: RunOptions | None = None,
    ) -> _native.Task:
        """Returns at once. callback(outputs, user_data, error) is called on a thread of the engine; error is "" when all
        went well. The arrays of input_feed must not be written to until then."""

        def done(outputs: list[Any] | None, error: Exception | None) -> None:
            callback(outputs, user_data, str(error) if error else "")

        return self._session.start(output_names, _feed(input_feed), run_options, done)

    def io_binding(self) -> IOBinding:
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None) -> None:
        iobinding._binding.run(run_options)

    def end_profiling(self) -> str:
        """Writes what runs have recorded as Chrome's trace events and gives the file's name."""
        path = f"{self._options.profile_file_prefix}{time.strftime('%Y-%m-%d_%H-%M-%S')}_{self._profile_start % 10**9}.json"
        trace = self._session.trace()
        self._session.set_profiling(False)
        if not trace:
            return ""
        with open(path, "w", encoding="utf-8") as file:
            file.write(trace)
        return path

    def get_profiling_start_time_ns(self) -> int:
        return self._profile_start

    def trim(self) -> None:
        """Gives memory that no run uses back to the system."""
        self._session.trim()


class IOBinding:
    """Inputs and outputs that stay bound from run to run: a second run of the same shapes allocates and copies nothing."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._binding = _native.Binding(session._session)
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, OrtValue | None] = {}

    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        """Shares the array's memory where it is contiguous: what is written there is seen by the next run."""
        self._binding.set_input(name, arr_on_cpu)
        self._inputs[name] = arr_on_cpu

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        self.bind_cpu_input(name, ortvalue)

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int
    ) -> None:
        """Memory by its address, which must stay valid as long as it is bound."""
        _cpu_only(device_type)
        self.bind_cpu_input(name, _from_address(element_type, shape, buffer_ptr))

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """With an address the output is written there; else to memory that is made once and kept."""
        _cpu_only(device_type)
        value = None if buffer_ptr is None else _from_address(element_type, shape or [], buffer_ptr)
        self._set_output(name, value)

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        self._set_output(name, ortvalue)

    def bind_cpu_output(self, name: str, arr_on_cpu: np.ndarray) -> None:
        """The output is written to the array."""
        number = _convert.dtype_number(arr_on_cpu.dtype)
        if number not in _convert._NUMPY:
            raise InvalidArgumentError(f"outputs cannot be written to arrays of {arr_on_cpu.dtype}")
        self._set_output(name, _native.borrow_array(arr_on_cpu, number, list(arr_on_cpu.shape), True))

    def get_outputs(self) -> list[OrtValue]:
        """In the order in which they were bound, or the model's when none was. They share the memory of the binding."""
        names = self._outputs or [port.name for port in self._session._model.outputs]
        return [self._binding.output(name) for name in names]

    def copy_outputs_to_cpu(self) -> list[Any]:
        arrays = [value.numpy() for value in self.get_outputs()]
        return [array.copy() if isinstance(array, np.ndarray) else array for array in arrays]

    def clear_binding_inputs(self) -> None:
        self._inputs.clear()
        self._renew()

    def clear_binding_outputs(self) -> None:
        self._outputs.clear()
        self._renew()

    def synchronize_inputs(self) -> None:
        """Nothing to wait for on a CPU."""

    def synchronize_outputs(self) -> None:
        """Nothing to wait for on a CPU."""

    def _set_output(self, name: str, value: OrtValue | None) -> None:
        self._binding.set_output(name, value)
        self._outputs[name] = value

    def _renew(self) -> None:
        self._binding = _native.Binding(self._session._session)
        for name, value in self._inputs.items():
            self._binding.set_input(name, value)
        for name, output in self._outputs.items():
            self._binding.set_output(name, output)


_default_engine: _native.Engine | None = None


def default_engine() -> _native.Engine:
    """The engine that sessions share which do not ask for one of their own."""
    global _default_engine
    if _default_engine is None:
        _default_engine = _native.Engine()
    return _default_engine


def load_model(
    source: str | os.PathLike[str] | bytes, options: SessionOptions, disabled: Iterable[str] = ()
) -> _native.Model:
    if not isinstance(source, (bytes, bytearray, memoryview)):
        source = _path(source)
    with names_of(options.outputs):
        return _native.load(options._engine(), source, options._load_options(disabled))


def _feed(inputs: Mapping[str, Any]) -> dict[str, Any]:
    if type(inputs) is dict:
        return inputs
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs are a dict of arrays by their names, not a {type(inputs).__name__}")
    return dict(inputs)


def _path(path: str | os.PathLike[str]) -> str:
    text = os.fsdecode(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidArgumentError("the path is not UTF-8") from None
    if "\0" in text:
        raise InvalidArgumentError("the path has a NUL character")
    return text


def _type_of(port: _native.Port) -> str:
    def of(kind: int) -> str:
        text = f"tensor({_native.dtype_name(port.dtype)})"
        if kind == _convert.MAP:
            text = f"map({_native.dtype_name(port.key_dtype)},{text})"
        return text

    if port.kind == _convert.SEQUENCE:
        return f"seq({of(port.content)})"
    if port.kind == 4:
        content = f"seq({of(_convert.TENSOR)})" if port.content == _convert.SEQUENCE else of(port.content)
        return f"optional({content})"
    return of(port.kind)


def _to_value(result: Any, port: _native.Port | None) -> OrtValue:
    if port is None:
        return _convert.to_value(result)
    return _convert.to_value(result, port.content if port.kind == 4 else port.kind, port.dtype, port.key_dtype)


def _cpu_only(device: str) -> None:
    if device.lower() != "cpu":
        raise UnsupportedError(f"there is no device '{device}'; memory is the CPU's")


def _from_address(element_type: Any, shape: Sequence[int], address: int) -> OrtValue:
    import ctypes

    number = _convert.dtype_number(element_type)
    bits = _convert._PACKED_BITS.get(number) or _convert.numpy_dtype(number).itemsize * 8
    if number == _convert.STRING or any(size < 0 for size in shape):
        raise InvalidArgumentError("an address needs an element type of numbers and a shape without negative sizes")
    count = 1
    for size in shape:
        count *= size
    memory = (ctypes.c_char * ((count * bits + 7) // 8)).from_address(address)
    return _native.borrow_array(memory, number, list(shape), True)
