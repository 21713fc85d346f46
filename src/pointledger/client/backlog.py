"""The backlog: how much may wait before the doors close. Beyond it whoever asks is told so at once, instead
of filling a disk with what nobody would answer in time; when the workers have caught up, they open.

What the sweeps accept is not held back: it is bounded by itself.
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

_FRESH_SECONDS = 1.0  # of an answer; what is accepted meanwhile comes on top
_SHARE = 50  # an answer that took long is kept so many times as long: asking costs two percent at most
_LOOK_MS = 2_000

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Stand:
    """How many commands wait (counted up to the limit), and for how long the oldest that may go has."""

    waiting: int
    seconds: float

    def is_full(self, settings: Settings) -> bool:
        """Whether nothing more is accepted."""
        return self.waiting >= settings.backlog_limit or self.seconds >= settings.backlog_seconds


class Backlog:
    """Looks now and then, for all threads of a process; never once per command."""

    def __init__(self, database: sa.Engine, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._looking = threading.Lock()
        self._look_at = 0.0
        self._stand: Stand | None = None  # none: nobody has looked, or there is room

    def require_room(self) -> None:
        """Raises BacklogFull."""
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._looking.release()
        if self._stand is not None:
            raise BacklogFull(f"{self._stand.waiting} wait, {self._stand.seconds:.0f} s at most")

    @staticmethod
    def look(connection: sa.Connection, settings: Settings) -> Stand:
        """How it stands now."""
        waiting = health.waiting_count(connection, settings.backlog_limit)
        return Stand(waiting, max(health.lags(connection).values(), default=0.0))

    def _refresh(self) -> None:
        began = time.monotonic()
        try:
            with self._database.begin() as connection:
                run(connection, _SET_LOCAL, statement=str(_LOOK_MS))
                stand = self.look(connection, self._settings)
            full = stand if stand.is_full(self._settings) else None
            if (full is None) != (self._stand is None):
                _log.warning("doors_closed" if full else "doors_open", action="accept", waiting=stand.waiting)
            self._stand = full
        except DATABASE_ERRORS as error:
            if not is_transient(error) and sqlstate(error) != TIMED_OUT:
                raise
            # What was known stands; if the database is away, accepting says so itself.
        self._look_at = time.monotonic() + max(_FRESH_SECONDS, _SHARE * (time.monotonic() - began))


_SET_LOCAL = f"SELECT set_config('statement_timeout', %(statement)s, true), {INDEX_PLANS_ONLY}"
