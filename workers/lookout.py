"""Drains lanes while doorbells do not arrive, because the broker is away, full or read-only.

A worker that has received no message for two seconds asks Postgres for lanes with old commands. If it finds
some, it keeps looking, ten times a second, until messages arrive again or nothing is left.
"""

import time

from pointledger.logs import Log, Outage
from pointledger.storage.errors import may_pass
from pointledger.storage.queue import pending

from .runtime import runtime

_QUIET_SECONDS = 2.0  # as often as beat rings, so a worker without a message for longer may be cut off
_LOOK_SECONDS = 0.1  # between looks while it finds commands
_WATCHFUL_SECONDS = 10.0  # after the last find

_log = Log("pointledger.workers")


class Lookout:
    """Looks for commands whose doorbells do not arrive. It belongs to the thread that runs the tasks."""

    def __init__(self) -> None:
        self._message_at = self._looked_at = time.monotonic()
        self._found_at = float("-inf")
        self._database = Outage(_log, "look", "database_is_away", "database_is_back")

    def note_message(self) -> None:
        """Note that a message has arrived, so doorbells work."""
        self._message_at = time.monotonic()

    def look(self) -> None:
        """Drain the lanes with old commands, if it is time."""
        now = time.monotonic()
        is_watchful = now - self._found_at < _WATCHFUL_SECONDS
        if now - self._message_at < _QUIET_SECONDS:
            return
        if now - self._looked_at < (_LOOK_SECONDS if is_watchful else _QUIET_SECONDS):
            return
        try:
            done = self._drain(0.0 if is_watchful else _QUIET_SECONDS)
        except Exception as error:  # like an error in a task, it must not end the worker
            self._database.noticed(error, bug=None if may_pass(error) else error)
            done = 0
        else:
            self._database.over()
        self._looked_at = time.monotonic()
        if done:
            self._found_at = self._looked_at

    def _drain(self, older_than_seconds: float) -> int:
        with runtime().database.connect() as connection:
            lanes = pending.waiting_lanes(connection, older_than_seconds)
        return sum(runtime().engine.drain(lane) for lane in lanes)
