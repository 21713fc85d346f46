"""Looks at the outcomes for which the threads of a process wait, for all of them together.

When workers have processed lanes, one of the threads that wait for them looks: its statement reads all
outcomes that are awaited of these lanes. It wakes only the threads whose outcomes are final. Notifications
can be lost, so after a quarter of a second without a look one thread looks for all that wait.

    worker: lanes processed -> notifications -> one waiting thread looks -> wakes those that have outcomes
                                                                         -> calls the next, if more is due

A thread that waits alone looks for itself.

If a look fails, only the thread that looked gets the error, and the next one looks itself.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import chain, islice
from uuid import UUID

from pointledger.client.latch import Latch
from pointledger.domain.commands.outcomes import Outcome
from pointledger.errors import ClientClosed, DatabaseAway
from pointledger.messaging.notifications import LaneNotifications
from pointledger.storage.errors import has_waited

_POLL_SECONDS = 0.25  # in case a notification is lost
_MOST_READ = 1_000  # outcomes per statement
_GRACE_SECONDS = 2.0  # beyond its deadline, a caller waits so long for a look that is under way
_LOST_SECONDS = 60.0  # of a look: its statement ends long before

Found = dict[UUID, tuple[Outcome, int | None]]  # outcomes, and the lanes of their commands


class _Waiter:
    """A thread that waits for an outcome. `seen` is what the last look found; it began at `seen_at`."""

    __slots__ = ("began", "command_id", "lane", "latch", "seen", "seen_at")

    def __init__(self, command_id: UUID, lane: int | None, latch: Latch) -> None:
        self.command_id = command_id
        self.lane = lane
        self.latch = latch
        self.began = time.monotonic()
        self.seen: Outcome | None = None
        self.seen_at = 0.0


class OutcomeLooks:
    """The waiting threads of one process. `read` reads outcomes, within so many seconds."""

    def __init__(
        self,
        read: Callable[[list[UUID], float], Found],
        notifications: LaneNotifications,
        latch: type[Latch] = Latch,
    ) -> None:
        self._read = read
        self._latch = latch
        self._notifications = notifications
        self._lock = threading.Lock()
        self._waiters: dict[_Waiter, None] = {}
        self._by_lane: dict[int | None, dict[_Waiter, None]] = defaultdict(dict)
        self._due: dict[_Waiter, None] = {}  # there may be an outcome since the last look
        self._called: _Waiter | None = None  # it was woken to look
        self._looking: _Waiter | None = None
        self._looked_at = 0.0
        self._is_closed = False

    def wait(self, command_id: UUID, lane: int | None, sequence: int, give_up_at: float) -> Outcome | None:
        """Return the outcome when it is final, or what it is at `give_up_at` by the monotonic clock.

        It looks at once, unless the lane's number of notifications is still `sequence`. Return None if
        Postgres has not said in time what the outcome is. Raise ClientClosed, and what `read` raises.
        """
        waiter = _Waiter(command_id, lane, self._latch())
        try:
            self._join(waiter, sequence)
            while True:
                if self._takes_lead(waiter, give_up_at):
                    self._look_in_time(waiter, give_up_at)
                if waiter.seen and (waiter.seen.is_final or waiter.seen_at >= give_up_at):
                    return waiter.seen
                now = time.monotonic()
                if now >= give_up_at + _GRACE_SECONDS:
                    return None
                until = give_up_at if now < give_up_at else give_up_at + _GRACE_SECONDS
                waiter.latch.wait(min(until - now, _POLL_SECONDS))
        finally:
            self._leave(waiter)

    def close(self) -> None:
        """Let every waiting call raise ClientClosed."""
        with self._lock:
            self._is_closed = True
            for waiter in self._waiters:
                waiter.latch.wake()

    def _join(self, waiter: _Waiter, sequence: int) -> None:
        self._notifications.listen(self._on_processed)
        with self._lock:
            self._waiters[waiter] = None
            self._by_lane[waiter.lane][waiter] = None
            # Read after the registration, so that a notification is in the number or is noticed.
            if waiter.lane is None or not sequence or self._notifications.sequence()[waiter.lane] != sequence:
                self._due[waiter] = None

    def _leave(self, waiter: _Waiter) -> None:
        with self._lock:
            self._waiters.pop(waiter, None)
            self._by_lane[waiter.lane].pop(waiter, None)
            self._due.pop(waiter, None)
            if self._called is waiter:
                self._called = None
            self._call_next()

    def _on_processed(self, lanes: set[int]) -> None:
        with self._lock:
            for lane in lanes & self._by_lane.keys():
                self._due.update(self._by_lane[lane])
            self._call_next()

    def _call_next(self) -> None:
        """Wake one thread that is due, unless one looks, or will."""
        if self._due and self._looking is None and self._called is None:
            self._called = next(iter(self._due))
            self._called.latch.wake()

    def _takes_lead(self, waiter: _Waiter, give_up_at: float) -> bool:
        """Return whether this thread looks now: because it is due, is about to give up, or no one has looked
        for a while."""
        now = time.monotonic()
        with self._lock:
            if self._is_closed:
                raise ClientClosed
            if self._called is waiter:
                self._called = None
            if now >= give_up_at:
                self._due[waiter] = None
            is_quiet = now - max(self._looked_at, waiter.began) >= _POLL_SECONDS
            is_busy = self._looking is not None and now - self._looked_at < _LOST_SECONDS
            if is_busy or not (is_quiet or waiter in self._due):
                return False
            if is_quiet:
                self._due.update(self._waiters)
            self._looking, self._looked_at = waiter, now
        return True

    def _look_in_time(self, leader: _Waiter, give_up_at: float) -> None:
        """Look. An answer that does not come in time is no error before the caller's own deadline."""
        try:
            self._look(leader, give_up_at)
        except DatabaseAway as error:
            if not has_waited(error):
                raise

    def _look(self, leader: _Waiter, give_up_at: float) -> None:
        found: Found = {}
        looked_at: list[_Waiter] = []
        try:
            with self._lock:
                looked_at = list(islice(dict.fromkeys(chain((leader,), self._due)), _MOST_READ))
                for waiter in looked_at:
                    self._due.pop(waiter, None)
                began = time.monotonic()
            seconds_left = max(give_up_at - began, 0) + _GRACE_SECONDS
            found = self._read([waiter.command_id for waiter in looked_at], seconds_left)
        finally:
            with self._lock:
                if self._looking is leader:
                    self._looking = None
                for waiter in looked_at:
                    self._hand_out(waiter, found, began)
                self._call_next()

    def _hand_out(self, waiter: _Waiter, found: Found, began: float) -> None:
        """Tell a waiter what was found, and wake it if that is final. If nothing was, it is due again."""
        if waiter not in self._waiters:
            return
        if waiter.command_id not in found:  # the look failed
            self._due[waiter] = None
            return
        waiter.seen, lane = found[waiter.command_id]
        waiter.seen_at = began
        if waiter.seen.is_final:
            waiter.latch.wake()
        elif lane != waiter.lane:
            self._by_lane[waiter.lane].pop(waiter, None)
            self._by_lane[lane][waiter] = None
            waiter.lane = lane
            self._due[waiter] = None  # a notification of the lane may have come before
