"""Drains lanes: applies their pending commands in order, batch by batch, for at most one time slice.

A lane is a slice of the journal by user; Kafka calls it a partition. A worker that a doorbell wakes takes all
lanes that wait, so that one transaction serves the single commands of all of them. Each batch goes through
these phases:

| phase         | what the worker does                                                     | where           |
| ------------- | ------------------------------------------------------------------------ | --------------- |
| take lanes    | Takes the locks of the lanes that have rung. A taken lane's holder looks | Redis           |
|               | at it again.                                                             |                 |
| peek          | Reads the lanes' next commands, in order.                                | one statement   |
| note attempt  | Notes on the lanes' rows that a batch begins, in case this process dies. | same statement  |
| acquire users | Takes the locks of all users. Commands of busy users are left out.       | Redis           |
| lock lanes    | Locks the lanes' rows, then reads the database's clock.                  | the transaction |
| claim         | Keeps the commands that are still pending.                               | the transaction |
| load          | Locks the accounts, sorted, and reads the read set of the decisions.     | the transaction |
| decide        | Decides the commands one after the other, without IO.                    | memory          |
| save          | Writes entries, lots, usage and accounts.                                | the transaction |
| count         | Adds to the counters of shared limits.                                   | the transaction |
| end           | Writes outcomes in order of application, deletes pending rows, commits.  | the transaction |
| notify        | Wakes callers that wait for outcomes and releases the users' locks.      | Redis           |

`batch.py` has the phases from *lock lanes* to *end*. It also notes the attempt of a command that is applied
alone and of a batch that is retried.

Bounds: a batch has at most `Settings.batch_size` commands, and a time slice lasts `_TIME_SLICE_SECONDS`. Then
the worker rings again. Of several lanes with more commands than that, a worker keeps one, and other workers
take the rest; one of several stays free while a command is in a hurry. A batch that meets a transient error
is tried `_ATTEMPTS` times.

Order: a batch applies each tenant's commands in the order of acceptance, also those of several lanes. Tenants
take turns in it, so a batch that ends early has served each. If a command is left out, the later commands of
the same user are left out as well, so none overtakes it.
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
from pointledger.engine.batch import Batches
from pointledger.engine.failures import describe
from pointledger.engine.locks import Locks, Taken, User, new_token
from pointledger.engine.peeked import Peeked, lanes_of, sender
from pointledger.engine.traced import applying
from pointledger.logs import Log
from pointledger.messaging.doorbell import Doorbells
from pointledger.observability import counters
from pointledger.settings import Settings
from pointledger.storage.database import autocommit
from pointledger.storage.errors import is_transient, sqlstate
from pointledger.storage.queue.peek import Peek, QueuedCommand, peek, together

_TIME_SLICE_SECONDS = 0.25  # the longest that doorbells of other lanes wait behind a busy lane
_USER_LOCKS_SECONDS = 0.05  # to wait for busy users; then the row locks decide, which queue fairly
_MAX_CRASHES = 2  # in one lane; from then on its commands go one at a time
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
        self._batches = Batches(database, settings, callbacks_due, doorbells.ring, locks.has_ahead)
        self._after: dict[int, int | None] = {}  # by lane: the tenants' queue after which a batch begins

    def drain(self, lane: int) -> int:
        """Apply pending commands of the lane, and of all others that wait, for one time slice.

        Return how many got their outcome: 0 at once if another worker holds the lane and no other one waits.
        Raise the database's error if it stays unavailable.
        """
        token = new_token()
        taken = self._locks.take_lanes(lane, token)
        if not taken.lanes:
            counters.LANE_CONTENTIONS.inc()
            return 0
        began, done, unfinished = time.monotonic(), 0, set[int]()
        try:
            while taken.lanes:
                self._note(taken)
                applied, unfinished = self._next_batch(taken, token)
                done += applied
                if time.monotonic() - began >= _TIME_SLICE_SECONDS:
                    break
                before, token = token, new_token()
                # A command accepted after the peek has rung its lane, so the lane is taken again.
                taken = self._next_lanes(before, token, taken.backlog, unfinished)
                unfinished = set()
        except Exception:
            self._batches.attempt_failed(taken.lanes)
            raise
        finally:
            if taken.lanes:
                self._return(taken.lanes, token, unfinished)
            if done:
                duration_ms = round((time.monotonic() - began) * 1000)
                _log.info("drained", action="drain", commands=done, duration_ms=duration_ms)
        # A worker that applied the earlier command may not have seen yet that a command here waits for it.
        waiting, self._batches.waiting = self._batches.waiting, set()
        self._doorbells.ring(unfinished | waiting, force=True)
        return done

    def _note(self, taken: Taken) -> None:
        """Let other workers take the other lanes with a backlog, and make batches small for who waits."""
        if taken.free is not None:
            self._doorbells.ring([taken.free], beside=True)
        if taken.is_hurried:
            self._batches.sizes.note_waiting()

    def _return(self, lanes: list[int], token: str, unfinished: set[int]) -> None:
        """Unlock the lanes. Ring for one that rang in the meantime without a doorbell."""
        unserved = self._locks.return_lanes(lanes, token, unfinished)
        if unserved is not None and not unfinished:  # the caller rings the unfinished ones, which suffices
            self._doorbells.ring([unserved])

    def _next_lanes(self, before: str, token: str, backlog: int | None, unfinished: set[int]) -> Taken:
        """Keep one of the lanes with more commands, offer the rest to other workers, and take what waits."""
        kept = backlog if backlog in unfinished else min(unfinished, default=None)
        return self._locks.next_lanes(before, token, kept, unfinished - {kept})

    def _next_batch(self, taken: Taken, token: str) -> tuple[int, set[int]]:
        """Apply the next batch. Return how many commands got their outcome, and the lanes with more."""
        found, peeked = self._peek(self._batches.sizes.of_lanes(taken), is_hurried=taken.is_for_hurried)
        applied, left = self._apply_locked(peeked, token) if peeked.batch else (0, set[int]())
        return applied, left | {lane.lane for lane in found if not lane.is_all}

    def _peek(self, limits: dict[int, int], *, is_hurried: bool = False) -> tuple[list[Peek], Peeked]:
        """Read the lanes' next commands and note on their rows that a batch begins.

        A command of an unknown version is deferred; any other command that cannot be read has failed. Either
        blocks the later commands of its user.
        """
        self._batches.clear_crashes(limits)
        with autocommit(self._database, self._settings) as connection:
            failpoints.before("peek")
            found = peek(connection, limits, self._after, is_hurried=is_hurried)
        failpoints.after("peek")
        peeked = Peeked([], {})
        for lane in found:
            self._after[lane.lane] = lane.last_queue
            self._add(lane, peeked)
        if busy := set[str]().union(*(lane.busy for lane in found)):
            self._locks.note_busy(busy)
        if len(found) > 1:
            places = together(found)
            peeked.batch.sort(key=lambda accepted: places[accepted.seq])
        return found, peeked

    def _add(self, lane: Peek, peeked: Peeked) -> None:
        """Decode a lane's commands and add them to the batch."""
        is_noted = bool(lane.commands)
        blocked: set[User] = set()
        unreadable: dict[User, tuple[UUID, str]] = {}
        for row in lane.commands:
            user = row.tenant_id, row.user_id
            if user in unreadable or user in blocked:
                continue
            peeked.lanes[user] = lane.lane
            if row.has_failed:
                peeked.crash_suspects.add(user)
            try:
                peeked.batch.append(_read(row))
            except UnknownPayload as error:
                unreadable[user] = row.id, str(error)
            except Exception as error:  # a command that breaks the decoder must not stop its lane
                self._batches.failures.record(lane.lane, row.id, describe(error), blocked)
                is_noted = False
        if unreadable:
            self._batches.failures.defer(peeked.lanes, unreadable)
            is_noted = False
        if is_noted:
            peeked.noted.add(lane.lane)
        if lane.crashes >= _MAX_CRASHES:
            peeked.careful.add(lane.lane)
        if lane.quarantined:
            peeked.quarantined[lane.lane] = lane.quarantined

    def _apply_locked(self, peeked: Peeked, token: str) -> tuple[int, set[int]]:
        """Apply one batch under its users' locks.

        Return how many commands got their outcome, and the lanes in which others may not have got theirs.
        """
        users = sorted(users_of(peeked.batch))
        lanes = sorted(set(peeked.lanes.values()))
        try:
            ready = self._acquire_users(lanes, peeked.batch, users, token)
            with applying(self._database, self._settings, ready, lanes):
                done = self._apply_with_retries(replace(peeked, batch=ready))
            self._doorbells.notify(lanes)
        finally:
            self._locks.release_users(users, token)
        left = lanes_of(peeked.lanes, ready) if done < len(ready) else set[int]()
        if len(ready) < len(peeked.batch):
            applied = {accepted.seq for accepted in ready}
            left |= lanes_of(peeked.lanes, [one for one in peeked.batch if one.seq not in applied])
        return done, left

    def _acquire_users(
        self, lanes: list[int], batch: list[Accepted], users: list[User], token: str
    ) -> list[Accepted]:
        """Return the commands whose users are all locked, or all commands if no user gets free in time."""
        ready = _without(batch, self._locks.acquire_users(lanes, users, token))
        if ready:
            return ready
        began = time.monotonic()
        while not ready and time.monotonic() - began <= _USER_LOCKS_SECONDS:
            time.sleep(random.uniform(0.001, 0.005))  # noqa: S311  (jitter: no two retry in step)
            ready = _without(batch, self._locks.acquire_users(lanes, users, token))
        counters.LOCK_WAITS.observe(time.monotonic() - began)
        return ready or batch

    def _apply_with_retries(self, peeked: Peeked) -> int:
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return self._batches.apply(peeked)
            except Exception as error:
                if not attempts_left or not is_transient(error):
                    raise
                counters.BATCH_RETRIES.labels(sqlstate(error) or type(error).__name__).inc()
                _log.warning("batch_retried", action="drain", error=type(error).__name__)
                time.sleep(random.uniform(0.005, 0.02))  # noqa: S311
                peeked = replace(peeked, noted=set())
        raise AssertionError("the last attempt returns or raises")


def _read(row: QueuedCommand) -> Accepted:
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
    if not busy:
        return batch
    ready, left_out = [], set()
    for accepted in batch:
        if sender(accepted) in left_out or users_of([accepted]) & busy:
            left_out.add(sender(accepted))
        else:
            ready.append(accepted)
    return ready
