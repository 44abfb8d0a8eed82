"""Compares outputs; every function returns "" or a line that says what differs."""

import ml_dtypes
import numpy as np
from case import EPSILON, NAMES_OF_TYPES
from linnet_c import number_of


def identical(ours, again):
    """Bit by bit, but for the bits of a NaN."""
    if len(ours) != len(again):
        return f"{len(ours)} outputs, then {len(again)}"
    for i, (a, b) in enumerate(zip(ours, again)):
        if isinstance(a, list) and isinstance(b, list):
            difference = identical(a, b)
        elif isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.dtype != object:
            same = a.dtype == b.dtype and a.shape == b.shape and (a.tobytes() == b.tobytes() or np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
            difference = "" if same else f"{a.ravel()[:5]} and {b.ravel()[:5]}"
        else:
            difference = "" if np.array_equal(a, b) else "not equal"
        if difference:
            return f"output {i}: {difference}"
    return ""


def tensors(case, ours, theirs):
    if number_of(ours) != number_of(theirs):
        return f"type {NAMES_OF_TYPES[number_of(ours)]}, theirs {NAMES_OF_TYPES[number_of(theirs)]}"
    if ours.shape != theirs.shape:
        return f"shape {ours.shape}, theirs {theirs.shape}"
    if not ours.size:
        return ""
    type_name = NAMES_OF_TYPES[number_of(ours)]
    if type_name in ("string", "bool"):
        wrong = ours != theirs
        error = wrong
    elif ours.dtype.kind in "iu" or type_name in ("int4", "uint4", "int2", "uint2"):
        error = np.where(ours > theirs, ours.astype(object) - theirs.astype(object), theirs.astype(object) - ours.astype(object)) if case.steps else ours != theirs
        wrong = (error > case.steps).astype(bool)
    elif ours.dtype.kind == "c":
        parts = [np.stack([x.real, x.imag]).astype(np.float64) for x in (ours, theirs)]
        wrong, error = floats(case, *parts, 1e-5 if type_name == "complex64" else 1e-11)
        wrong, error = wrong.any(0), error.max(0)
    elif type_name.startswith("float8") or type_name.startswith("float4"):
        raw = [x.view(np.uint8) for x in (ours, theirs)]
        nan = [np.isnan(x.astype(np.float32)) for x in (ours, theirs)]
        error = (raw[0] != raw[1]) & ~(nan[0] & nan[1])
        wrong = error
    else:
        with np.errstate(invalid="ignore"):  # signalling NaN
            wide = [x.astype(np.float64) for x in (ours, theirs)]
        wrong, error = floats(case, *wide, EPSILON[type_name], ml_dtypes.finfo(ours.dtype))
    count = int(np.count_nonzero(wrong))
    if not count:
        return ""
    worst = np.unravel_index(int(np.argmax(np.where(wrong, np.nan_to_num(error.astype(np.float64), nan=np.inf, posinf=np.inf), -1))), wrong.shape)
    where = [int(i) for i in worst]
    return f"{count} of {ours.size} elements, at {where} ours {ours[worst]!s} theirs {theirs[worst]!s}"


def floats(case, ours, theirs, epsilon, info=None):
    with np.errstate(all="ignore"):
        finite = np.isfinite(theirs)
        rtol = epsilon if case.rtol is None else case.rtol
        atol = case.atol
        if case.of_max and finite.any():
            atol += case.of_max * float(np.abs(theirs[finite]).max())
        if info is not None:
            atol += float(info.smallest_subnormal)
        error = np.abs(ours - theirs)
        wrong = ~(error <= atol + rtol * np.abs(theirs))
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        if info is not None:  # overflow one rounding earlier or later
            big = float(info.max)
            near = 1 - rtol * 2
            same |= (np.abs(ours) >= big * near) & (np.abs(theirs) >= big * near) & (np.sign(ours) == np.sign(theirs))
            tiny = float(info.tiny)  # subnormals may be flushed
            same |= (np.abs(ours) <= tiny) & (np.abs(theirs) <= tiny)
    return wrong & ~same, error


def values(case, ours, theirs):
    """One output."""
    if isinstance(theirs, np.ndarray) and isinstance(ours, np.ndarray):
        return tensors(case, ours, theirs)
    if isinstance(theirs, list) and isinstance(ours, list):
        if theirs and isinstance(theirs[0], dict):
            return maps(case, ours, theirs)
        if len(ours) != len(theirs):
            return f"a sequence of {len(ours)}, theirs {len(theirs)}"
        found = [f"element {i}: {difference}" for i, (a, b) in enumerate(zip(ours, theirs)) if (difference := values(case, a, b))]
        return found[0] if found else ""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return maps(case, [ours], [theirs])
    return "" if ours is None and theirs is None else f"{type(ours).__name__}, theirs {type(theirs).__name__}"


def maps(case, ours, theirs):
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if sorted(a) != sorted(b):
            return f"map {i}: keys {sorted(a)}, theirs {sorted(b)}"
        if difference := tensors(case, np.array([a[k] for k in sorted(a)], np.float32), np.array([b[k] for k in sorted(b)], np.float32)):
            return f"map {i}: {difference}"
    return ""


def outputs(case, ours, theirs):
    if case.compare:
        return case.compare(ours, theirs)
    if len(ours) != len(theirs):
        return f"{len(ours)} outputs, theirs {len(theirs)}"
    found = [f"output {i}: {difference}" for i, (a, b) in enumerate(zip(ours, theirs)) if (difference := values(case, a, b))]
    return found[0] if found else ""
