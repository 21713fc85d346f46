"""Reads how fast a tenant's commands were applied in the last minutes, from the entries that they wrote."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from pointledger.ids import first_id_of
from pointledger.storage.database import rows

MOST_ENTRIES = 100_000  # of the span: 50 ms; if there are more, the span is shorter
_SAMPLES = 1_000  # commands whose latency is looked up


class Moment(NamedTuple):
    """A slice of time: commands per second, and how long some of them took from acceptance to outcome."""

    at: datetime
    per_second: float
    median_ms: float | None
    slowest_ms: float | None


# An entry's id begins with its millisecond, so the span is one index range. `place` spreads the samples.
_RECENT = """
WITH recent AS MATERIALIZED (
    SELECT command_id, created_at, row_number() OVER (ORDER BY id DESC) AS place
    FROM (SELECT * FROM entries WHERE tenant_id = %(tenant)s AND id >= %(first)s
          ORDER BY id DESC LIMIT %(most)s) AS latest
), sampled AS MATERIALIZED (
    SELECT recent.created_at, extract(epoch FROM recent.created_at - j.accepted_at) * 1000 AS ms
    FROM recent CROSS JOIN LATERAL (
        SELECT accepted_at FROM journal WHERE id = recent.command_id OFFSET 0) AS j
    WHERE recent.place %% greatest((SELECT count(*) FROM recent) / %(samples)s, 1) = 0
), latencies AS (
    SELECT date_bin(%(step)s * interval '1 second', created_at, %(since)s) AS at,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS median, max(ms) AS slowest
    FROM sampled GROUP BY 1
), counted AS (
    SELECT date_bin(%(step)s * interval '1 second', created_at, %(since)s) AS at,
           count(DISTINCT command_id) AS commands
    FROM recent GROUP BY 1)
SELECT slice.at, coalesce(counted.commands, 0) / %(step)s::float8 AS per_second,
       latencies.median::float8, latencies.slowest::float8
FROM generate_series(%(since)s, %(until)s - %(step)s * interval '1 second',
                     %(step)s * interval '1 second') AS slice (at)
LEFT JOIN counted ON counted.at = slice.at LEFT JOIN latencies ON latencies.at = slice.at
ORDER BY slice.at"""


def recent(
    connection: sa.Connection, tenant_id: str, since: datetime, until: datetime, step_seconds: int
) -> list[Moment]:
    """Return the slices from one moment to another, oldest first. Commands without entries do not count."""
    found = rows(
        connection, _RECENT, tenant=tenant_id, first=first_id_of(since), since=since, until=until,
        step=step_seconds, most=MOST_ENTRIES, samples=_SAMPLES,
    )  # fmt: skip
    return [Moment(*row) for row in found]
