"""Reads the queue as people see it: lanes, tenants, batches, jobs. `trouble` reads what is wrong there.

Counts have bounds, because beyond them the exact number does not matter and counting takes too long.
"""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows
from pointledger.storage.queue.pending import PENDING_COMMANDS

MOST_IN_LANE = 10_000  # pending commands that are counted in each lane
_RECENT = 5_000  # of the latest entries, which tell the rate

# A tenant's queue in each lane. The range keeps Postgres on the index by queue.
_OWN = """
p.lane = lanes.lane AND p.tenant_hash >= hashtextextended(%(tenant)s, 0)
AND p.tenant_hash <= hashtextextended(%(tenant)s, 0)"""


class LaneLine(NamedTuple):
    """A lane: what waits there of one tenant and in all, up to `MOST_IN_LANE`, and the tenant's oldest.

    `attempts` counts batches of the lane that began and did not end: not 0 for long is a lane that stands.
    """

    lane: int
    own: int
    all: int
    oldest_seconds: float | None
    attempts: int


_LANES = f"""
SELECT lanes.lane, own.commands AS own, every.commands AS all, first.seconds, lanes.attempts
FROM lanes
CROSS JOIN LATERAL (
    SELECT count(*) AS commands
    FROM (SELECT FROM pending p WHERE {_OWN} LIMIT %(most)s) AS found) AS own
CROSS JOIN LATERAL (
    SELECT count(*) AS commands
    FROM (SELECT FROM pending p WHERE p.lane = lanes.lane LIMIT %(most)s) AS found) AS every
LEFT JOIN LATERAL (
    SELECT extract(epoch FROM clock_timestamp() - j.accepted_at)::float8 AS seconds
    FROM {PENDING_COMMANDS} WHERE {_OWN} ORDER BY p.tenant_hash, p.seq LIMIT 1) AS first ON true
ORDER BY lanes.lane"""  # noqa: S608  (constants only)


def lanes(connection: sa.Connection, tenant_id: str) -> list[LaneLine]:
    """Return every lane with what waits there."""
    return [LaneLine(*row) for row in rows(connection, _LANES, tenant=tenant_id, most=MOST_IN_LANE)]


# The newest entries of the last minute, and how long ago the first of them was written.
_RATES = """
WITH recent AS MATERIALIZED (
    SELECT command_id, created_at FROM entries WHERE tenant_id = %(tenant)s AND id >= %(since)s
    ORDER BY id DESC LIMIT %(most)s
), span AS (
    SELECT CASE WHEN count(*) < %(most)s THEN 60.0 ELSE greatest(
        extract(epoch FROM clock_timestamp() - min(created_at)), 0.001) END AS seconds FROM recent)
SELECT j.lane, (count(DISTINCT recent.command_id) / max(span.seconds))::float8 AS per_second
FROM recent JOIN journal j ON j.id = recent.command_id CROSS JOIN span GROUP BY j.lane"""


def rates(connection: sa.Connection, tenant_id: str, since: UUID) -> dict[int, float]:
    """Return how many of the tenant's commands each lane applied per second, of those that wrote entries.

    `since` is the first id of the last minute.
    """
    found = rows(connection, _RATES, tenant=tenant_id, since=since, most=_RECENT)
    return {row.lane: row.per_second for row in found}


_TENANTS = f"""
SELECT wanted.tenant_id, sum(queue.commands)::bigint AS commands, max(queue.seconds) AS oldest_seconds,
       (SELECT paused_at FROM paused_tenants t
        WHERE t.tenant_id = wanted.tenant_id COLLATE "C") AS paused_since
FROM unnest(%(tenants)s::text[]) AS wanted (tenant_id)
CROSS JOIN lanes
CROSS JOIN LATERAL (
    SELECT (SELECT count(*) FROM (
                SELECT FROM pending p WHERE {_OWN.replace("%(tenant)s", "wanted.tenant_id")}
                LIMIT %(most)s) AS found) AS commands,
           (SELECT extract(epoch FROM clock_timestamp() - j.accepted_at)::float8 FROM {PENDING_COMMANDS}
            WHERE {_OWN.replace("%(tenant)s", "wanted.tenant_id")}
            ORDER BY p.tenant_hash, p.seq LIMIT 1) AS seconds) AS queue
GROUP BY wanted.tenant_id ORDER BY commands DESC, wanted.tenant_id"""  # noqa: S608  (constants only)


class TenantLine(NamedTuple):
    """What waits of a tenant in all lanes, and since when it is paused."""

    tenant_id: str
    commands: int
    oldest_seconds: float | None
    paused_since: datetime | None


def tenants(connection: sa.Connection, tenant_ids: list[str]) -> list[TenantLine]:
    """Return these tenants, those with most pending commands first."""
    return [TenantLine(*row) for row in rows(connection, _TENANTS, tenants=tenant_ids, most=MOST_IN_LANE)]


# -------------------------------------------------------------------------------------- batches and jobs


class BatchLine(NamedTuple):
    """A batch of earns that came in one request."""

    id: UUID
    actor: str
    idempotency_key: str
    size: int
    accepted_at: datetime


_BATCHES = """
SELECT id, actor, idempotency_key, size, accepted_at FROM batches
WHERE tenant_id = %(tenant)s AND id < %(before)s ORDER BY id DESC LIMIT %(limit)s"""


def batches(connection: sa.Connection, tenant_id: str, before: UUID, limit: int) -> list[BatchLine]:
    """Return the tenant's batches, the latest first."""
    found = rows(connection, _BATCHES, tenant=tenant_id, before=before, limit=limit)
    return [BatchLine(*row) for row in found]


class JobRun(NamedTuple):
    """A run of a periodic job. `found` counts the users that it has found so far."""

    job: str
    local_date: date
    as_of: datetime
    started_at: datetime
    finished_at: datetime | None
    found: int
    reached_user: str


# Jobs are few; index probes find them.
_RUNS = """
WITH RECURSIVE wanted (job) AS (
    (SELECT job FROM job_runs ORDER BY job LIMIT 1)
    UNION ALL
    SELECT (SELECT job FROM job_runs r WHERE r.job > wanted.job ORDER BY job LIMIT 1)
    FROM wanted WHERE wanted.job IS NOT NULL)
SELECT run.* FROM wanted CROSS JOIN LATERAL (
    SELECT job, local_date, as_of, started_at, finished_at, found, reached_user FROM job_runs r
    WHERE r.job = wanted.job AND r.tenant_id = %(tenant)s ORDER BY local_date DESC LIMIT %(limit)s) AS run
ORDER BY run.started_at DESC, run.job"""


def job_runs(connection: sa.Connection, tenant_id: str, limit: int) -> list[JobRun]:
    """Return the latest runs of each periodic job for the tenant, the latest first."""
    return [JobRun(*row) for row in rows(connection, _RUNS, tenant=tenant_id, limit=limit)]


_ERASURES = """
SELECT count(*) AS open, min(erased_at) AS since FROM erasures
WHERE tenant_id = %(tenant)s AND finished_at IS NULL"""


def open_erasures(connection: sa.Connection, tenant_id: str) -> tuple[int, datetime | None]:
    """Count the erased users for whom the journal is still searched, and since when."""
    found: tuple[Any, ...] = tuple(rows(connection, _ERASURES, tenant=tenant_id)[0])
    return found[0], found[1]
