"""Models that are written to files: optimized ones for everybody, compiled ones for the next start."""

from __future__ import annotations

import os
from typing import Iterable, Mapping

from . import _native

_LEVELS = {"none": 0, "basic": 1, "extended": 2, "all": 3}
_FLOATS = {None: 0, "float16": 10, "bfloat16": 16}


def optimize(
    source: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    level: str = "extended",
    sizes: Mapping[str, int] | None = None,
    disabled: Iterable[str] = (),
    floats: str | None = None,
    convert_io: bool = False,
    keep_float: Iterable[str] = (),
    external_from: int = 0,
) -> None:
    """Writes the model rewritten into a faster one, as an .onnx file.

    level: "none", "basic" (standard operators only), "extended" (and those of com.microsoft) or "all" (for Linnet
    alone). sizes: symbolic sizes of the inputs that become numbers. disabled: rewrites to leave out, by name. floats:
    "float16" or "bfloat16", what float32 becomes, with convert_io at inputs and outputs, too; keep_float: operators, and
    nodes by name, that stay. external_from: weights of at least so many bytes go to a file beside the model.
    """
    if level not in _LEVELS:
        raise ValueError(f"level is {level!r}; it is one of {', '.join(_LEVELS)}")
    if floats not in _FLOATS:
        raise ValueError(f"floats is {floats!r}; it is None, 'float16' or 'bfloat16'")
    load = _load_options(sizes, disabled)
    _native.optimize(os.fspath(source), os.fspath(to), _LEVELS[level], load, _FLOATS[floats], convert_io,
                     list(keep_float), external_from)  # fmt: skip


def compile(
    source: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    sizes: Mapping[str, int] | None = None,
    disabled: Iterable[str] = (),
    threads: int = 0,
) -> None:
    """Writes the model optimized and packed for this version of Linnet: `load` takes the file, and it starts at once."""
    _native.compile(_native.Engine(threads=threads), os.fspath(source), os.fspath(to), _load_options(sizes, disabled))


def _load_options(sizes: Mapping[str, int] | None, disabled: Iterable[str]) -> _native.LoadOptions:
    options = _native.LoadOptions()
    for name, size in (sizes or {}).items():
        options.fix_size(name, size)
    for name in disabled:
        options.disable_pass(name)
    return options
