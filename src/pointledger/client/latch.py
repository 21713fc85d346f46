"""Lets one thread wait until another wakes it."""

import threading


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
