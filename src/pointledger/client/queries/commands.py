"""Queries about one command: what has become of it, and why it still waits."""

from dataclasses import dataclass
from typing import Any, Literal

from pointledger.client.given_ids import given_id
from pointledger.client.queries.base import Queries
from pointledger.client.queries.results import iso
from pointledger.domain.ledger.outcome_data import expand
from pointledger.ids import show_id
from pointledger.storage.database import read_only
from pointledger.storage.ledger import program
from pointledger.storage.queries import commands
from pointledger.storage.queries.commands import CommandRow

State = Literal["pending", "failing", "dead", "applied", "refused"]


@dataclass(frozen=True, slots=True)
class CommandWay:
    """The way of a command. Moments are in ISO 8601."""

    task_id: str
    """Its id."""
    asked_id: str
    """The id that was asked for: another one if that was a repetition."""
    kind: str
    """What it is, like `earn`."""
    tenant_id: str
    """Its tenant."""
    user_id: str
    """Its member."""
    actor: str
    """The person or program that sent it."""
    state: State
    """`failing` is pending after a failed attempt."""
    accepted_at: str
    """When it was accepted."""
    occurred_at: str | None
    """When it happened, by its sender."""
    idempotency_key: str | None
    """The key that its sender gave."""
    payload: dict[str, Any]
    """The other fields as they were sent."""
    extensions: dict[str, Any] | None
    """What the sender's event carried besides."""
    lane: int
    """The lane in which it waits or waited."""
    before: int | None
    """How many commands of the tenant wait before it in the lane, up to 10,000. None if it does not wait, or
    if more do."""
    waits_for: tuple[Literal["the pause", "an earlier command", "the next attempt"], ...]
    """What it waits for besides its place."""
    blocked_by: str | None
    """The failing or dead command of the same member that must go first. None: there is none."""
    attempts: int
    """How often it has failed."""
    error: str | None
    """The error of its last failed attempt."""
    next_attempt_at: str | None
    """When it is tried again."""
    dead_at: str | None
    """When it was given up."""
    applied_at: str | None
    """When its outcome was recorded."""
    reason: str | None
    """Why it was refused."""
    message: str | None
    """The same in words."""
    data: dict[str, Any] | None
    """Its outcome's data."""
    entries: tuple[dict[str, Any], ...]
    """The first thousand entries that it wrote, in the API's fields."""
    repetitions: tuple[str, ...]
    """Other ids under which it was sent, up to a hundred. They have its outcome."""

    @property
    def can_be_canceled(self) -> bool:
        """Whether it is not too late, as of the answer."""
        return self.state in ("pending", "failing")

    @property
    def can_be_retried(self) -> bool:
        """Whether it is dead."""
        return self.state == "dead"


class CommandQueries(Queries):
    """Queries about commands in one database."""

    def command(self, tenant_id: str, task_id: str) -> CommandWay | None:
        """Read the way of a command, also by the id of a repetition. None if the tenant has accepted none
        with this id: `PointsClient.outcome` knows messages that are deferred or dead letters. Raises
        TenantMissing, and InvalidCommand for a malformed id."""
        wanted = given_id("task_id", task_id)
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            found = commands.command(connection, tenant_id, wanted)
            if found is None:
                return None
            before, entries = None, list[dict[str, Any]]()
            if found.applied_at:
                entries = commands.entries(connection, tenant_id, found.id, found.applied_at)
            elif not found.dead_at:
                before = commands.before(connection, tenant_id, found)
            repetitions = commands.repetitions(connection, found.id)
        return _way(
            tenant_id, show_id(wanted), found, before, entries, [show_id(each) for each in repetitions]
        )


def _way(
    tenant_id: str,
    asked_id: str,
    found: CommandRow,
    before: int | None,
    entries: list[dict[str, Any]],
    repetitions: list[str],
) -> CommandWay:
    return CommandWay(
        task_id=show_id(found.id),
        asked_id=asked_id,
        kind=found.kind,
        tenant_id=tenant_id,
        user_id=found.user_id,
        actor=found.actor,
        state=_state(found),
        accepted_at=iso(found.accepted_at),
        occurred_at=iso(found.occurred_at) if found.occurred_at else None,
        idempotency_key=found.idempotency_key,
        payload=found.payload,
        extensions=found.extensions,
        lane=found.lane,
        before=before,
        waits_for=_waits_for(found),
        blocked_by=show_id(found.blocked_by) if found.blocked_by and _waits(found) else None,
        attempts=found.attempts or 0,
        error=found.error,
        next_attempt_at=iso(found.next_attempt_at) if found.next_attempt_at else None,
        dead_at=iso(found.dead_at) if found.dead_at else None,
        applied_at=iso(found.applied_at) if found.applied_at else None,
        reason=found.reason,
        message=found.message,
        data=expand(found.data),
        entries=tuple(entries),
        repetitions=tuple(repetitions),
    )


def _state(found: CommandRow) -> State:
    if found.state:
        return "applied" if found.state == "applied" else "refused"
    if found.dead_at:
        return "dead"
    return "failing" if found.attempts else "pending"


def _waits(found: CommandRow) -> bool:
    return not found.state and not found.dead_at


def _waits_for(
    found: CommandRow,
) -> tuple[Literal["the pause", "an earlier command", "the next attempt"], ...]:
    if not _waits(found):
        return ()
    waits: list[Literal["the pause", "an earlier command", "the next attempt"]] = []
    if found.is_paused:
        waits.append("the pause")
    if found.waits_for_another:
        waits.append("an earlier command")
    if found.next_attempt_at:
        waits.append("the next attempt")
    return tuple(waits)
