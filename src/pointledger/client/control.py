"""Controls pending and dead commands: cancel, retry, pause, resume; and replays dead letters."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa

from pointledger.client.attempts import pause
from pointledger.client.given_ids import given_id
from pointledger.domain.commands.outcomes import CANCELLED
from pointledger.domain.values.actor import Actor
from pointledger.errors import NotDead, NotWaiting
from pointledger.ids import parse_id, show_id
from pointledger.messaging.doorbell import Doorbells
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.errors import Attempt, is_transient, translate_errors
from pointledger.storage.ledger import audit_log, program
from pointledger.storage.queue import (
    cancellations,
    dead_letters,
    failures,
    job_runs,
    journal,
    lanes,
    pauses,
    verify_runs,
)
from pointledger.storage.queue.failures import DeadCommandFilter

_ATTEMPTS = 6  # two seconds each for a lane's row, because Postgres ends a stalled holder after five
_RETRIED_AT_ONCE = 100  # in one transaction, with an audit record each: a tenth of a second
_MESSAGE = "canceled before it was applied"

Result = TypeVar("Result")


class Control:
    """Controls the commands of one database."""

    def __init__(self, database: sa.Engine, doorbells: Doorbells, settings: Settings) -> None:
        self._database = database
        self._doorbells = doorbells
        self._settings = settings

    def cancel(self, task_id: str, actor: Actor) -> None:
        """Refuse a pending command with the reason CANCELLED. Raise NotWaiting if it is too late.

        It locks the lane's row first, as workers do, so a command is applied or cancelled, never both.
        """
        wanted_id = given_id("task_id", task_id)
        with _translated() as attempt:
            with transaction(self._database, self._settings) as connection:
                lane = journal.lane_of(connection, wanted_id)
            if lane is None:
                self._withdraw(wanted_id, actor, attempt)
                return
            if not _retried(self._database, partial(self._cancel, lane, task_id, actor, attempt)):
                raise NotWaiting(task_id)
        self._doorbells.notify([lane])
        self._doorbells.ring([lane])  # later commands of the user may have waited for it

    def _withdraw(self, task_id: UUID, actor: Actor, attempt: Attempt) -> None:
        """Refuse a deferred command by name, which is not accepted yet. Raise NotWaiting."""
        with self._transaction(attempt) as connection:
            tenant_id = dead_letters.withdraw(connection, task_id, CANCELLED, _MESSAGE)
            if tenant_id is None:
                raise NotWaiting(show_id(task_id))
            audit_log.record(connection, tenant_id, "cancel", actor, command_id=task_id)

    def _cancel(self, lane: int, task_id: str, actor: Actor, attempt: Attempt) -> bool:
        with self._transaction(attempt) as connection:
            moment = lanes.lock_lanes(connection, lane)
            command_id = journal.first_id(connection, parse_id(task_id))
            cancelled = cancellations.cancel(connection, lane, command_id, moment, CANCELLED, _MESSAGE)
            refusal = None if cancelled else "NOT_WAITING"
            tenant_id = journal.tenant_of(connection, command_id)
            audit_log.record(connection, tenant_id, "cancel", actor, command_id=command_id, refusal=refusal)
            return cancelled

    def retry(self, task_id: str, actor: Actor) -> str:
        """Retry a dead command at the end of its user's queue, and return its id. Raise NotDead."""
        wanted_id = given_id("task_id", task_id)
        with self._single_transaction() as connection:
            if journal.lane_of(connection, wanted_id) is None:
                raise NotDead(task_id)
            command_id = journal.first_id(connection, wanted_id)
            lane = failures.retry(connection, command_id)
            refusal = "NOT_DEAD" if lane is None else None
            tenant_id = journal.tenant_of(connection, command_id)
            audit_log.record(
                connection, tenant_id, "dead-retry", actor, command_id=command_id, refusal=refusal
            )
        if lane is None:
            raise NotDead(task_id)
        self._doorbells.ring([lane])
        return show_id(command_id)

    def dead_by_now(self, which: DeadCommandFilter) -> DeadCommandFilter:
        """Limit the filter to commands that are dead now, so that retrying all of them ends."""
        with translate_errors(), self._database.connect() as connection:
            now = job_runs.now(connection)
        return which._replace(until=min(which.until or now, now))

    def retry_some(self, which: DeadCommandFilter, actor: Actor) -> list[str]:
        """Retry the first dead commands of the filter in the order of acceptance, and return their ids.

        Each retry gets its own audit record.
        """
        with self._single_transaction() as connection:
            retried = failures.retry_some(connection, which, _RETRIED_AT_ONCE)
            for one in retried:
                audit_log.record(connection, one.tenant_id, "dead-retry", actor, command_id=one.id)
        self._doorbells.ring({one.lane for one in retried})
        return [show_id(one.id) for one in retried]

    def replay(self, tenant_id: str, dead_letter_id: int, actor: Actor) -> bool:
        """Let the entry point of a dead letter retry it: a worker, or the ingest, does so within seconds.

        Return False if the tenant has no such message that is dead, or no entry point would retry it.
        """
        with self._single_transaction() as connection:
            is_asked_for = dead_letters.request_replay(connection, tenant_id, dead_letter_id)
            if is_asked_for:
                after = {"dead_letter": dead_letter_id, "state": "deferred"}
                before = {"dead_letter": dead_letter_id, "state": "dead"}
                audit_log.record(
                    connection, tenant_id, "dead-letter-replay", actor, before=before, after=after
                )
        return is_asked_for

    def pause(self, tenant_id: str, actor: Actor) -> datetime:
        """Pause the tenant's commands and jobs, and return the moment of the pause. Raise TenantMissing.

        When this returns, no worker is applying a command of the tenant.
        """
        with _translated() as attempt:
            with self._transaction(attempt) as connection:
                since = _pause(connection, tenant_id, actor)
            with transaction(self._database, self._settings) as connection:
                every_lane = pauses.all_lanes(connection)
            for lane in every_lane:
                _retried(self._database, partial(self._await_batch, lane))
        return since

    def _await_batch(self, lane: int) -> None:
        """Wait until the lane's current batch has ended; the next one sees the pause."""
        with transaction(self._database, self._settings) as connection:
            lanes.lock_lanes(connection, lane)

    def resume(self, tenant_id: str, actor: Actor) -> bool:
        """Resume the tenant, ring its lanes, and return whether it was paused. Raise TenantMissing."""
        with self._single_transaction() as connection:
            program.tenant(connection, tenant_id)
            before = {"paused_since": pauses.paused(connection).get(tenant_id)}
            was_paused = pauses.resume(connection, tenant_id)
            audit_log.record(
                connection, tenant_id, "resume", actor, before=before, after={"paused_since": None}
            )
            waiting = pauses.lanes_of(connection, tenant_id)
        self._doorbells.ring(waiting, force=True)
        return was_paused

    def verify(self, tenant_id: str, actor: Actor) -> bool:
        """Ask workers to check the tenant's invariants. Return False if a check is asked for or runs already.
        Raise TenantMissing."""
        with self._single_transaction() as connection:
            program.tenant(connection, tenant_id)
            is_new = verify_runs.ask(connection, tenant_id, actor)
            if is_new:
                audit_log.record(connection, tenant_id, "verify", actor)
        return is_new

    @contextmanager
    def _single_transaction(self) -> Iterator[sa.Connection]:
        with _translated() as attempt, self._transaction(attempt) as connection:
            yield connection

    @contextmanager
    def _transaction(self, attempt: Attempt) -> Iterator[sa.Connection]:
        with attempt.transacting(), transaction(self._database, self._settings) as connection:
            yield connection
            attempt.committing()


def _translated() -> AbstractContextManager[Attempt]:
    return translate_errors("nothing was done", lambda: "it may be done; check before you repeat it")


def _pause(connection: sa.Connection, tenant_id: str, actor: Actor) -> datetime:
    program.tenant(connection, tenant_id)
    before = {"paused_since": pauses.paused(connection).get(tenant_id)}
    since = pauses.pause(connection, tenant_id)
    audit_log.record(connection, tenant_id, "pause", actor, before=before, after={"paused_since": since})
    return since


def _retried(database: sa.Engine, call: Callable[[], Result]) -> Result:
    """Call again on transient errors, mostly a batch that holds the lane's row for long."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            return call()
        except Exception as error:
            if not attempts_left or not is_transient(error):
                raise
            pause(database)
    raise AssertionError("the last attempt returns or raises")
