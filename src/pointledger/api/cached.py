"""Remembers a blocking function's result for a second, so that those who ask often cost no more than one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

SECONDS = 1.0  # probes come every few seconds, Prometheus every ten or more

Result = TypeVar("Result")


class Cached(Generic[Result]):
    """The latest result, or error, of a function that one thread at a time runs."""

    def __init__(self, function: Callable[[], Result], executor: Executor) -> None:
        self._function = function
        self._executor = executor
        self._running: asyncio.Future[Result] | None = None
        self._fresh_until = 0.0

    async def get(self) -> Result:
        """Return the result, at most a second old. Raises the function's error."""
        loop = asyncio.get_running_loop()
        if self._running is None or (self._running.done() and loop.time() >= self._fresh_until):
            self._running = asyncio.ensure_future(loop.run_in_executor(self._executor, self._function))
            self._running.add_done_callback(lambda _: self._set_fresh(loop.time()))
        return await asyncio.shield(self._running)  # a caller that leaves does not end it for the others

    def _set_fresh(self, now: float) -> None:
        self._fresh_until = now + SECONDS
