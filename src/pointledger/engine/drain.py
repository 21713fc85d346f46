"""The engine: `drain` applies what waits in one lane, batch after batch. A batch goes through these phases:

| phase  | does                                                                     | where            |
| ------ | ------------------------------------------------------------------------ | ---------------- |
| turn   | takes the lane's lock; if it is taken, its holder is told to look again  | Redis            |
| peek   | reads the lane's next commands, in order                                 | one statement    |
| try    | notes on the lane's row that a batch begins, in case this process dies   | the same         |
| users  | takes all their users' locks; who is busy elsewhere is left out          | Redis            |
| fence  | locks the lane's row, then reads the database's clock                    | the transaction  |
| claim  | keeps those commands that still wait                                     | the transaction  |
| load   | locks the accounts, sorted, and reads what the decisions may need        | the transaction  |
| decide | pure, one command after the other                                        | memory           |
| save   | entries, lots, usage, accounts                                           | the transaction  |
| count  | what shared limits let through is added to their counters                | the transaction  |
| end    | outcomes, in the order of application; the pending rows go; COMMIT       | the transaction  |
| tell   | wakes those who wait and frees the users' locks                          | Redis            |

From `fence` to `end` it is `batch.py`'s, and so is the `try` of what goes alone or once more. A batch is
bounded by `Settings.batch_size`, a turn by `_TURN_SECONDS`; then the lane is rung again, so that a busy lane
does not keep a worker for ever.

Order: what is left out takes its sender's later commands with it, so that a command never overtakes one of
the same user that was accepted before it.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.records import UnknownPayload, decode
from pointledger.engine.batch import Batches, Peeked, told
from pointledger.engine.locks import Locks, User, new_token
from pointledger.engine.precedence import sender
from pointledger.logs import Log
from pointledger.messaging.doorbell import Doorbells
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import single
from pointledger.storage.errors import is_transient, sqlstate
from pointledger.storage.queue import journal

_TURN_SECONDS = 0.25  # the longest that other lanes' doorbells wait behind a busy lane
_PATIENCE_SECONDS = 0.05  # for users who are busy elsewhere; then the row locks, which queue fairly, decide
_TRIES = 3  # of a batch that met a deadlock or a lost connection; after that the beat rings again

_log = Log(__name__)


class Engine:
    """Applies commands. One per process. `callbacks_due` is called when callbacks of commands by name can be
    sent."""

    def __init__(
        self,
        database: sa.Engine,
        locks: Locks,
        doorbells: Doorbells,
        settings: Settings,
        callbacks_due: Callable[[], object] = lambda: None,
    ) -> None:
        self._database = database
        self._locks = locks
        self._doorbells = doorbells
        self._settings = settings
        self._batches = Batches(database, settings, callbacks_due, doorbells.ring)

    def drain(self, lane: int) -> int:
        """Applies what waits in the lane, for at most one turn; how many commands got their outcome.

        Returns at once when another worker is at it. Raises what the database raises when it stays away.
        """
        token = new_token()
        if not self._locks.enter(lane, token):
            counters.LANES_TAKEN.inc()
            return 0
        began, done, left = time.monotonic(), 0, False
        try:
            while time.monotonic() - began < _TURN_SECONDS:
                peeked = self._peek(lane)
                applied = self._round(lane, peeked, token) if peeked.batch else 0
                done += applied
                # What was accepted after the peek has rung: its doorbell was silent, or `leave` says no.
                if peeked.is_all and applied == len(peeked.batch) and self._locks.leave(lane, token):
                    left = True
                    break
        except Exception:
            self._batches.has_survived(lane)
            raise
        finally:
            if not left:
                self._locks.abandon(lane, token)
            if done:
                took = round((time.monotonic() - began) * 1000)
                _log.info("drained", action="drain", lane=lane, commands=done, duration_ms=took)
        # Whoever applied what a command of this lane waits for may not have seen yet that it does.
        if not left or self._batches.lets_wait:
            self._batches.lets_wait = False
            self._doorbells.ring([lane], whatever_the_door_says=True)
        return done

    def _peek(self, lane: int) -> Peeked:
        """The lane's next commands, and on its row that a batch begins. What cannot be read is charged or
        waits, and its user with it."""
        self._batches.survive(lane)
        with single(self._database, self._settings) as connection:
            failpoints.before("peek")
            waiting = journal.peek(connection, lane, self._settings.batch_size)
        failpoints.after("peek")
        is_noted = bool(waiting)
        batch: list[Accepted] = []
        suspects: set[User] = set()
        held: set[User] = set()
        unreadable: dict[User, tuple[UUID, str]] = {}
        for row in waiting:
            user = row.tenant_id, row.user_id
            if user in unreadable or user in held:
                continue
            if row.has_failed:
                suspects.add(user)
            try:
                batch.append(_read(row))
            except UnknownPayload as error:
                unreadable[user] = row.id, str(error)
            except Exception as error:  # it was accepted, so it is ours to bury, not to stumble over
                self._batches.charge(lane, row.id, told(error), held)
                is_noted = False
        if unreadable:
            self._batches.postpone(lane, unreadable)
            is_noted = False
        deaths, blamed = (waiting[0].deaths, waiting[0].blamed) if waiting else (0, None)
        is_all = len(waiting) < self._settings.batch_size
        return Peeked(batch, suspects, deaths, blamed, is_all, is_noted)

    def _round(self, lane: int, peeked: Peeked, token: str) -> int:
        """One batch under its users' locks; how many commands got their outcome."""
        users = sorted({(a.command.tenant_id, user) for a in peeked.batch for user in a.command.users})
        try:
            ready = self._take_users(lane, peeked.batch, users, token)
            done = self._apply(lane, replace(peeked, batch=ready))
            self._doorbells.tell(lane)
        finally:
            self._locks.release_users(users, token)
        return done

    def _take_users(self, lane: int, batch: list[Accepted], users: list[User], token: str) -> list[Accepted]:
        """The commands all of whose users are ours now; all of them when nobody gets free in time."""
        ready = _without(batch, self._locks.take_users(lane, users, token))
        if ready:
            return ready
        began = time.monotonic()
        while not ready and time.monotonic() - began <= _PATIENCE_SECONDS:
            time.sleep(random.uniform(0.001, 0.005))  # noqa: S311  (jitter: two must not keep step)
            ready = _without(batch, self._locks.take_users(lane, users, token))
        counters.LOCK_WAITS.observe(time.monotonic() - began)
        return ready or batch

    def _apply(self, lane: int, peeked: Peeked) -> int:
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._batches.apply(lane, peeked)
            except Exception as error:
                if not tries_left or not is_transient(error):
                    raise
                counters.TRIED_AGAIN.labels(sqlstate(error) or type(error).__name__).inc()
                _log.warning("tried_again", action="drain", lane=lane, error=type(error).__name__)
                time.sleep(random.uniform(0.005, 0.02))  # noqa: S311
                peeked = replace(peeked, is_noted=False)
        raise AssertionError("the last try returns or raises")


def _read(row: journal.Waiting) -> Accepted:
    """What stands in the journal, as a command. Raises UnknownPayload."""
    command = decode(
        row.kind,
        row.version,
        row.payload,
        command_id=row.id,
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        actor=row.actor,
        key=row.idempotency_key,
        occurred_at=row.occurred_at,
    )
    return Accepted(row.seq, command, row.accepted_at)


def _without(batch: list[Accepted], busy: set[User]) -> list[Accepted]:
    """The commands that touch nobody busy and come after nothing of their sender's that does."""
    ready, held = [], set()
    for accepted in batch:
        command = accepted.command
        touched = {(command.tenant_id, user_id) for user_id in command.users}
        if sender(accepted) in held or touched & busy:
            held.add(sender(accepted))
        else:
            ready.append(accepted)
    return ready
