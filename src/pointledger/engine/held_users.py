"""Goes on without users whose rows another session has locked, such as a person's in psql.

A batch waits for a row lock once, up to `Settings.lock_timeout_ms`. Then the worker finds out who is locked
and defers only those users, without a failure. As long as they stay locked, it asks without waiting.
"""

import sqlalchemy as sa

from pointledger.domain.commands.accepted import Accepted, users_of
from pointledger.engine.failures import FailureRecorder
from pointledger.engine.locks import User
from pointledger.engine.peeked import Lanes, sender
from pointledger.logs import Log
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.ledger import row_locks

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 8.0

_log = Log(__name__)


class HeldUsers:
    """The users that this process has found locked, each with the seconds until it asks again."""

    def __init__(self, database: sa.Engine, settings: Settings, failures: FailureRecorder) -> None:
        self._database = database
        self._settings = settings
        self._failures = failures
        self._pauses: dict[User, float] = {}

    def exclude(self, lanes: Lanes, batch: list[Accepted], blocked: set[User]) -> None:
        """Block those of the held users that are still locked."""
        if not self._pauses or not (held := users_of(batch) & self._pauses.keys()):
            return
        locked = self._locked(held)
        for user in held - locked.keys():
            del self._pauses[user]
        self._defer(lanes, batch, locked, blocked)

    def find(self, lanes: Lanes, batch: list[Accepted], blocked: set[User]) -> bool:
        """Block the users who are locked, after a batch waited in vain. Return whether there are any."""
        locked = self._locked(users_of(batch))
        self._defer(lanes, batch, locked, blocked)
        return bool(locked)

    def _locked(self, users: set[User]) -> dict[User, str]:
        with transaction(self._database, self._settings) as connection:
            return row_locks.locked_users(connection, sorted(users))

    def _defer(
        self, lanes: Lanes, batch: list[Accepted], locked: dict[User, str], blocked: set[User]
    ) -> None:
        for user, session in locked.items():
            pause = self._pauses.get(user, _FIRST_PAUSE_SECONDS)
            waiting = [one for one in batch if user in users_of([one]) and sender(one) not in blocked]
            if waiting:
                error = f"another session has locked the user's account: {session}"
                self._failures.defer_users(lanes, waiting, error, blocked, seconds=pause)
            if user not in self._pauses:
                counters.HELD_USERS.inc()
                _log.warning("user_locked", action="drain", tenant_id=user[0], session=session)
            self._pauses[user] = min(pause * 2, _LONGEST_PAUSE_SECONDS)
