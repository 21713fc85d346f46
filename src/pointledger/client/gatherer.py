"""Gathers the single commands of concurrent threads into groups.

There is no timer, and no thread of its own. A caller that finds a free seat leads: it accepts its command at
once, together with all that other callers have laid down meanwhile. The others wait, and get their results
from the leader. So a caller that is alone is not delayed, and groups grow with the load.

    caller lays its command down -> leads, or waits -> one statement for the group -> next leader -> ring
                                                                                   -> wake the group

No caller depends on a leader for long. If the leader is interrupted, its statement fails or it takes long,
the others accept their commands by themselves, as if there were no group.
"""

import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice

from pointledger.client.group_acceptor import Alone, GroupResult
from pointledger.client.latch import Latch
from pointledger.client.receipts import AcceptResult
from pointledger.domain.commands.records import JournalRecord

_LEADERS = 2  # one waits for the disk while the other prepares
_MOST_GROUPED = 500  # commands; their statement takes about 20 milliseconds
_QUEUE_SECONDS = 1.0  # to be taken into a group; leaders only take that long when something is wrong
_LOST_SECONDS = 60.0  # of a group: every statement and every connection attempt ends long before

AcceptGroup = Callable[[Sequence[JournalRecord]], list[GroupResult]]


class _Member:
    """A command, and the caller that waits for its result."""

    __slots__ = ("latch", "record", "result")

    def __init__(self, record: JournalRecord, latch: Latch) -> None:
        self.record = record
        self.result: GroupResult | None = None
        self.latch = latch


class Gatherer:
    """Accepts the commands of one process' threads in groups. `ring` rings the lanes of what was accepted."""

    def __init__(
        self,
        accept_group: AcceptGroup,
        ring: Callable[[Sequence[JournalRecord]], None],
        latch: type[Latch] = Latch,
    ) -> None:
        self._accept_group = accept_group
        self._ring = ring
        self._latch = latch
        self._lock = threading.Lock()
        self._waiting: dict[_Member, None] = {}  # in the order of arrival
        self._leaders: dict[_Member, float] = {}  # since when each leads

    def accept(self, record: JournalRecord) -> GroupResult:
        """Return when the command is durable, with its error, or with `Alone`."""
        member = _Member(record, self._latch())
        try:
            if not self._join(member):
                member.latch.wait(_QUEUE_SECONDS)
            if member.result is None:
                self._lead_or_leave(member)
            return member.result or Alone(maybe_done=True)
        finally:
            if member.result is None:  # it was interrupted
                self._leave(member)

    def _join(self, member: _Member) -> bool:
        """Lay the command down. Return whether its caller leads."""
        with self._lock:
            self._waiting[member] = None
            return len(self._leaders) < _LEADERS and self._appoint(member)

    def _appoint(self, member: _Member) -> bool:
        self._leaders[member] = time.monotonic()
        return True

    def _lead_or_leave(self, member: _Member) -> None:
        """Lead if it is this caller's turn. If no leader has taken its command so far, take it back."""
        with self._lock:
            leads, is_waiting = member in self._leaders, member in self._waiting
        if leads:
            self._lead(member)
        elif is_waiting and self._leave(member):
            member.result = Alone()
        else:
            member.latch.wait(_LOST_SECONDS)  # for the group that is under way

    def _lead(self, leader: _Member) -> None:
        group = [leader]
        try:
            group += self._take(leader)
            results = self._accept_group([member.record for member in group])
            for member, result in zip(group, results, strict=True):
                member.result = result
        except Exception:  # alone, its cause gets it again, and no one else does
            leader.result = Alone(maybe_done=True)
        finally:
            self._leave(leader)
            self._finish(group)

    def _take(self, leader: _Member) -> list[_Member]:
        """Take the commands of the others that wait, also of the next leader if it has not begun."""
        with self._lock:
            del self._waiting[leader]
            taken = list(islice(self._waiting, _MOST_GROUPED - 1))
            for member in taken:
                del self._waiting[member]
                self._leaders.pop(member, None)
        return taken

    def _leave(self, member: _Member) -> bool:
        """Take the command back if it waits, and pass the caller's seat on. Return whether it waited."""
        with self._lock:
            waited = member in self._waiting
            self._waiting.pop(member, None)
            self._leaders.pop(member, None)
            self._fill_seats()
        return waited

    def _fill_seats(self) -> None:
        lost = time.monotonic() - _LOST_SECONDS
        for leader in [leader for leader, since in self._leaders.items() if since < lost]:
            del self._leaders[leader]
        for member in self._waiting:
            if len(self._leaders) >= _LEADERS:
                return
            if member not in self._leaders:
                self._appoint(member)
                member.latch.wake()

    def _finish(self, group: list[_Member]) -> None:
        """Ring once for the group, then wake its callers: the leader is awake."""
        try:
            accepted = [member.record for member in group if isinstance(member.result, AcceptResult)]
            if accepted:
                self._ring(accepted)
        finally:
            for member in group[1:]:
                member.result = member.result or Alone(maybe_done=True)
                member.latch.wake()
