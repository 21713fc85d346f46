"""Chooses how many commands a batch has: fewer if deciding takes long or other tenants wait for its end."""

import time

_SHARED_SHARE = 4  # so many times smaller while others wait; this costs a long backlog a fifth of its speed
_SHARED_SECONDS = 2.0  # after the last command that waited behind a backlog


class BatchSizes:
    """The sizes of one process' next batches."""

    def __init__(self, most: int) -> None:
        """`most`: the size of a batch if nothing makes it smaller."""
        self._most = most
        self._fitting: dict[int, int] = {}  # by lane, since a batch took too long
        self._shared_until = 0.0

    def next(self, lane: int) -> int:
        """Return the size of the lane's next batch."""
        is_shared = time.monotonic() < self._shared_until
        most = max(self._most // _SHARED_SHARE, 1) if is_shared else self._most
        return min(self._fitting.get(lane, most), most)

    def note_waiting(self) -> None:
        """Note that a command of another tenant has waited for the end of a batch."""
        self._shared_until = time.monotonic() + _SHARED_SECONDS

    def note_decided(self, lane: int, given: int, decided: int) -> None:
        """Note how many of the given commands were decided in time.

        The lane's next batch has as many if that were not all, else twice as many.
        """
        if decided < given:
            self._fitting[lane] = decided
        elif lane in self._fitting:
            self._fitting[lane] *= 2
            if self._fitting[lane] >= self._most:
                del self._fitting[lane]
