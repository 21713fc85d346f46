"""Failures: commands that the machine could not apply, until they are applied or dead."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows, run
from pointledger.storage.queue.callbacks import MARK_DUE, WAIT_AGAIN
from pointledger.storage.queue.precedence import HASHES

_ERROR_CHARACTERS = 2_000  # enough to tell, too little to fill a disk

_CHARGE = """
INSERT INTO failures AS known (id, lane, tenant_id, user_id, attempts, error)
SELECT id, lane, tenant_id, user_id, 1, %(error)s FROM journal
WHERE id = %(id)s AND EXISTS (SELECT FROM pending p WHERE p.lane = %(lane)s AND p.id = journal.id)
ON CONFLICT (id) DO UPDATE SET attempts = known.attempts + 1, error = excluded.error
RETURNING attempts, tenant_id, user_id"""


class Charged(NamedTuple):
    """How often a command has failed now, and whose it is."""

    attempts: int
    tenant_id: str
    user_id: str


def charge(connection: sa.Connection, lane: int, command_id: UUID, error: str) -> Charged | None:
    """Counts a failed attempt; None if the command does not wait any more. The lane's row is held."""
    text = error[:_ERROR_CHARACTERS].replace("\x00", "")
    found = rows(connection, _CHARGE, lane=lane, id=command_id, error=text)
    return Charged(*found[0]) if found else None


def back_off(connection: sa.Connection, command_id: UUID, seconds: float) -> None:
    """Lets the command, and with it its user's followers, wait."""
    run(
        connection,
        """UPDATE failures SET next_attempt_at = clock_timestamp() + %(seconds)s * interval '1 second'
           WHERE id = %(id)s""",
        id=command_id,
        seconds=seconds,
    )


_BURY = f"""
WITH gone AS (DELETE FROM pending WHERE lane = %(lane)s AND id = %(id)s RETURNING id),
     due AS ({MARK_DUE})
UPDATE failures SET dead_at = clock_timestamp(),
    next_attempt_at = CASE WHEN %(hold)s THEN 'infinity'::timestamptz END
WHERE id = %(id)s"""  # noqa: S608  (ours)


def bury(connection: sa.Connection, lane: int, command_id: UUID, *, hold: bool) -> None:
    """The command is dead. `hold`: its user's followers wait until somebody retries it."""
    run(connection, _BURY, id=command_id, lane=lane, hold=hold)


_POSTPONE = """
INSERT INTO failures AS known (id, lane, tenant_id, user_id, attempts, error, next_attempt_at)
SELECT id, lane, tenant_id, user_id, 0, %(error)s, clock_timestamp() + %(seconds)s * interval '1 second'
FROM journal
WHERE id = %(id)s AND EXISTS (SELECT FROM pending p WHERE p.lane = %(lane)s AND p.id = journal.id)
ON CONFLICT (id) DO UPDATE SET error = excluded.error, next_attempt_at = excluded.next_attempt_at"""


def let_followers_go(connection: sa.Connection, tenant_id: str) -> None:
    """Dead commands of the tenant hold nobody back any more."""
    run(
        connection,
        """UPDATE failures SET next_attempt_at = NULL
           WHERE tenant_id = %(tenant)s AND dead_at IS NOT NULL AND next_attempt_at IS NOT NULL""",
        tenant=tenant_id,
    )


def postpone(connection: sa.Connection, lane: int, command_id: UUID, error: str, seconds: float) -> None:
    """Lets a command wait that this program cannot read; charges it nothing. The lane's row is held."""
    run(connection, _POSTPONE, lane=lane, id=command_id, error=error, seconds=seconds)


def forget(connection: sa.Connection, command_ids: list[UUID]) -> None:
    """They have been applied or refused after all."""
    run(connection, "DELETE FROM failures WHERE id = ANY(%(ids)s::uuid[])", ids=command_ids)


# ------------------------------------------------------------------------------------------------- dead


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead command: what it was and what it died of."""

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


class Which(NamedTuple):
    """Which dead commands: of this tenant and kind, whose error has this text in it (in whatever case), that
    died since and until these moments; None: whichever."""

    tenant: str | None = None
    kind: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_OF_THESE = """
f.dead_at IS NOT NULL
  AND (%(tenant)s::text IS NULL OR f.tenant_id = %(tenant)s) AND (%(kind)s::text IS NULL OR j.kind = %(kind)s)
  AND (%(error)s::text IS NULL OR position(lower(%(error)s) IN lower(f.error)) > 0)
  AND (%(since)s::timestamptz IS NULL OR f.dead_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR f.dead_at <= %(until)s)"""

_DEAD = f"""
SELECT f.id, f.tenant_id, f.user_id, j.kind, f.attempts, f.error, j.accepted_at, f.dead_at, j.payload,
       j.extensions
FROM failures f JOIN journal j USING (id)
WHERE {_OF_THESE}
  AND (%(id)s::uuid IS NULL
       OR f.id = coalesce((SELECT journal_id FROM aliases a WHERE a.id = %(id)s), %(id)s))
ORDER BY f.dead_at DESC, f.id LIMIT %(limit)s"""  # noqa: S608  (ours)


ALL_DEAD = Which()


def dead(
    connection: sa.Connection, which: Which = ALL_DEAD, *, command_id: UUID | None = None, limit: int = 100
) -> list[Dead]:
    """Dead commands, the latest first."""
    return [Dead(*row) for row in rows(connection, _DEAD, id=command_id, limit=limit, **which._asdict())]


def count_dead(connection: sa.Connection, which: Which) -> int:
    """How many of them there are."""
    counting = f"SELECT count(*) FROM failures f JOIN journal j USING (id) WHERE {_OF_THESE}"  # noqa: S608
    return int(rows(connection, counting, **which._asdict())[0][0])


_REVIVE = f"""
WITH gone AS (DELETE FROM failures
              WHERE id = coalesce((SELECT journal_id FROM aliases a WHERE a.id = %(id)s), %(id)s)
                AND dead_at IS NOT NULL
              RETURNING id, lane),
     again AS ({WAIT_AGAIN})
INSERT INTO pending (lane, seq, id, user_hash, recipient_hash)
SELECT gone.lane, nextval('journal_seq'), gone.id, {HASHES.format(line="j")}
FROM gone JOIN journal j USING (id) RETURNING lane"""  # noqa: S608  (ours)


def revive(connection: sa.Connection, command_id: UUID) -> int | None:
    """Puts a dead command at the end of what waits; its lane, or None if it is not dead."""
    found = rows(connection, _REVIVE, id=command_id)
    return found[0][0] if found else None


class Revived(NamedTuple):
    """A command that was dead and waits again."""

    id: UUID
    lane: int
    tenant_id: str


_REVIVE_SOME = f"""
WITH chosen AS MATERIALIZED (
    SELECT f.id, f.lane, j.seq, j.tenant_id, j.user_id, j.kind, j.payload
    FROM failures f JOIN journal j USING (id)
    WHERE {_OF_THESE} ORDER BY j.seq LIMIT %(limit)s FOR UPDATE OF f SKIP LOCKED
), gone AS (DELETE FROM failures WHERE id IN (SELECT id FROM chosen) RETURNING id
), again AS ({WAIT_AGAIN}
), waiting AS (
    -- numbered in the order in which they had been accepted
    INSERT INTO pending (lane, seq, id, user_hash, recipient_hash)
    SELECT lane, nextval('journal_seq'), id, {HASHES.format(line="ordered")}
    FROM (SELECT * FROM chosen ORDER BY seq) AS ordered
)
SELECT id, lane, tenant_id FROM chosen ORDER BY seq"""  # noqa: S608  (ours)


def revive_some(connection: sa.Connection, which: Which, limit: int) -> list[Revived]:
    """Puts the earliest accepted of these at the end of what waits, in their order."""
    return [Revived(*row) for row in rows(connection, _REVIVE_SOME, limit=limit, **which._asdict())]
