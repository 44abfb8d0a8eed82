"""The plain way: linnet.load(path), then call what it gives."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Mapping, Sequence

from . import _native
from ._session import InferenceSession, NodeArg, RunOptions, SessionOptions, _feed


class Model:
    """A model to call: `model(x=array)` or `model.run({"x": array})`. Threads may do so at once."""

    def __init__(self, session: InferenceSession) -> None:
        self.session = session
        self.inputs: list[NodeArg] = session.get_inputs()
        self.outputs: list[NodeArg] = session.get_outputs()
        self._output_names = [port.name for port in self.outputs]

    def __call__(self, **inputs: Any) -> Any:
        """The output, or a dict of them by name where the model has several."""
        results = self.run(inputs)
        return next(iter(results.values())) if len(results) == 1 else results

    def run(
        self, inputs: Mapping[str, Any], outputs: Sequence[str] | None = None, *, timeout: float | None = None
    ) -> dict[str, Any]:
        """Outputs by name; `outputs` asks for some only, or for inner values. timeout: seconds, else
        linnet.DeadlineExceededError."""
        names = outputs or self._output_names
        return dict(zip(names, self.session.run(outputs, inputs, _options(timeout))))

    async def run_async(
        self, inputs: Mapping[str, Any], outputs: Sequence[str] | None = None, *, timeout: float | None = None
    ) -> dict[str, Any]:
        """As run, without keeping the event loop from its work. Cancelling the asyncio task stops the run at its next
        step. The arrays must not be written to meanwhile."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()

        def settle(results: list[Any] | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(results or [])

        def done(results: list[Any] | None, error: Exception | None) -> None:
            try:
                loop.call_soon_threadsafe(settle, results, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                pass

        task = self.session._session.start(outputs, _feed(inputs), _options(timeout), done)
        try:
            results = await future
        except asyncio.CancelledError:
            task.cancel()
            raise
        return dict(zip(outputs or self._output_names, results))

    def __repr__(self) -> str:
        ports = ", ".join(f"{port.name}: {port.type}{port.shape}" for port in self.inputs)
        return f"<linnet.Model ({ports}) -> {self._output_names}>"


def load(
    source: str | os.PathLike[str] | bytes,
    *,
    threads: int = 0,
    memory_limit: int = 0,
    sizes: Mapping[str, int] | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    engine: _native.Engine | None = None,
) -> Model:
    """Loads a model from a file or from bytes.

    threads: that compute, 0 for one a core. memory_limit: bytes for what runs allocate, 0 for none. sizes: symbolic
    sizes of the inputs that become numbers. cache_folder: what loading computes is kept there for the next start.
    engine: threads and a limit shared with other models, instead of the first two.
    """
    options = SessionOptions()
    options.intra_op_num_threads, options.memory_limit = threads, memory_limit
    options.cache_folder, options.engine = cache_folder, engine
    for name, size in (sizes or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    return Model(InferenceSession(source, options))


def _options(timeout: float | None) -> RunOptions | None:
    if timeout is None:
        return None
    options = RunOptions()
    options.timeout = timeout
    return options
