"""Reads what an operator should look at: dead commands by tenant and cause, failing commands, dead letters.

Counts have bounds, because beyond them the exact number does not matter and counting takes too long.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows
from pointledger.storage.queue.dead_letters import LINE_COLUMNS, DeadLetterLine
from pointledger.storage.queue.failures import GROUP

MOST_DEAD = 20_000  # dead commands that are grouped
MOST_LETTERS = 10_000  # dead letters that are counted


class Trouble(NamedTuple):
    """What an operator should look at, of one tenant."""

    dead: int
    failing: int
    dead_letters: int
    deferred: int


_COUNTS = """
SELECT (SELECT count(*) FROM (
            SELECT FROM failures WHERE tenant_id = %(tenant)s AND dead_at IS NOT NULL LIMIT %(most)s) AS d)
           AS dead,
       (SELECT count(*) FROM lanes JOIN failures f ON f.lane = lanes.lane
            AND f.next_attempt_at > clock_timestamp() - interval '1 hour'
            AND f.next_attempt_at < 'infinity'
        WHERE f.tenant_id = %(tenant)s AND f.dead_at IS NULL) AS failing,
       count(*) FILTER (WHERE state = 'dead') AS dead_letters,
       count(*) FILTER (WHERE state = 'deferred') AS deferred
FROM (SELECT state FROM dead_letters WHERE tenant_id = %(tenant)s
      ORDER BY id DESC LIMIT %(most)s) AS latest"""


def counts(connection: sa.Connection, tenant_id: str) -> Trouble:
    """Count the tenant's dead and failing commands and, of its latest messages, dead and deferred ones."""
    return Trouble(*rows(connection, _COUNTS, tenant=tenant_id, most=MOST_LETTERS)[0])


_DEAD_BY_TENANT = """
SELECT found.tenant_id, count(*) AS commands
FROM (SELECT f.tenant_id FROM failures f
      WHERE f.dead_at IS NOT NULL AND f.tenant_id = ANY (%(tenants)s::text[]) LIMIT %(most)s) AS found
GROUP BY found.tenant_id"""


def dead_by_tenant(connection: sa.Connection, tenant_ids: list[str]) -> dict[str, int]:
    """Count the dead commands of those of these tenants that have any, up to `MOST_DEAD` in all."""
    found = rows(connection, _DEAD_BY_TENANT, tenants=tenant_ids, most=MOST_DEAD)
    return {row.tenant_id: row.commands for row in found}


class FailingLine(NamedTuple):
    """A pending command whose last attempt failed."""

    id: UUID
    user_id: str
    kind: str
    attempts: int
    error: str
    next_attempt_at: datetime


_FAILING = """
SELECT f.id, f.user_id, j.kind, f.attempts, left(f.error, 300) AS error, f.next_attempt_at
FROM lanes JOIN failures f ON f.lane = lanes.lane
    AND f.next_attempt_at > clock_timestamp() - interval '1 hour' AND f.next_attempt_at < 'infinity'
JOIN journal j ON j.id = f.id
WHERE f.tenant_id = %(tenant)s AND f.dead_at IS NULL
ORDER BY f.attempts DESC, f.id LIMIT %(limit)s"""


def failing(connection: sa.Connection, tenant_id: str, limit: int) -> list[FailingLine]:
    """Return the tenant's failing commands, those that failed most often first."""
    return [FailingLine(*row) for row in rows(connection, _FAILING, tenant=tenant_id, limit=limit)]


class DeadGroup(NamedTuple):
    """Dead commands with one cause. `group` selects them in a `DeadCommandFilter`, `error` is the latest."""

    group: str
    kind: str
    commands: int
    users: int
    first_dead_at: datetime
    last_dead_at: datetime
    error: str
    sample: UUID


_GROUPS = f"""
SELECT found.cause, found.kind, count(*) AS commands, count(DISTINCT found.user_id) AS users,
       min(found.dead_at) AS first, max(found.dead_at) AS last,
       (array_agg(found.error ORDER BY found.dead_at DESC, found.id))[1] AS error,
       (array_agg(found.id ORDER BY found.dead_at DESC, found.id))[1] AS sample
FROM (SELECT f.id, f.user_id, f.dead_at, left(f.error, 300) AS error, {GROUP} AS cause, j.kind
      FROM (SELECT * FROM failures WHERE tenant_id = %(tenant)s AND dead_at IS NOT NULL
            ORDER BY dead_at DESC LIMIT %(most)s) AS f JOIN journal j ON j.id = f.id) AS found
GROUP BY found.cause, found.kind ORDER BY commands DESC, found.cause, found.kind LIMIT 100"""  # noqa: S608


def dead_groups(connection: sa.Connection, tenant_id: str) -> list[DeadGroup]:
    """Return the largest groups of the tenant's latest dead commands, by cause and kind."""
    return [DeadGroup(*row) for row in rows(connection, _GROUPS, tenant=tenant_id, most=MOST_DEAD)]


@dataclass(frozen=True, slots=True)
class SizedDeadLetter(DeadLetterLine):
    """A dead letter or deferred message, without its bytes."""

    bytes: int


_LETTERS = f"""
SELECT {LINE_COLUMNS}, octet_length(raw) AS bytes FROM dead_letters
WHERE tenant_id = %(tenant)s AND id < %(before)s AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608  (constants only)


def dead_letters(
    connection: sa.Connection, tenant_id: str, state: str | None, before: int, limit: int
) -> list[SizedDeadLetter]:
    """Return messages that name the tenant and are no commands, the latest first."""
    found = rows(connection, _LETTERS, tenant=tenant_id, state=state, before=before, limit=limit)
    return [SizedDeadLetter(*row) for row in found]
