"""Commands that come when they come: each has its moment in a timetable that does not wait for the ones
before it, and its latency counts from that moment. So a slow answer cannot hide those that it made late."""

import threading
import time
from collections.abc import Callable
from math import ceil

_MOST_THREADS = 48  # round trips under way; more are late, and that counts
_END_SECONDS = 60.0  # for the last round trips: longer than any of them waits


class OpenLoop:
    """Round trips at a rate per second, from entering to leaving. `trip` does one by its number and says
    whether what came back was right."""

    def __init__(self, rate: float, trip: Callable[[int], bool]) -> None:
        self.latencies: list[float] = []  # seconds, in no order
        self.wrong = 0
        self.failure: Exception | None = None
        self.begun = 0
        self._rate = rate
        self._trip = trip
        self._began = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        count = min(_MOST_THREADS, max(2, ceil(rate)))
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def __enter__(self) -> "OpenLoop":
        self._began = time.perf_counter()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        give_up_at = time.monotonic() + _END_SECONDS
        for thread in self._threads:
            thread.join(max(give_up_at - time.monotonic(), 0))
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        while (number := self._next()) is not None:
            try:
                right = self._trip(number)
            except Exception as error:  # whoever leaves the block hears of it
                self.failure = error
                self._stop.set()
                return
            took = time.perf_counter() - self._planned(number)
            with self._lock:
                self.latencies.append(took)
                self.wrong += not right

    def _next(self) -> int | None:
        """Waits for the moment of the next one, and takes it; None when it is over."""
        with self._lock:  # who waits here would wait for a later moment
            if self._stop.wait(max(self._planned(self.begun) - time.perf_counter(), 0)):
                return None
            self.begun += 1
            return self.begun - 1

    def _planned(self, number: int) -> float:
        return self._began + number / self._rate


def percentile(values: list[float], share: float) -> float:
    """The least of them that so large a share, from 0 to 1, does not exceed."""
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]
