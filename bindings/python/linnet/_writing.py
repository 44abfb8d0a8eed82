"""Models that are written to files: optimized or quantised ones for everybody, compiled ones for the next start."""

from __future__ import annotations

import dataclasses
import enum
import json
import operator
import os
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

from . import _native
from ._errors import InvalidArgumentError, names_of
from ._session import _path

_LEVELS = {"none": 0, "basic": 1, "extended": 2, "all": 3}
_FLOATS = {None: 0, "float16": 10, "bfloat16": 16}
_INTEGERS = {"uint8": 2, "int8": 3, "uint16": 4, "int16": 5}
_SYMMETRY = {None: 0, True: 1, False: 2}
_ALL = 2**31 - 1

_EXTRA = {
    "ActivationSymmetric": "activation_symmetric", "WeightSymmetric": "weight_symmetric",
    "CalibTensorRangeSymmetric": "symmetric_range", "CalibMovingAverage": "moving_average",
    "CalibPercentile": "percentile", "SmoothQuant": "smooth_quant", "SmoothQuantAlpha": "smooth_quant_alpha",
}  # fmt: skip
# Linnet does always what these ask for.
_ALWAYS = {"EnableSubgraph": True, "MatMulConstBOnly": True, "ForceQuantizeNoInputCheck": False}

Source = Any  # a path, bytes, or an onnx.ModelProto
Progress = Callable[[int, int, str], None]


class QuantType(enum.Enum):
    """The names of onnxruntime.quantization; the strings serve as well, and so do its own."""

    QInt8 = "int8"
    QUInt8 = "uint8"
    QInt16 = "int16"
    QUInt16 = "uint16"


class QuantFormat(enum.Enum):
    QDQ = "qdq"
    QOperator = "qoperator"


class CalibrationMethod(enum.Enum):
    MinMax = "minmax"
    Entropy = "entropy"
    Percentile = "percentile"
    MSE = "mse"


class CalibrationDataReader:
    """Gives samples one at a time: `get_next` a dict of arrays, or None after the last one; `rewind` begins anew."""

    def get_next(self) -> Mapping[str, Any] | None:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.get_next, None)


@dataclasses.dataclass
class Explain:
    """What quantising does to the model: both run on samples, and the report has quality, noise inside, and times.

    samples: as quantize_static takes them; None where those to calibrate with serve. All are kept in memory. labels: the
    right answer of each, the index of the greatest element of the output `label_output`, or its number. sensitivity: so
    many nodes, or "all", are quantised alone. only_faster: nodes that take longer than before stay in floats.
    """

    samples: Any = None
    labels: Sequence[int] | None = None
    label_output: str | None = None
    sensitivity: int | str = 0
    only_faster: bool = False

    def _settings(self) -> dict[str, Any]:
        if isinstance(self.sensitivity, str) and self.sensitivity != "all":
            raise ValueError(f"sensitivity is {self.sensitivity!r}; it is a number of nodes or 'all'")
        return {"explain": True, "only_faster": self.only_faster, "labels": _integers(self.labels),
                "label_output": self.label_output or "",
                "sensitivity": _ALL if self.sensitivity == "all" else self.sensitivity}  # fmt: skip


def optimize(
    source: Source,
    to: str | os.PathLike[str],
    *,
    level: str = "extended",
    sizes: Mapping[str, int] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    disabled: Iterable[str] = (),
    floats: str | None = None,
    convert_io: bool = False,
    keep_float: Iterable[str] = (),
    external_from: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the model rewritten into a faster one, as an .onnx file, and tells what was done.

    level: "none", "basic" (standard operators only), "extended" (and those of com.microsoft) or "all" (for Linnet
    alone). sizes: symbolic sizes of the inputs that become numbers; shapes: inputs that get these. disabled: rewrites to
    leave out, by name. floats: "float16" or "bfloat16", what float32 becomes, with convert_io at inputs and outputs, too;
    keep_float: operators, and nodes by name, that stay. external_from: weights of at least so many bytes go to a file
    beside the model. progress(done, total, what) is called before each stage; what it raises, and Ctrl-C, ends all, and
    no file is left.
    """
    if level not in _LEVELS:
        raise ValueError(f"level is {level!r}; it is one of {', '.join(_LEVELS)}")
    if floats not in _FLOATS:
        raise ValueError(f"floats is {floats!r}; it is None, 'float16' or 'bfloat16'")
    fixed = [(name, list(shape)) for name, shape in (shapes or {}).items()]
    load, kept = _load_options(sizes, disabled), list(keep_float)
    with names_of([*kept, *(shapes or ())]):
        return json.loads(_native.optimize(_source(source), _path(to), _LEVELS[level], load, _FLOATS[floats], convert_io,
                                           kept, external_from, fixed, progress))  # fmt: skip


def compile(
    source: Source,
    to: str | os.PathLike[str],
    *,
    sizes: Mapping[str, int] | None = None,
    disabled: Iterable[str] = (),
    threads: int = 0,
    progress: Progress | None = None,
) -> None:
    """Writes the model optimized and packed for this version of Linnet: `load` takes the file, and it starts at once."""
    engine, load = _native.Engine(threads=threads), _load_options(sizes, disabled)
    _native.compile(engine, _source(source), _path(to), load, progress)


def quantize_dynamic(
    model_input: Source,
    model_output: str | os.PathLike[str],
    op_types_to_quantize: Sequence[str] | None = None,
    per_channel: bool = False,
    reduce_range: bool = False,
    weight_type: Any = QuantType.QInt8,
    nodes_to_quantize: Sequence[str] | None = None,
    nodes_to_exclude: Sequence[str] | None = None,
    use_external_data_format: bool = False,
    extra_options: Mapping[str, Any] | None = None,
    *,
    weight_symmetric: bool | None = None,
    explain: Explain | None = None,
    sizes: Mapping[str, int] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the model with 8-bit weights; activations are quantised as they are computed. Tells of each node what it
    became, or why it stays.

    Names and defaults are onnxruntime's. Nodes may be named by patterns with * and ?. weight_type: "int8" or "uint8", by
    which weights are symmetric or not unless weight_symmetric says so, or extra_options by onnxruntime's names.
    use_external_data_format has no effect: weights go to a file beside the model where 2 GB would be exceeded. progress(done, total, what) is called before
    each stage and node; what it raises, and Ctrl-C, ends all, and no file is left. explain: Explain(samples) has the
    report tell what it does to the model.
    """
    weight_symmetric = _extra(extra_options).get("weight_symmetric", weight_symmetric)
    settings = _weights(per_channel, reduce_range, weight_type, weight_symmetric)
    return _quantize(0, model_input, model_output, _included(op_types_to_quantize, nodes_to_quantize), nodes_to_exclude,
                     settings, None, explain, sizes, threads, progress)  # fmt: skip


def quantize_static(
    model_input: Source,
    model_output: str | os.PathLike[str],
    calibration_data_reader: Any,
    quant_format: Any = QuantFormat.QDQ,
    op_types_to_quantize: Sequence[str] | None = None,
    per_channel: bool = False,
    reduce_range: bool = False,
    activation_type: Any = QuantType.QInt8,
    weight_type: Any = QuantType.QInt8,
    nodes_to_quantize: Sequence[str] | None = None,
    nodes_to_exclude: Sequence[str] | None = None,
    use_external_data_format: bool = False,
    calibrate_method: Any = CalibrationMethod.MinMax,
    calibration_providers: Sequence[str] | None = None,
    extra_options: Mapping[str, Any] | None = None,
    *,
    activation_symmetric: bool = False,
    weight_symmetric: bool | None = None,
    symmetric_range: bool = False,
    moving_average: bool = False,
    percentile: float = 99.999,
    num_bins: int = 128,
    num_quantized_bins: int = 128,
    smooth_quant: bool = False,
    smooth_quant_alpha: float = 0.5,
    bias_correction: bool = True,
    equalise: bool = False,
    explain: Explain | None = None,
    sizes: Mapping[str, int] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the model with integer weights and activations, by ranges that are measured on samples. Tells of each node
    what it became, or why it stays.

    calibration_data_reader: an iterable of samples, each a dict of arrays by the inputs' names (a list, a generator), or
    an object with onnxruntime's `get_next`. Samples are taken one at a time, on the calling thread. smooth_quant needs
    them twice: of a list, or what has `rewind`. quant_format: "qdq" or "qoperator"; activation_type: "int8", "uint8",
    "int16", "uint16"; calibrate_method: "minmax", "entropy", "percentile", "mse". The rest as for quantize_dynamic; what
    onnxruntime has in extra_options are arguments here, too (docs/static-quantization.md has a table).
    """
    extra = _extra(extra_options)
    activation_symmetric = extra.get("activation_symmetric", activation_symmetric)
    weight_symmetric = extra.get("weight_symmetric", weight_symmetric)
    symmetric_range = extra.get("symmetric_range", symmetric_range)
    moving_average = extra.get("moving_average", moving_average)
    percentile = extra.get("percentile", percentile)
    smooth_quant = extra.get("smooth_quant", smooth_quant)
    smooth_quant_alpha = extra.get("smooth_quant_alpha", smooth_quant_alpha)
    settings = _weights(per_channel, reduce_range, weight_type, weight_symmetric) | {
        "q_operator": _choice("quant_format", quant_format, QuantFormat) == "qoperator",
        "activation_type": _INTEGERS[_choice("activation_type", activation_type, QuantType)],
        "calibration_method": _choice("calibrate_method", calibrate_method, CalibrationMethod),
        "activation_symmetric": activation_symmetric, "symmetric_range": symmetric_range,
        "moving_average": moving_average, "percentile": _changed("percentile", percentile, 99.999),
        "num_bins": _changed("num_bins", num_bins, 128),
        "num_quantized_bins": _changed("num_quantized_bins", num_quantized_bins, 128), "smooth": smooth_quant,
        "smooth_alpha": _changed("smooth_quant_alpha", smooth_quant_alpha, 0.5),
        "keep_biases": not bias_correction, "equalise": equalise,
    }  # fmt: skip
    samples = _Samples(calibration_data_reader, 2 if smooth_quant else 1)
    return _quantize(1, model_input, model_output, _included(op_types_to_quantize, nodes_to_quantize), nodes_to_exclude,
                     settings, samples, explain, sizes, threads, progress)  # fmt: skip


def quantize_weights(
    model_input: Source,
    model_output: str | os.PathLike[str],
    bits: int = 4,
    block_size: int = 32,
    is_symmetric: bool = True,
    *,
    method: str = "nearest",
    calibration_data_reader: Any = None,
    percdamp: float = 0.05,
    actorder: bool = False,
    mse: bool = False,
    embeddings: bool = False,
    accuracy_level: int | None = None,
    op_types_to_quantize: Sequence[str] | None = None,
    nodes_to_quantize: Sequence[str] | None = None,
    nodes_to_exclude: Sequence[str] | None = None,
    explain: Explain | None = None,
    sizes: Mapping[str, int] | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the model with weights in blocks of 4 or 8 bits; everything else stays in floats. Tells of each node what it
    became, or why it stays.

    The names are those of onnxruntime's MatMulNBitsQuantizer. method: "nearest", "hqq", or "gptq", which learns from
    samples (calibration_data_reader as for quantize_static; a list where the model is large) with percdamp and actorder.
    mse: ranges narrower than the weights where that has less errors. embeddings: tables that Gather reads, too.
    accuracy_level: 4 lets a runtime round activations to 8 bits; others are refused.
    """
    if method not in ("nearest", "hqq", "gptq"):
        raise ValueError(f"method is {method!r}; it is 'nearest', 'hqq' or 'gptq'")
    if method == "gptq" and calibration_data_reader is None:
        raise ValueError("method='gptq' learns from samples: give them as calibration_data_reader")
    if method != "gptq" and calibration_data_reader is not None:
        raise ValueError("calibration_data_reader has no use without method='gptq': samples to explain with go to explain")
    if not bits or not block_size:  # 0 would mean the default
        raise InvalidArgumentError("bits and block_size must be above 0")
    samples = None if calibration_data_reader is None else _Samples(calibration_data_reader, 1)
    settings = {"bits": bits, "block": block_size, "weight_symmetry": _SYMMETRY[bool(is_symmetric)],
                "method": method, "damping": _changed("percdamp", percdamp, 0.05), "act_order": actorder, "search_ranges": mse, "embeddings": embeddings, "accuracy_level": accuracy_level or 0}  # fmt: skip
    return _quantize(2, model_input, model_output, _included(op_types_to_quantize, nodes_to_quantize), nodes_to_exclude,
                     settings, samples, explain, sizes, threads, progress)  # fmt: skip


def tune(
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    samples: Any,
    *,
    calibration: Any = None,
    output: str | os.PathLike[str] | None = None,
    max_loss: float = 0.01,
    p95_ms: float | None = None,
    max_bytes: int | None = None,
    max_memory: int | None = None,
    measure: str | None = None,
    prefer: str = "speed",
    labels: Sequence[int] | None = None,
    threads: int | Sequence[int] = (1,),
    budget: float = 300,
    resume: bool = False,
    sample_path: str | os.PathLike[str] | None = None,
    calibration_path: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Finds the form of a model that suits limits, on this machine: levels, precisions, schemes, exclusions, threads.
    Writes it to `output`, or model.onnx in the folder, with manifest.json; tells of everything that was tried. Where
    nothing keeps the limits no model is written and the report has no "chosen". The result of a search that has ended is
    replaced, that of one that was interrupted is not.

    samples: to judge by, as quantize_static takes them, all kept in memory; calibration: others to calibrate with.
    max_loss: what the measure ("cosine", "top1", or "accuracy", which takes labels) may lose beside the model itself, 0:
    nothing; p95_ms, max_bytes, max_memory: other limits.
    prefer: "speed", "size", "quality" or "memory". threads: numbers to try. budget: seconds after which nothing new is
    begun. resume: goes on with a search in the folder. sample_path, calibration_path: where the command line finds the
    samples, for the manifest's command. progress(done, total, what): what it raises, and Ctrl-C, ends the search, which can be resumed.
    """
    if any(limit is not None and limit <= 0 for limit in (budget, p95_ms, max_bytes, max_memory)):
        raise InvalidArgumentError("limits and the budget must be above 0")  # 0 would mean the default
    settings = {"max_loss": max_loss, "no_loss": max_loss == 0, "p95_ms": p95_ms or 0, "max_bytes": max_bytes or 0, "max_memory": max_memory or 0,
                "measure": measure or "", "prefer": prefer, "labels": _integers(labels),
                "threads": _integers([threads] if isinstance(threads, int) else threads), "budget_seconds": budget, "resume": resume,
                "output": "" if output is None else _path(output),
                "sample_path": "" if sample_path is None else _path(sample_path),
                "calibration_path": "" if calibration_path is None else _path(calibration_path)}  # fmt: skip
    others = None if calibration is None else _Samples(calibration, 1)
    return json.loads(_native.tune(_path(model), _path(folder), settings, _Samples(samples, 1), others, progress))


class _Samples:
    """What the engine asks for the next sample."""

    def __init__(self, source: Any, passes: int) -> None:
        self._source, self._pass = source, 0
        self._again = hasattr(source, "rewind") if hasattr(source, "get_next") else iter(source) is not source
        if passes > 1:
            self._need_again()
        self._samples = self._begin()

    def _begin(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._source.get_next, None) if hasattr(self._source, "get_next") else iter(self._source)

    def _need_again(self) -> None:
        if not self._again:
            raise InvalidArgumentError("the samples are needed more than once: pass a list, or what can be iterated again")

    def __call__(self, number: int) -> dict[str, Any] | None:
        if number != self._pass:
            self._need_again()
            if hasattr(self._source, "get_next"):
                self._source.rewind()
            self._pass, self._samples = number, self._begin()
        sample = next(self._samples, None)
        if sample is not None and not isinstance(sample, Mapping):
            raise TypeError(f"a sample is a dict of arrays by the inputs' names, not {type(sample).__name__}")
        return None if sample is None else dict(sample)


def _quantize(
    scheme: int, source: Source, to: Any, include: list[str], exclude: Sequence[str] | None, settings: dict[str, Any],
    samples: _Samples | None, explain: Explain | None, sizes: Mapping[str, int] | None, threads: int,
    progress: Progress | None,
) -> dict[str, Any]:  # fmt: skip
    if explain:
        if samples is not None and explain.samples is not None:
            raise ValueError("the samples to calibrate with are those to explain with: leave explain.samples out")
        if samples is None and explain.samples is None:
            raise ValueError("explaining takes samples: linnet.Explain(samples)")
        samples = samples or _Samples(explain.samples, 1)
        settings = settings | explain._settings()
    excluded = list(exclude or ())
    with names_of(include + excluded):
        return json.loads(_native.quantize(_native.Engine(threads=threads), _source(source), _path(to), scheme,
                                           _load_options(sizes, ()), include, excluded, settings, samples, progress))  # fmt: skip


def _weights(per_channel: bool, reduce_range: bool, weight_type: Any, symmetric: bool | None) -> dict[str, Any]:
    return {"per_channel": per_channel, "reduce_range": reduce_range, "weight_symmetry": _SYMMETRY[symmetric],
            "weight_type": _INTEGERS[_choice("weight_type", weight_type, QuantType)]}  # fmt: skip


def _changed(name: str, number: Any, default: Any) -> Any:
    """0, which stands for the default, where that was given: what is left alone has a use in any case."""
    if not number > 0:
        raise InvalidArgumentError(f"{name} must be above 0")
    return 0 if number == default else number


def _integers(numbers: Iterable[int] | None) -> list[int]:
    return [] if numbers is None else [operator.index(number) for number in numbers]


def _extra(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """onnxruntime's extra_options, by the names that they have here."""
    given = dict(options or {})
    for name, always in _ALWAYS.items():
        if given.pop(name, always) != always:
            raise ValueError(f"extra_options: {name} is always {always}")
    unknown = [name for name in given if name not in _EXTRA]
    if unknown:
        raise ValueError(f"extra_options: there is no {unknown[0]!r}; there are {', '.join([*_EXTRA, *_ALWAYS])}")
    return {_EXTRA[name]: value for name, value in given.items()}


def _choice(argument: str, chosen: Any, kind: type[enum.Enum]) -> str:
    """The string of a choice, which may be one, or a member of the enumeration or of onnxruntime's of that name."""
    for member in kind:
        if chosen == member.value or getattr(chosen, "name", None) == member.name:
            return member.value
    raise ValueError(f"{argument} is {chosen!r}; it is one of {', '.join(member.value for member in kind)}")


def _included(types: Sequence[str] | None, nodes: Sequence[str] | None) -> list[str]:
    if types and nodes:
        raise ValueError("give op_types_to_quantize or nodes_to_quantize, not both")
    return list(types or nodes or ())


def _source(source: Source) -> Any:
    if hasattr(source, "SerializeToString"):
        return source.SerializeToString()
    return source if isinstance(source, (bytes, bytearray, memoryview)) else _path(source)


def _load_options(sizes: Mapping[str, int] | None, disabled: Iterable[str]) -> _native.LoadOptions:
    options = _native.LoadOptions()
    for name, size in (sizes or {}).items():
        options.fix_size(name, size)
    for name in disabled:
        options.disable_pass(name)
    return options
