"""Failures: commands whose processing failed, until they are applied, and dead commands."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows, run
from pointledger.storage.queue.callbacks import MARK_DUE, WAIT_AGAIN
from pointledger.storage.queue.pending import COLUMNS, columns_of

_ERROR_CHARACTERS = 2_000  # enough to diagnose, too little to fill a disk

_RECORD_FAILURE = """
INSERT INTO failures AS known (id, lane, tenant_id, user_id, attempts, error)
SELECT id, lane, tenant_id, user_id, 1, %(error)s FROM journal
WHERE id = %(id)s AND EXISTS (SELECT FROM pending p WHERE p.lane = %(lane)s AND p.id = journal.id)
ON CONFLICT (id) DO UPDATE SET attempts = known.attempts + 1, error = excluded.error
RETURNING attempts, tenant_id, user_id"""


class Failure(NamedTuple):
    """How often a command has failed, its tenant and its user."""

    attempts: int
    tenant_id: str
    user_id: str


def record_failure(connection: sa.Connection, lane: int, command_id: UUID, error: str) -> Failure | None:
    """Count a failed attempt; None if the command is not pending. The caller holds the lane's row lock."""
    text = error[:_ERROR_CHARACTERS].replace("\x00", "")
    found = rows(connection, _RECORD_FAILURE, lane=lane, id=command_id, error=text)
    return Failure(*found[0]) if found else None


def back_off(connection: sa.Connection, command_id: UUID, seconds: float) -> None:
    """Delay the command and the later commands of its user."""
    run(
        connection,
        """UPDATE failures SET next_attempt_at = clock_timestamp() + %(seconds)s * interval '1 second'
           WHERE id = %(id)s""",
        id=command_id,
        seconds=seconds,
    )


_MARK_DEAD = f"""
WITH gone AS (DELETE FROM pending WHERE lane = %(lane)s AND id = %(id)s RETURNING id),
     due AS ({MARK_DUE})
UPDATE failures SET dead_at = clock_timestamp(),
    next_attempt_at = CASE WHEN %(block)s THEN 'infinity'::timestamptz END
WHERE id = %(id)s"""  # noqa: S608  (constants only)


def mark_dead(connection: sa.Connection, lane: int, command_id: UUID, *, block: bool) -> None:
    """Mark the command dead. With `block`, later commands of its user wait until an operator retries it."""
    run(connection, _MARK_DEAD, id=command_id, lane=lane, block=block)


_DEFER = """
INSERT INTO failures AS known (id, lane, tenant_id, user_id, attempts, error, next_attempt_at)
SELECT id, lane, tenant_id, user_id, 0, %(error)s, clock_timestamp() + %(seconds)s * interval '1 second'
FROM journal
WHERE id = %(id)s AND EXISTS (SELECT FROM pending p WHERE p.lane = %(lane)s AND p.id = journal.id)
ON CONFLICT (id) DO UPDATE SET error = excluded.error, next_attempt_at = excluded.next_attempt_at"""


def unblock(connection: sa.Connection, tenant_id: str) -> None:
    """Stop dead commands of the tenant from blocking later commands of their users."""
    run(
        connection,
        """UPDATE failures SET next_attempt_at = NULL
           WHERE tenant_id = %(tenant)s AND dead_at IS NOT NULL AND next_attempt_at IS NOT NULL""",
        tenant=tenant_id,
    )


def defer(connection: sa.Connection, lane: int, command_id: UUID, error: str, seconds: float) -> None:
    """Delay a command that this version cannot read, without counting a failure.

    The caller holds the lane's row lock.
    """
    run(connection, _DEFER, lane=lane, id=command_id, error=error, seconds=seconds)


def clear(connection: sa.Connection, command_ids: list[UUID]) -> None:
    """Delete the failures of commands that have been applied or refused."""
    run(connection, "DELETE FROM failures WHERE id = ANY(%(ids)s::uuid[])", ids=command_ids)


# ------------------------------------------------------------------------------------------------- dead


@dataclass(frozen=True, slots=True)
class DeadCommand:
    """A dead command and its last error."""

    id: UUID
    tenant_id: str
    user_id: str
    kind: str
    attempts: int
    error: str
    accepted_at: datetime
    dead_at: datetime
    payload: dict[str, Any]
    extensions: dict[str, Any] | None


class DeadCommandFilter(NamedTuple):
    """Selects dead commands; None matches all."""

    tenant: str | None = None
    kind: str | None = None
    error: str | None = None  # part of the error's text, in any case
    since: datetime | None = None  # of `dead_at`, inclusive like `until`
    until: datetime | None = None
    group: str | None = None  # a group of `dead_groups`


# The first line of an error, without its ids and numbers: what errors with one cause have in common.
GROUP = r"""
regexp_replace(split_part(left(f.error, 300), E'\n', 1),
               '[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+', '…', 'g')"""

_MATCHES = f"""
f.dead_at IS NOT NULL
  AND (%(tenant)s::text IS NULL OR f.tenant_id = %(tenant)s) AND (%(kind)s::text IS NULL OR j.kind = %(kind)s)
  AND (%(error)s::text IS NULL OR position(lower(%(error)s) IN lower(f.error)) > 0)
  AND (%(group)s::text IS NULL OR {GROUP} = %(group)s)
  AND (%(since)s::timestamptz IS NULL OR f.dead_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR f.dead_at <= %(until)s)"""

_DEAD = f"""
SELECT f.id, f.tenant_id, f.user_id, j.kind, f.attempts, f.error, j.accepted_at, f.dead_at, j.payload,
       j.extensions
FROM failures f CROSS JOIN LATERAL (SELECT * FROM journal WHERE journal.id = f.id OFFSET 0) j
WHERE {_MATCHES}
  AND (%(id)s::uuid IS NULL
       OR f.id = coalesce((SELECT journal_id FROM aliases a WHERE a.id = %(id)s), %(id)s))
ORDER BY f.dead_at DESC, f.id LIMIT %(limit)s"""  # noqa: S608  (constants only)


ALL_DEAD = DeadCommandFilter()


def dead(
    connection: sa.Connection,
    which: DeadCommandFilter = ALL_DEAD,
    *,
    command_id: UUID | None = None,
    limit: int = 100,
) -> list[DeadCommand]:
    """Return dead commands, the latest first."""
    return [
        DeadCommand(*row) for row in rows(connection, _DEAD, id=command_id, limit=limit, **which._asdict())
    ]


_COUNT_DEAD = f"SELECT count(*) FROM failures f JOIN journal j USING (id) WHERE {_MATCHES}"  # noqa: S608


def count_dead(connection: sa.Connection, which: DeadCommandFilter) -> int:
    """Count dead commands."""
    return int(rows(connection, _COUNT_DEAD, **which._asdict())[0][0])


# CASE hides the condition from the index of the dead commands. If there were none at the last vacuum,
# Postgres takes that index for as good as the key, and reads all of them.
_RETRY = f"""
WITH gone AS (DELETE FROM failures
              WHERE id = coalesce((SELECT journal_id FROM aliases a WHERE a.id = %(id)s), %(id)s)
                AND CASE WHEN dead_at IS NULL THEN false ELSE true END
              RETURNING id, lane),
     again AS ({WAIT_AGAIN})
INSERT INTO pending ({COLUMNS})
SELECT gone.lane, nextval('journal_seq'), gone.id, {columns_of("j")}
FROM gone JOIN journal j USING (id) RETURNING lane"""  # noqa: S608  (constants only)


def retry(connection: sa.Connection, command_id: UUID) -> int | None:
    """Append a dead command to the pending ones; return its lane, or None if it is not dead."""
    found = rows(connection, _RETRY, id=command_id)
    return found[0][0] if found else None


class Retried(NamedTuple):
    """A command that was dead and is pending again."""

    id: UUID
    lane: int
    tenant_id: str


_RETRY_SOME = f"""
WITH chosen AS MATERIALIZED (
    SELECT f.id, f.lane, j.seq, j.tenant_id, j.user_id, j.kind, j.payload
    FROM failures f JOIN journal j USING (id)
    WHERE {_MATCHES} ORDER BY j.seq LIMIT %(limit)s FOR UPDATE OF f SKIP LOCKED
), gone AS (DELETE FROM failures WHERE id = ANY (ARRAY(SELECT id FROM chosen)) RETURNING id
), again AS ({WAIT_AGAIN}
), waiting AS (
    -- numbered in the order of their acceptance
    INSERT INTO pending ({COLUMNS})
    SELECT lane, nextval('journal_seq'), id, {columns_of("ordered")}
    FROM (SELECT * FROM chosen ORDER BY seq) AS ordered
)
SELECT id, lane, tenant_id FROM chosen ORDER BY seq"""  # noqa: S608  (constants only)


def retry_some(connection: sa.Connection, which: DeadCommandFilter, limit: int) -> list[Retried]:
    """Append the first accepted of these dead commands to the pending ones, in the order of acceptance."""
    return [Retried(*row) for row in rows(connection, _RETRY_SOME, limit=limit, **which._asdict())]
