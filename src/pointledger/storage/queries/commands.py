"""Reads the way of one command: accepted, waiting, attempts, outcome, entries and repetitions."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.ids import bounds_of_millisecond, milliseconds_of
from pointledger.storage.database import rows
from pointledger.storage.queries.accounts import ENTRIES_IN
from pointledger.storage.queries.rows import shown
from pointledger.storage.queue.pauses import PAUSED
from pointledger.storage.queue.pending import at_place

MOST_BEFORE = 10_000  # pending commands that are searched and counted
MOST_ENTRIES = 1_000  # that are shown
MOST_REPETITIONS = 100


class CommandRow(NamedTuple):
    """An accepted command with its failures and its outcome, as far as it has them."""

    id: UUID
    seq: int
    lane: int
    kind: str
    user_id: str
    actor: str
    idempotency_key: str | None
    occurred_at: datetime | None
    accepted_at: datetime
    payload: dict[str, Any]
    extensions: dict[str, Any] | None
    attempts: int | None
    error: str | None
    next_attempt_at: datetime | None
    dead_at: datetime | None
    waits_for_another: bool
    state: str | None
    reason: str | None
    message: str | None
    applied_at: datetime | None
    data: dict[str, Any] | None
    batch: int | None
    place: int | None
    is_paused: bool
    blocked_by: UUID | None


# An infinite wait is that of a dead command that blocks its user.
_COMMAND = f"""
SELECT j.id, j.seq, j.lane, j.kind, j.user_id, j.actor, j.idempotency_key, j.occurred_at, j.accepted_at,
       j.payload, j.extensions, f.attempts, f.error, nullif(f.next_attempt_at, 'infinity') AS next_attempt_at,
       f.dead_at, coalesce(f.waits_until > now(), false) AS waits_for_another,
       o.state, o.reason, o.message, o.applied_at, o.data, o.batch, o.place,
       j.tenant_id = ANY ({PAUSED}) AS is_paused,
       (SELECT b.id FROM failures b
        WHERE b.lane = j.lane AND b.next_attempt_at > now() AND b.tenant_id = j.tenant_id
          AND b.user_id = j.user_id AND b.id <> j.id LIMIT 1) AS blocked_by
FROM journal j LEFT JOIN failures f ON f.id = j.id LEFT JOIN outcomes o ON o.id = j.id
WHERE j.id = coalesce((SELECT journal_id FROM aliases a WHERE a.id = %(id)s), %(id)s)
  AND j.tenant_id = %(tenant)s"""  # noqa: S608  (constants only)


def command(connection: sa.Connection, tenant_id: str, command_id: UUID) -> CommandRow | None:
    """Return the command with this id, also if it is that of a repetition; None if the tenant has none."""
    found = rows(connection, _COMMAND, tenant=tenant_id, id=command_id)
    return CommandRow(*found[0]) if found else None


_OF_TENANT = """
p.lane = %(lane)s AND p.tenant_hash >= hashtextextended(%(tenant)s, 0)
AND p.tenant_hash <= hashtextextended(%(tenant)s, 0)"""

# A command that was dead has a new place, so its `seq` is searched among those that wait.
_PLACE = f"""
SELECT coalesce(
    (SELECT p.seq FROM ({at_place("%(lane)s", "%(seq)s")}) AS p WHERE p.id = %(id)s),
    (SELECT seq FROM (SELECT p.seq, p.id FROM pending p WHERE {_OF_TENANT}
                      ORDER BY p.lane, p.tenant_hash, p.seq LIMIT %(most)s) AS waiting
     WHERE waiting.id = %(id)s)) AS seq"""  # noqa: S608  (constants only)

_BEFORE = f"""
SELECT count(*)
FROM (SELECT FROM pending p WHERE {_OF_TENANT} AND p.seq < %(seq)s LIMIT %(most)s) AS before"""  # noqa: S608


def before(connection: sa.Connection, tenant_id: str, waiting: CommandRow) -> int | None:
    """Count the tenant's commands that wait before this one in its lane, up to `MOST_BEFORE`.

    None if it does not wait, or is not among so many.
    """
    about = {"lane": waiting.lane, "tenant": tenant_id, "most": MOST_BEFORE}
    seq = rows(connection, _PLACE, seq=waiting.seq, id=waiting.id, **about)[0].seq
    if seq is None:
        return None
    return int(rows(connection, _BEFORE, seq=seq, **about)[0][0])


_REPETITIONS = "SELECT id FROM aliases WHERE journal_id = %(id)s ORDER BY id LIMIT %(most)s"


def repetitions(connection: sa.Connection, command_id: UUID) -> list[UUID]:
    """Return the other ids under which the command was sent."""
    return [row.id for row in rows(connection, _REPETITIONS, id=command_id, most=MOST_REPETITIONS)]


def entries(
    connection: sa.Connection, tenant_id: str, command_id: UUID, applied_at: datetime
) -> list[dict[str, Any]]:
    """Return the entries that the command wrote, in their order, in the API's fields.

    Their ids begin with the millisecond of the outcome, so they are one short index range.
    """
    after, last = bounds_of_millisecond(milliseconds_of(applied_at))
    found = rows(
        connection, ENTRIES_IN, tenant=tenant_id, after=after, last=last, command=command_id,
        most=MOST_ENTRIES,
    )  # fmt: skip
    return [shown(row) for row in found]
