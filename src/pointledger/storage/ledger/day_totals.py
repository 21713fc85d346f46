"""Sums up entries by the tenant's local days: how far that is safe, and the next piece of it.

The entries of a tenant are summed up in the order of their ids, which begin with the millisecond of their
batch. A batch draws its moment while its transaction is open, so it can commit later than one with a later
moment. The *horizon* is the moment before which no batch is open anymore. Only entries before it are summed
up, and a mark for each tenant says how far. Sums and mark change in one statement, so a crash between any two
steps leaves them equal.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.program.tenant import Tenant
from pointledger.ids import first_id_of, moment_in
from pointledger.storage.database import INDEX_PLANS_ONLY, rows, run
from pointledger.storage.queue.writers import writing

BEFORE_ANY = UUID(int=0)  # the mark of a tenant that has none, and the rule of points that no rule granted

_HORIZON = "SELECT settled_at, asked_at, writing FROM day_horizon"

_ASK = """
INSERT INTO day_horizon AS known (settled_at, asked_at, writing)
VALUES (%(settled_at)s, %(moment)s, %(writing)s)
ON CONFLICT (is_only) DO UPDATE SET settled_at = excluded.settled_at, asked_at = excluded.asked_at,
                                    writing = excluded.writing
WHERE known.asked_at = %(known)s"""


def horizon(connection: sa.Connection, lag_seconds: float) -> datetime | None:
    """Advance the horizon and return it: None before the first one.

    A moment becomes the horizon when it is `lag_seconds` old and the transactions that wrote then have ended.
    With the lag, a clock that is set back by less than that hides no entry from the sums.
    """
    moment: datetime = rows(connection, "SELECT clock_timestamp()")[0][0]  # before the look at the writers
    open_now = writing(connection)
    found = rows(connection, _HORIZON)
    settled_at: datetime | None = None
    if found:
        ((settled_at, asked_at, wrote_then),) = found
        is_young = (moment - asked_at).total_seconds() < lag_seconds
        if is_young or not open_now.isdisjoint(wrote_then):
            return settled_at
        settled_at = max(settled_at or asked_at, asked_at)
    known = found[0].asked_at if found else None
    run(connection, _ASK, settled_at=settled_at, moment=moment, writing=sorted(open_now), known=known)
    return settled_at


_WITH_WORK = """
SELECT wanted.tenant_id FROM unnest(%(tenants)s::text[]) AS wanted (tenant_id)
WHERE EXISTS (
    SELECT FROM entries e
    WHERE e.tenant_id = wanted.tenant_id COLLATE "C" AND e.id < %(below)s
      AND e.id > coalesce((SELECT reached FROM day_marks m
                           WHERE m.tenant_id = wanted.tenant_id COLLATE "C"), %(none)s)
    OFFSET 0)"""


def tenants_with_work(connection: sa.Connection, tenant_ids: list[str], horizon: datetime) -> set[str]:
    """Return the tenants that have entries between their mark and the horizon."""
    below = first_id_of(horizon)
    return {row[0] for row in rows(connection, _WITH_WORK, tenants=tenant_ids, below=below, none=BEFORE_ANY)}


_MARK = "INSERT INTO day_marks (tenant_id, reached) VALUES (%(tenant)s, %(none)s) ON CONFLICT DO NOTHING"
_LOCK = "SELECT reached FROM day_marks WHERE tenant_id = %(tenant)s FOR UPDATE SKIP LOCKED"

_FIRST = """
SELECT id FROM entries WHERE tenant_id = %(tenant)s AND id > %(after)s AND id < %(below)s
ORDER BY id LIMIT 1"""

_END = """
SELECT id FROM entries WHERE tenant_id = %(tenant)s AND id > %(after)s AND id < %(below)s
ORDER BY id OFFSET %(most)s - 1 LIMIT 1"""

_OCCURRED = """
SELECT min(occurred_at) AS first, max(occurred_at) AS last
FROM (SELECT occurred_at FROM entries
      WHERE tenant_id = %(tenant)s AND id > %(after)s AND id <= %(to)s OFFSET 0) AS piece"""

# Whether an entry takes points: an adjustment can do both.
IS_TAKEN = "delta + delta_frozen + delta_pending - delta_debt < 0"

_ADD = f"""
WITH piece AS MATERIALIZED (
    SELECT (%(days)s::date[])[width_bucket(occurred_at, %(starts)s::timestamptz[])] AS occurred_on,
           type, subtype, {IS_TAKEN} AS is_taken, coalesce(rule_id, %(none)s) AS rule_id,
           count(*) AS entries, sum(amount) AS points, sum(delta) AS delta,
           sum(delta_frozen) AS delta_frozen, sum(delta_pending) AS delta_pending,
           sum(delta_debt) AS delta_debt
    FROM entries WHERE tenant_id = %(tenant)s AND id > %(after)s AND id <= %(to)s
    GROUP BY 1, 2, 3, 4, 5
), added AS (
    INSERT INTO day_totals AS known
        (tenant_id, recorded_on, day_starts_at, occurred_on, type, subtype, is_taken, rule_id, entries,
         points, delta, delta_frozen, delta_pending, delta_debt)
    SELECT %(tenant)s, %(day)s, %(day_starts_at)s, piece.* FROM piece
    ON CONFLICT (tenant_id, recorded_on, occurred_on, type, subtype, is_taken, rule_id) DO UPDATE SET
        entries = known.entries + excluded.entries, points = known.points + excluded.points,
        delta = known.delta + excluded.delta, delta_frozen = known.delta_frozen + excluded.delta_frozen,
        delta_pending = known.delta_pending + excluded.delta_pending,
        delta_debt = known.delta_debt + excluded.delta_debt
), summed AS (
    SELECT sum(entries) AS entries, sum(delta) AS delta, sum(delta_frozen) AS delta_frozen,
           sum(delta_pending) AS delta_pending, sum(delta_debt) AS delta_debt FROM piece)
UPDATE day_marks m SET reached = %(to)s, entries = m.entries + summed.entries,
    balance = m.balance + summed.delta, frozen_balance = m.frozen_balance + summed.delta_frozen,
    pending_balance = m.pending_balance + summed.delta_pending, debt = m.debt + summed.delta_debt,
    updated_at = clock_timestamp()
FROM summed WHERE m.tenant_id = %(tenant)s"""  # noqa: S608  (constants only)


class _Day(NamedTuple):
    """A local day, its first instant, and that of the next day."""

    day: date
    starts_at: datetime
    ends_at: datetime


def add_piece(connection: sa.Connection, tenant: Tenant, horizon: datetime, most: int) -> bool:
    """Sum up at most so many of the tenant's next entries, all of one local day.

    Return False if there are none, or if another process sums up this tenant.
    """
    rows(connection, f"SELECT {INDEX_PLANS_ONLY}")  # also while a young table has no statistics
    about: dict[str, Any] = {"tenant": tenant.tenant_id, "none": BEFORE_ANY}
    run(connection, _MARK, **about)
    locked = rows(connection, _LOCK, tenant=tenant.tenant_id)
    if not locked:
        return False
    about["after"] = locked[0].reached
    first = rows(connection, _FIRST, below=first_id_of(horizon), **about)
    if not first:
        return False
    day = _day_of(tenant, moment_in(first[0].id))
    below = min(first_id_of(horizon), first_id_of(day.ends_at))
    end = rows(connection, _END, below=below, most=most, **about)
    about["to"] = end[0].id if end else UUID(int=below.int - 1)
    occurred = rows(connection, _OCCURRED, **about)[0]
    days = _days(tenant, occurred.first, occurred.last)
    starts = [tenant.day_starts_at(each) for each in days]
    run(connection, _ADD, day=day.day, day_starts_at=day.starts_at, days=days, starts=starts, **about)
    return True


def forget(connection: sa.Connection, tenant_id: str) -> None:
    """Delete the tenant's sums and mark, so that they are made anew from the entries."""
    run(connection, _MARK, tenant=tenant_id, none=BEFORE_ANY)
    rows(connection, "SELECT FROM day_marks WHERE tenant_id = %(tenant)s FOR UPDATE", tenant=tenant_id)
    run(connection, "DELETE FROM day_totals WHERE tenant_id = %(tenant)s", tenant=tenant_id)
    run(connection, "DELETE FROM day_marks WHERE tenant_id = %(tenant)s", tenant=tenant_id)


def _day_of(tenant: Tenant, moment: datetime) -> _Day:
    day = tenant.local_date(moment)
    return _Day(day, tenant.day_starts_at(day), tenant.day_starts_at(date.fromordinal(day.toordinal() + 1)))


def _days(tenant: Tenant, first: datetime, last: datetime) -> Sequence[date]:
    """Return the local days from one moment to another. A day that does not occur has no span."""
    ordinals = range(tenant.local_date(first).toordinal(), tenant.local_date(last).toordinal() + 1)
    days = [date.fromordinal(ordinal) for ordinal in ordinals]
    return [day for day in days if tenant.occurs(day)]
