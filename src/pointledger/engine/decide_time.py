"""Ends the decisions of a batch when their time is up, or when a command in a hurry waits for its end."""

import time
from collections.abc import Callable

_ASK_SECONDS = 0.005  # between two questions to Redis, of which each takes a fraction of a millisecond


class DecideTime:
    """The time of one batch, which begins now."""

    def __init__(self, cpu_seconds: float, is_awaited: Callable[[], bool] | None) -> None:
        """`is_awaited`: whether a command in a hurry waits for the batch's end; None if that is unlikely."""
        self.is_up = False
        self._is_awaited = is_awaited
        now = time.monotonic()
        # The thread's own clock costs half a microsecond, the other a tenth of that. It is never behind.
        self._until, self._cpu_until = now + cpu_seconds, time.thread_time() + cpu_seconds
        self._ask_at = now + _ASK_SECONDS

    def has_ended(self) -> bool:
        """Return whether the batch should decide no further command."""
        now = time.monotonic()
        if now > self._until and time.thread_time() > self._cpu_until:
            self.is_up = True
        elif self._is_awaited is not None and now > self._ask_at:
            self._ask_at = now + _ASK_SECONDS
            return self._is_awaited()
        return self.is_up
