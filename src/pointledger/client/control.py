"""Control: what is done to commands that wait. One may be cancelled; a tenant's may be held and let go."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.outcomes import CANCELLED
from pointledger.domain.values.actor import By
from pointledger.errors import InvalidCommand, NotDead, NotWaiting
from pointledger.ids import parse_id, show_id
from pointledger.messaging.doorbell import Doorbells
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.errors import Attempt, is_transient, telling
from pointledger.storage.ledger import audit_log, program
from pointledger.storage.queue import cancellations, dead_letters, failures, job_runs, journal, lanes, pauses
from pointledger.storage.queue.failures import Which

_TRIES = 6  # of two seconds each for a lane's row: whoever is frozen holding it is ended after five
_RETRIED_AT_ONCE = 100  # in one transaction, an act each: a tenth of a second
_MESSAGE = "cancelled before it was applied"

Result = TypeVar("Result")


class Control:
    """Acts on what waits in one database."""

    def __init__(self, database: sa.Engine, doorbells: Doorbells, settings: Settings) -> None:
        self._database = database
        self._doorbells = doorbells
        self._settings = settings

    def cancel(self, task_id: str, by: By) -> None:
        """Refuses a command that waits, with the reason CANCELLED. Raises NotWaiting when it is too late.

        The lane's row is locked first, as for applying: a command is applied or cancelled, never both.
        """
        try:
            asked = parse_id(task_id)
        except ValueError as error:
            raise InvalidCommand(f"task_id: {error}") from None
        with _acting() as attempt:
            with transaction(self._database, self._settings) as connection:
                lane = journal.lane_of(connection, asked)
            if lane is None:
                self._withdraw(asked, by, attempt)
                return
            if not _patiently(partial(self._cancel, lane, task_id, by, attempt)):
                raise NotWaiting(task_id)
        self._doorbells.tell(lane)
        self._doorbells.ring([lane])  # its followers may have waited for it

    def _withdraw(self, task_id: UUID, by: By, attempt: Attempt) -> None:
        """The same of a command that was sent for later and is not accepted yet. Raises NotWaiting."""
        with self._transaction(attempt) as connection:
            tenant_id = dead_letters.withdraw(connection, task_id, CANCELLED, _MESSAGE)
            if tenant_id is None:
                raise NotWaiting(show_id(task_id))
            audit_log.record(connection, tenant_id, "cancel", by, command_id=task_id)

    def _cancel(self, lane: int, task_id: str, by: By, attempt: Attempt) -> bool:
        with self._transaction(attempt) as connection:
            moment = lanes.fence(connection, lane)
            command_id = journal.first_id(connection, parse_id(task_id))
            cancelled = cancellations.cancel(connection, lane, command_id, moment, CANCELLED, _MESSAGE)
            refusal = None if cancelled else "NOT_WAITING"
            tenant_id = journal.tenant_of(connection, command_id)
            audit_log.record(connection, tenant_id, "cancel", by, command_id=command_id, refusal=refusal)
            return cancelled

    def retry(self, task_id: str, by: By) -> str:
        """Lets a dead command try again, at the end of its user's queue; its own id. Raises NotDead."""
        try:
            asked = parse_id(task_id)
        except ValueError as error:
            raise InvalidCommand(f"task_id: {error}") from None
        with self._acting_once() as connection:
            if journal.lane_of(connection, asked) is None:
                raise NotDead(task_id)
            command_id = journal.first_id(connection, asked)
            lane = failures.revive(connection, command_id)
            refusal = "NOT_DEAD" if lane is None else None
            tenant_id = journal.tenant_of(connection, command_id)
            audit_log.record(connection, tenant_id, "dead-retry", by, command_id=command_id, refusal=refusal)
        if lane is None:
            raise NotDead(task_id)
        self._doorbells.ring([lane])
        return show_id(command_id)

    def dead_by_now(self, which: Which) -> Which:
        """These, without any that die from now on: who tries all again does not go round in circles."""
        with telling(), self._database.connect() as connection:
            now = job_runs.now(connection)
        return which._replace(until=min(which.until or now, now))

    def retry_some(self, which: Which, by: By) -> list[str]:
        """Lets the first of these try again that are dead, in the order of their acceptance; their ids. Each
        command's retry is an act of its own."""
        with self._acting_once() as connection:
            revived = failures.revive_some(connection, which, _RETRIED_AT_ONCE)
            for one in revived:
                audit_log.record(connection, one.tenant_id, "dead-retry", by, command_id=one.id)
        self._doorbells.ring({one.lane for one in revived})
        return [show_id(one.id) for one in revived]

    def pause(self, tenant_id: str, by: By) -> datetime:
        """Lets the tenant's commands wait, and its sweeps; since when they do. When this returns, nothing of
        it is being applied any more. Raises TenantMissing."""
        with _acting() as attempt:
            with self._transaction(attempt) as connection:
                since = _pause(connection, tenant_id, by)
            with transaction(self._database, self._settings) as connection:
                every_lane = pauses.all_lanes(connection)
            for lane in every_lane:
                _patiently(partial(self._pass_by, lane))
        return since

    def _pass_by(self, lane: int) -> None:
        """Waits for the batch that is being applied; the next one sees the pause."""
        with transaction(self._database, self._settings) as connection:
            lanes.fence(connection, lane)

    def resume(self, tenant_id: str, by: By) -> bool:
        """Lets the tenant's commands go on, and rings their lanes; whether it was paused. Raises
        TenantMissing."""
        with self._acting_once() as connection:
            program.tenant(connection, tenant_id)
            before = {"paused_since": pauses.paused(connection).get(tenant_id)}
            was_paused = pauses.resume(connection, tenant_id)
            audit_log.record(connection, tenant_id, "resume", by, before=before, after={"paused_since": None})
            waiting = pauses.lanes_of(connection, tenant_id)
        self._doorbells.ring(waiting, whatever_the_door_says=True)
        return was_paused

    @contextmanager
    def _acting_once(self) -> Iterator[sa.Connection]:
        with _acting() as attempt, self._transaction(attempt) as connection:
            yield connection

    @contextmanager
    def _transaction(self, attempt: Attempt) -> Iterator[sa.Connection]:
        with attempt.transacting(), transaction(self._database, self._settings) as connection:
            yield connection
            attempt.committing()


def _acting() -> AbstractContextManager[Attempt]:
    return telling("nothing was done", lambda: "it may be done all the same: look before you do it again")


def _pause(connection: sa.Connection, tenant_id: str, by: By) -> datetime:
    program.tenant(connection, tenant_id)
    before = {"paused_since": pauses.paused(connection).get(tenant_id)}
    since = pauses.pause(connection, tenant_id)
    audit_log.record(connection, tenant_id, "pause", by, before=before, after={"paused_since": since})
    return since


def _patiently(act: Callable[[], Result]) -> Result:
    """Tries again what is nobody's fault: mostly a batch that takes its time over the lane."""
    for tries_left in reversed(range(_TRIES)):
        try:
            return act()
        except Exception as error:
            if not tries_left or not is_transient(error):
                raise
            time.sleep(random.uniform(0.005, 0.02))  # noqa: S311  (jitter)
    raise AssertionError("the last try returns or raises")
