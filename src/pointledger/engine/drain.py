"""Drains a lane: applies its pending commands in order, batch by batch, for at most one time slice.

A lane is a slice of the journal by user; Kafka calls it a partition. Each batch goes through these phases:

| phase         | what the worker does                                                    | where           |
| ------------- | ----------------------------------------------------------------------- | --------------- |
| acquire lane  | Takes the lane's lock. If it is taken, asks its holder to look again.   | Redis           |
| peek          | Reads the lane's next commands, in order.                               | one statement   |
| note attempt  | Notes on the lane's row that a batch begins, in case this process dies. | same statement  |
| acquire users | Takes the locks of all users. Commands of busy users are left out.      | Redis           |
| lock lane     | Locks the lane's row, then reads the database's clock.                  | the transaction |
| claim         | Keeps the commands that are still pending.                              | the transaction |
| load          | Locks the accounts, sorted, and reads the read set of the decisions.    | the transaction |
| decide        | Decides the commands one after the other, without IO.                   | memory          |
| save          | Writes entries, lots, usage and accounts.                               | the transaction |
| count         | Adds to the counters of shared limits.                                  | the transaction |
| end           | Writes outcomes in order of application, deletes pending rows, commits. | the transaction |
| notify        | Wakes callers that wait for outcomes and releases the users' locks.     | Redis           |

`batch.py` has the phases from *lock lane* to *end*. It also notes the attempt of a command that is applied
alone and of a batch that is retried.

Bounds: a batch has at most `Settings.batch_size` commands, and a time slice lasts `_TIME_SLICE_SECONDS`. Then
the worker rings the lane again, so a busy lane does not occupy it. A batch that meets a transient error is
tried `_ATTEMPTS` times.

Order: commands of one user are applied in the order of acceptance. If a command is left out, the later
commands of the same user are left out as well, so none overtakes it.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import sqlalchemy as sa

from pointledger import failpoints
from pointledger.domain.commands.accepted import Accepted, users_of
from pointledger.domain.commands.records import UnknownPayload, decode
from pointledger.engine.batch import Batches, Peeked
from pointledger.engine.failures import describe
from pointledger.engine.locks import Locks, User, new_token
from pointledger.engine.precedence import sender
from pointledger.logs import Log
from pointledger.messaging.doorbell import Doorbells
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import autocommit
from pointledger.storage.errors import is_transient, sqlstate
from pointledger.storage.queue import pending

_TIME_SLICE_SECONDS = 0.25  # the longest that doorbells of other lanes wait behind a busy lane
_USER_LOCKS_SECONDS = 0.05  # to wait for busy users; then the row locks decide, which queue fairly
_ATTEMPTS = 3  # after a deadlock or a lost connection; then beat rings the lane again

_log = Log(__name__)


class Engine:
    """Applies commands; one per process.

    It calls `callbacks_due` when callbacks of commands by name can be sent.
    """

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
        self._after: dict[int, int | None] = {}  # by lane: the tenants' queue after which a batch begins

    def drain(self, lane: int) -> int:
        """Apply pending commands of the lane for one time slice, and return how many got their outcome.

        Return 0 at once if another worker holds the lane. Raise the database's error if it stays unavailable.
        """
        token = new_token()
        if not self._locks.acquire_lane(lane, token):
            counters.LANE_CONTENTIONS.inc()
            return 0
        began, done, is_released = time.monotonic(), 0, False
        try:
            while time.monotonic() - began < _TIME_SLICE_SECONDS:
                applied, is_all = self._next_batch(lane, token, self._batches.sizes.next(lane))
                done += applied
                # A command accepted after the peek has rung the lane, so the release fails and we go on.
                if is_all and self._locks.release_lane_if_idle(lane, token):
                    is_released = True
                    break
                done += self._serve_express(lane, token)
        except Exception:
            self._batches.attempt_failed(lane)
            raise
        finally:
            if not is_released:
                self._locks.abandon_lane(lane, token)
            if done:
                duration_ms = round((time.monotonic() - began) * 1000)
                _log.info("drained", action="drain", lane=lane, commands=done, duration_ms=duration_ms)
        # A worker that applied the earlier command may not have seen yet that a command here waits for it.
        if not is_released or self._batches.has_waiting:
            self._batches.has_waiting = False
            self._doorbells.ring([lane], force=True)
        return done

    def _next_batch(self, lane: int, token: str, limit: int) -> tuple[int, bool]:
        """Apply the next batch. Return how many commands got their outcome, and whether none is left."""
        peeked = self._peek(lane, limit)
        applied = self._apply_locked(lane, peeked, token) if peeked.batch else 0
        return applied, peeked.is_all and applied == len(peeked.batch)

    def _serve_express(self, own_lane: int, token: str) -> int:
        """Apply a small batch of each lane in which a command waits behind a long backlog.

        Return how many commands got their outcome.
        """
        lanes = self._locks.take_express()
        if lanes:
            self._batches.sizes.note_waiting()
        return sum(self._serve_lane(lane, own_lane, token) for lane in lanes)

    def _serve_lane(self, lane: int, own_lane: int, token: str) -> int:
        if lane == own_lane:
            return self._next_batch(lane, token, self._batches.sizes.express(lane))[0]
        if not self._locks.acquire_express(lane, token):
            return 0  # the lane's holder serves it after its batch
        try:
            return self._next_batch(lane, token, self._batches.sizes.express(lane))[0]
        except Exception:
            self._batches.attempt_failed(lane)
            raise
        finally:
            if not self._locks.release_express(lane, token):
                self._doorbells.ring([lane], force=True)

    def _peek(self, lane: int, limit: int) -> Peeked:
        """Read the lane's next commands and note on its row that a batch begins.

        A command of an unknown version is deferred; any other command that cannot be read has failed. Either
        blocks the later commands of its user.
        """
        self._batches.clear_crash(lane)
        with autocommit(self._database, self._settings) as connection:
            failpoints.before("peek")
            found = pending.peek(connection, lane, limit, self._after.get(lane))
        failpoints.after("peek")
        queued = found.commands
        self._after[lane] = found.last_queue
        if found.busy:
            self._locks.note_busy(found.busy)
        is_noted = bool(queued)
        batch: list[Accepted] = []
        crash_suspects: set[User] = set()
        blocked: set[User] = set()
        unreadable: dict[User, tuple[UUID, str]] = {}
        for row in queued:
            user = row.tenant_id, row.user_id
            if user in unreadable or user in blocked:
                continue
            if row.has_failed:
                crash_suspects.add(user)
            try:
                batch.append(_read(row))
            except UnknownPayload as error:
                unreadable[user] = row.id, str(error)
            except Exception as error:  # a command that breaks the decoder must not stop its lane
                self._batches.failures.record(lane, row.id, describe(error), blocked)
                is_noted = False
        if unreadable:
            self._batches.failures.defer(lane, unreadable)
            is_noted = False
        crashes, quarantined = (queued[0].crashes, queued[0].quarantined) if queued else (0, None)
        return Peeked(batch, crash_suspects, crashes, quarantined, found.is_all, is_noted)

    def _apply_locked(self, lane: int, peeked: Peeked, token: str) -> int:
        """Apply one batch under its users' locks, and return how many commands got their outcome."""
        users = sorted(users_of(peeked.batch))
        try:
            ready = self._acquire_users(lane, peeked.batch, users, token)
            done = self._apply_with_retries(lane, replace(peeked, batch=ready))
            self._doorbells.notify(lane)
        finally:
            self._locks.release_users(users, token)
        return done

    def _acquire_users(
        self, lane: int, batch: list[Accepted], users: list[User], token: str
    ) -> list[Accepted]:
        """Return the commands whose users are all locked, or all commands if no user gets free in time."""
        ready = _without(batch, self._locks.acquire_users(lane, users, token))
        if ready:
            return ready
        began = time.monotonic()
        while not ready and time.monotonic() - began <= _USER_LOCKS_SECONDS:
            time.sleep(random.uniform(0.001, 0.005))  # noqa: S311  (jitter: no two retry in step)
            ready = _without(batch, self._locks.acquire_users(lane, users, token))
        counters.LOCK_WAITS.observe(time.monotonic() - began)
        return ready or batch

    def _apply_with_retries(self, lane: int, peeked: Peeked) -> int:
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return self._batches.apply(lane, peeked)
            except Exception as error:
                if not attempts_left or not is_transient(error):
                    raise
                counters.BATCH_RETRIES.labels(sqlstate(error) or type(error).__name__).inc()
                _log.warning("batch_retried", action="drain", lane=lane, error=type(error).__name__)
                time.sleep(random.uniform(0.005, 0.02))  # noqa: S311
                peeked = replace(peeked, is_noted=False)
        raise AssertionError("the last attempt returns or raises")


def _read(row: pending.QueuedCommand) -> Accepted:
    """Decode a journal row. Raise UnknownPayload for a version that this program does not know."""
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
    """Return the commands that involve no busy user and follow no left-out command of their sender."""
    ready, left_out = [], set()
    for accepted in batch:
        if sender(accepted) in left_out or users_of([accepted]) & busy:
            left_out.add(sender(accepted))
        else:
            ready.append(accepted)
    return ready
