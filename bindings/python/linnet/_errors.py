"""Exceptions, one for each status of the engine, and two for what is not there."""

import contextlib
from collections.abc import Iterable, Iterator

from . import _native


class Error(Exception):
    """What the engine refused, and why.

    `node` is the path of the node that failed, `inputs` the types and shapes of its inputs; both may be empty.
    """

    node: str = ""
    inputs: str = ""


class InvalidArgumentError(Error, ValueError):
    """Inputs, names, shapes or options of the call."""


class InvalidModelError(Error, ValueError):
    """The model contradicts the ONNX standard or itself."""


class UnsupportedError(Error, NotImplementedError):
    """Valid, but not possible with this build."""


class NotFoundError(Error, LookupError):
    """A file, name or input that is not there."""


class MissingFileError(NotFoundError, FileNotFoundError):
    """A file or folder that is not there."""


class UnknownNameError(NotFoundError, ValueError):
    """A name that no input, output or node of the model has."""


class IoError(Error, OSError):
    """Reading or writing failed."""


class OutOfMemoryError(Error, MemoryError):
    """The system or the engine's limit refused."""


class CancelledError(Error):
    """The run was cancelled."""


class DeadlineExceededError(Error, TimeoutError):
    """The run did not end in time."""


class InternalError(Error, RuntimeError):
    """A defect of Linnet."""


class ClosedError(Error, ValueError):
    """Something that has been closed."""


class CallbackError(Error, RuntimeError):
    """A function that was supplied raised, or did not do what it must."""


_NOT_FOUND = 4
_BY_CODE = {
    1: InvalidArgumentError, 2: InvalidModelError, 3: UnsupportedError, 4: MissingFileError, 5: IoError,
    6: OutOfMemoryError, 7: CancelledError, 8: DeadlineExceededError, 9: InternalError, 10: ClosedError,
    11: CallbackError,
}  # fmt: skip


def of(code: int, message: str, node: str, inputs: str, missing_name: bool) -> Error:
    """The exception for a status; _native calls it."""
    kind = UnknownNameError if code == _NOT_FOUND and missing_name else _BY_CODE.get(code, Error)
    error = kind(message or _native.code_name(code))
    error.node, error.inputs = node, inputs
    return error


@contextlib.contextmanager
def names_of(names: Iterable[str]) -> Iterator[None]:
    """Around a call that reads files and looks for these names: what it does not find may be one of them."""
    try:
        yield
    except MissingFileError as error:
        if not any(f"'{name}'" in str(error) for name in names):
            raise
        raise UnknownNameError(str(error)) from None
