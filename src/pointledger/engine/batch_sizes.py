"""Chooses how many commands a batch has: fewer if deciding takes long or other tenants wait for its end."""

import time
from collections import Counter

from pointledger.engine.locks import Taken

_SHARED_SHARE = 4  # so many times smaller while others wait; this costs a long backlog a fifth of its speed
_BESIDE_COMMANDS = 100  # of a lane in a batch with a backlog: some milliseconds
_HURRIED_COMMANDS = 40  # of a lane in a batch for tenants with few commands
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
        most = max(self._most // _SHARED_SHARE, 1) if self.is_shared else self._most
        return min(self._fitting.get(lane, most), most)

    def of_lanes(self, taken: Taken) -> dict[int, int]:
        """Return the size of each lane's part in the next batch: much for the backlog, little for others."""
        lanes, backlog = taken.lanes, taken.backlog
        if backlog is None:
            share = self._most // len(lanes)
        else:
            share = min(_BESIDE_COMMANDS, self._most // (2 * len(lanes)))
        sizes = {lane: min(self.next(lane), max(share, 1)) for lane in lanes}
        if backlog is not None:
            sizes[backlog] = max(self.next(backlog) - share * (len(lanes) - 1), 1)
        if taken.is_for_hurried:
            sizes = {lane: min(size, _HURRIED_COMMANDS) for lane, size in sizes.items()}
        return sizes

    @property
    def decide_seconds(self) -> float:
        """The CPU time after which a batch saves what is decided."""
        return _DECIDE_SECONDS / _SHARED_SHARE if self.is_shared else _DECIDE_SECONDS

    @property
    def is_shared(self) -> bool:
        """Whether a command of another tenant has waited for the end of a batch lately."""
        return time.monotonic() < self._shared_until

    @property
    def is_adapting(self) -> bool:
        """Whether a lane has smaller batches since one took too long."""
        return bool(self._fitting)

    def note_waiting(self) -> None:
        """Note that a command of another tenant has waited for the end of a batch."""
        self._shared_until = time.monotonic() + _SHARED_SECONDS

    def note_decided(self, given: Counter[int], decided: Counter[int]) -> None:
        """Note how many of the given commands of each lane were decided in time.

        If those were not all, a lane's next batch has as many, else twice as many.
        """
        if decided.total() < given.total():
            self._fitting |= {lane: count for lane, count in decided.items() if count < given[lane]}
            return
        for lane in self._fitting.keys() & decided.keys():
            self._fitting[lane] *= 2
            if self._fitting[lane] >= self._most:
                del self._fitting[lane]
