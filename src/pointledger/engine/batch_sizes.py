"""Chooses how many commands a batch has: fewer if deciding takes long or other tenants wait for its end."""

import time

_SHARED_SHARE = 4  # so many times smaller while others wait; this costs a long backlog a fifth of its speed
_EXPRESS_COMMANDS = 100  # some milliseconds
_DECIDE_SECONDS = 0.1  # some times what a full batch of ordinary commands takes
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
        most = max(self._most // _SHARED_SHARE, 1) if self._is_shared else self._most
        return min(self._fitting.get(lane, most), most)

    def express(self, lane: int) -> int:
        """Return the size of a batch that others do not wait for."""
        return min(self.next(lane), _EXPRESS_COMMANDS)

    @property
    def decide_seconds(self) -> float:
        """The CPU time after which a batch saves what is decided."""
        return _DECIDE_SECONDS / _SHARED_SHARE if self._is_shared else _DECIDE_SECONDS

    @property
    def _is_shared(self) -> bool:
        return time.monotonic() < self._shared_until

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
