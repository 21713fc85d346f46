"""Runs round trips at a fixed rate, whether or not earlier ones have returned (an open loop).

A latency counts from the planned time. So a slow round trip also counts for those that it delays.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from math import ceil

from tests.bench.harness import DifferentWork

_MOST_THREADS = 12  # round trips in flight, fewer than a client's connections; a wait for a thread counts
_CATCH_UP_SECONDS = 30.0  # for round trips that were planned before the end; later the rest is not started
_END_SECONDS = 60.0  # on top, for round trips in flight: longer than any of them waits


class OpenLoop:
    """Runs round trips at a rate per second within its block.

    `round_trip` gets a number and returns whether its result is as expected. At most `most_threads` are in
    flight. Those that were planned before the end of the block are started for `catch_up_seconds` after it.
    Leaving the block raises DifferentWork if a round trip failed.
    """

    def __init__(
        self,
        rate: float,
        round_trip: Callable[[int], bool],
        *,
        most_threads: int = _MOST_THREADS,
        catch_up_seconds: float = _CATCH_UP_SECONDS,
    ) -> None:
        self.latencies: list[float] = []  # seconds, unordered; of round trips not started, the wait so far
        self.begun = 0
        self.unexpected = 0
        self._returned = 0
        self._returned_in_time = 0
        self._failure: Exception | None = None
        self._rate = rate
        self._round_trip = round_trip
        self._catch_up_seconds = catch_up_seconds
        self._began = 0.0
        self._ends = float("inf")
        self._lock = threading.Lock()
        self._end = threading.Event()
        count = min(most_threads, max(2, ceil(rate)))
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def __enter__(self) -> "OpenLoop":
        self._began = time.perf_counter()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = time.perf_counter()
        self._end.set()
        deadline = time.monotonic() + self._catch_up_seconds + _END_SECONDS
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        if self._failure:
            raise DifferentWork(f"a round trip failed: {self._failure!r}") from self._failure
        now, number = time.perf_counter(), self.begun
        while self._planned(number) < self._ends:
            self.latencies.append(now - self._planned(number))
            number += 1

    @property
    def achieved_rate(self) -> float:
        """Return the round trips per second that returned within the block. Read it after the block.

        It is below the rate if the measured side cannot keep up.
        """
        return self._returned_in_time / (self._ends - self._began)

    def verify(self) -> None:
        """Check that each started round trip returned the expected result. Raises DifferentWork."""
        if self.unexpected or self._returned != self.begun:
            raise DifferentWork(
                f"{self.begun} round trips, {self._returned} returned, {self.unexpected} unexpected"
            )

    def _run(self) -> None:
        while (number := self._next()) is not None:
            try:
                is_expected = self._round_trip(number)
            except Exception as error:  # raised again when the block ends
                self._failure = error
                return
            returned_at = time.perf_counter()
            with self._lock:
                self.latencies.append(returned_at - self._planned(number))
                self._returned += 1
                self._returned_in_time += returned_at <= self._ends
                self.unexpected += not is_expected

    def _next(self) -> int | None:
        """Wait for the planned time of the next round trip and claim it; None at the end."""
        with self._lock:  # a thread that waits for the lock would wait for a later time anyway
            planned = self._planned(self.begun)
            self._end.wait(max(planned - time.perf_counter(), 0))
            catch_up_ends = self._ends + self._catch_up_seconds
            over = planned >= self._ends or time.perf_counter() > catch_up_ends
            if over or self._failure:
                return None
            self.begun += 1
            return self.begun - 1

    def _planned(self, number: int) -> float:
        return self._began + number / self._rate


def quiet_and_busy(
    rate: float, quiet_seconds: float, round_trip: Callable[[int], bool], work: Callable[[], object]
) -> tuple[OpenLoop, OpenLoop, int]:
    """Run round trips without other work, then while `work` runs, after a warm-up.

    Return both loops and the number of all round trips. Raises DifferentWork.
    """

    def numbered_round_trip(first: int, number: int) -> bool:
        return round_trip(first + number)

    done, loops = 0, []
    for activity in (partial(time.sleep, quiet_seconds / 5), partial(time.sleep, quiet_seconds), work):
        with OpenLoop(rate, partial(numbered_round_trip, done)) as loop:
            activity()
        loop.verify()
        loops.append(loop)
        done += loop.begun
    return loops[1], loops[2], done


def percentile(values: list[float], share: float) -> float:
    """Return the lowest value that a share of the values, from 0 to 1, does not exceed."""
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]
