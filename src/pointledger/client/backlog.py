"""Limits the backlog: the ledger accepts no more commands while too many are pending.

Callers get BacklogFull at once, so pending commands do not fill the disk or time out unseen. Acceptance
resumes when the workers have caught up. Periodic jobs are exempt, because each bounds its own commands.
"""

import threading
import time
from dataclasses import dataclass

import sqlalchemy as sa

from pointledger.errors import BacklogFull
from pointledger.logs import Log
from pointledger.settings import Settings
from pointledger.storage.database import INDEX_PLANS_ONLY, run
from pointledger.storage.errors import DATABASE_ERRORS, TIMED_OUT, is_transient, sqlstate
from pointledger.storage.queries import health

_FRESH_SECONDS = 1.0  # how long a status is used; it misses the commands accepted since
_SHARE = 50  # a slow query's status is used 50 times as long as it took, so queries cost 2 % at most
_QUERY_MS = 2_000

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class BacklogStatus:
    """The number of pending commands, up to the limit, and the age of the oldest runnable one."""

    waiting: int
    seconds: float

    def is_full(self, settings: Settings) -> bool:
        """Return whether the ledger accepts no more commands."""
        return self.waiting >= settings.backlog_limit or self.seconds >= settings.backlog_seconds


class Backlog:
    """Measures the backlog about once a second for all threads of a process, instead of for every command."""

    def __init__(self, database: sa.Engine, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._refreshing = threading.Lock()
        self._refresh_at = 0.0
        self._full: BacklogStatus | None = None  # None: there is room, or it was not measured yet

    def require_room(self) -> None:
        """Raise BacklogFull if the last status is full."""
        if time.monotonic() >= self._refresh_at and self._refreshing.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._refreshing.release()
        if self._full is not None:
            raise BacklogFull(f"{self._full.waiting} pending, the oldest for {self._full.seconds:.0f} s")

    @staticmethod
    def measure(connection: sa.Connection, settings: Settings) -> BacklogStatus:
        """Query the current status."""
        waiting = health.waiting_count(connection, settings.backlog_limit)
        return BacklogStatus(waiting, max(health.lags(connection).values(), default=0.0))

    def _refresh(self) -> None:
        began = time.monotonic()
        try:
            with self._database.begin() as connection:
                run(connection, _SET_LOCAL, statement=str(_QUERY_MS))
                status = self.measure(connection, self._settings)
            full = status if status.is_full(self._settings) else None
            if (full is None) != (self._full is None):
                event = "backlog_full" if full else "backlog_has_room"
                _log.warning(event, action="accept", waiting=status.waiting)
            self._full = full
        except DATABASE_ERRORS as error:
            if not is_transient(error) and sqlstate(error) != TIMED_OUT:
                raise
            # The last status stays valid. If the database is unavailable, acceptance fails by itself.
        self._refresh_at = time.monotonic() + max(_FRESH_SECONDS, _SHARE * (time.monotonic() - began))


_SET_LOCAL = f"SELECT set_config('statement_timeout', %(statement)s, true), {INDEX_PLANS_ONLY}"
