"""Runs calls in threads that each begin the next call when the last one has returned (a closed loop)."""

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from tests.bench.environment import BenchmarkStuck
from tests.bench.harness import DifferentWork

_END_SECONDS = 90.0  # for the calls in flight at the end: longer than any of them waits


class ClosedLoop(NamedTuple):
    """The measurements of a loop: its calls, the seconds until the last one returned, and their latencies.

    `latencies` are in seconds, unordered.
    """

    calls: int
    seconds: float
    latencies: list[float]

    @property
    def per_second(self) -> float:
        """Return the calls per second of all threads together."""
        return self.calls / self.seconds


def run_closed_loop(threads: int, seconds: float, call: Callable[[int], bool]) -> ClosedLoop:
    """Begin calls for this many seconds, and return when all have returned.

    `call` gets a number, from 0 and each once, and returns whether its result is as expected. Raises
    DifferentWork if a call failed or its result was unexpected, and BenchmarkStuck if a call does not return.
    """
    loop = _Loop(seconds, call)
    running = [threading.Thread(target=loop.run, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    deadline = time.monotonic() + seconds + _END_SECONDS
    for thread in running:
        thread.join(max(deadline - time.monotonic(), 0))
    if loop.failure:
        raise DifferentWork(f"a call failed: {loop.failure!r}") from loop.failure
    if any(thread.is_alive() for thread in running):
        raise BenchmarkStuck(f"a call of {threads} threads has not returned after {_END_SECONDS:.0f} s")
    if loop.unexpected:
        raise DifferentWork(f"{loop.unexpected} of {len(loop.latencies)} results were unexpected")
    return ClosedLoop(len(loop.latencies), loop.last_return - loop.began, loop.latencies)


class _Loop:
    """What the threads share."""

    def __init__(self, seconds: float, call: Callable[[int], bool]) -> None:
        self.latencies: list[float] = []
        self.unexpected = 0
        self.failure: Exception | None = None
        self.began = self.last_return = time.perf_counter()
        self._ends = self.began + seconds
        self._call = call
        self._numbers = count()  # drawing one is atomic
        self._lock = threading.Lock()

    def run(self) -> None:
        """Make one call, and more until the time is over or a call has failed."""
        while not self.failure:
            began = time.perf_counter()
            try:
                is_expected = self._call(next(self._numbers))
            except Exception as error:  # raised again when the loop ends
                self.failure = error
                return
            returned = time.perf_counter()
            with self._lock:
                self.latencies.append(returned - began)
                self.unexpected += not is_expected
                self.last_return = max(self.last_return, returned)
            if returned >= self._ends:
                return
