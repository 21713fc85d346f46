"""Lets one thread, or one task, wait until another wakes it."""

import asyncio
import threading
from contextlib import suppress

from sqlalchemy.util import await_only as wait_for


class Latch:
    """A wake-up call for one waiting thread. It is kept until `wait` takes it.

    `threading.Event` does the same, and costs several times as much.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, seconds: float) -> None:
        """Return when another thread has called `wake`, or after so many seconds."""
        self._lock.acquire(timeout=max(seconds, 0))

    def wake(self) -> None:
        """Let `wait` return. Callers of one latch hold a lock, so that no two call this at once."""
        if self._lock.locked():
            self._lock.release()


class AwaitedLatch(Latch):
    """The same for one waiting task. All tasks of a latch belong to one event loop."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            wait_for(asyncio.wait_for(self._event.wait(), max(seconds, 0)))
            self._event.clear()

    def wake(self) -> None:
        self._event.set()
