"""Commands that come when they come: each has its moment in a timetable that does not wait for the ones
before it, and its latency counts from that moment. So a slow answer cannot hide those that it made late."""

import threading
import time
from collections.abc import Callable
from functools import partial
from math import ceil

from tests.bench.harness import DifferentWork

_MOST_THREADS = 12  # round trips under way, fewer than a client has connections; who waits for one is late
_CATCH_UP_SECONDS = 30.0  # for those whose moment came before the end; then the rest stays undone
_END_SECONDS = 60.0  # more, for round trips under way: longer than any of them waits


class OpenLoop:
    """Round trips at a rate per second, from entering to leaving. `trip` does one by its number and says
    whether what came back was right. Leaving raises DifferentWork where one failed."""

    def __init__(self, rate: float, trip: Callable[[int], bool]) -> None:
        self.latencies: list[float] = []  # seconds, in no order; of those left undone, what they had waited
        self.begun = 0
        self.wrong = 0
        self._returned = 0
        self._failure: Exception | None = None
        self._rate = rate
        self._trip = trip
        self._began = 0.0
        self._ends = float("inf")
        self._lock = threading.Lock()
        self._end = threading.Event()
        count = min(_MOST_THREADS, max(2, ceil(rate)))
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def __enter__(self) -> "OpenLoop":
        self._began = time.perf_counter()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = time.perf_counter()
        self._end.set()
        give_up_at = time.monotonic() + _CATCH_UP_SECONDS + _END_SECONDS
        for thread in self._threads:
            thread.join(max(give_up_at - time.monotonic(), 0))
        if self._failure:
            raise DifferentWork(f"a round trip failed: {self._failure!r}") from self._failure
        now, number = time.perf_counter(), self.begun
        while self._planned(number) < self._ends:
            self.latencies.append(now - self._planned(number))
            number += 1

    def verify(self) -> None:
        """Every round trip that began came back, and right. Raises DifferentWork."""
        if self.wrong or self._returned != self.begun:
            raise DifferentWork(f"{self.begun} round trips, {self._returned} came back, {self.wrong} wrong")

    def _run(self) -> None:
        while (number := self._next()) is not None:
            try:
                right = self._trip(number)
            except Exception as error:  # whoever leaves the block hears of it
                self._failure = error
                return
            took = time.perf_counter() - self._planned(number)
            with self._lock:
                self.latencies.append(took)
                self._returned += 1
                self.wrong += not right

    def _next(self) -> int | None:
        """Waits for the moment of the next one, and takes it; None when it is over."""
        with self._lock:  # who waits here would wait for a later moment
            planned = self._planned(self.begun)
            self._end.wait(max(planned - time.perf_counter(), 0))
            over = planned >= self._ends or time.perf_counter() > self._ends + _CATCH_UP_SECONDS
            if over or self._failure:
                return None
            self.begun += 1
            return self.begun - 1

    def _planned(self, number: int) -> float:
        return self._began + number / self._rate


def quiet_and_busy(
    rate: float, quiet_seconds: float, trip: Callable[[int], bool], work: Callable[[], object]
) -> tuple[OpenLoop, OpenLoop, int]:
    """Round trips for so many seconds with nothing else, and while `work` is done; and how many there were in
    all, with those that warmed up. Raises DifferentWork."""

    def numbered_on(first: int, number: int) -> bool:
        return trip(first + number)

    done, loops = 0, []
    for deed in (partial(time.sleep, quiet_seconds / 5), partial(time.sleep, quiet_seconds), work):
        with OpenLoop(rate, partial(numbered_on, done)) as loop:
            deed()
        loop.verify()
        loops.append(loop)
        done += loop.begun
    return loops[1], loops[2], done


def percentile(values: list[float], share: float) -> float:
    """The least of them that so large a share, from 0 to 1, does not exceed."""
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]
