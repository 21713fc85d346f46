"""Reads what happened by day: the sums up to the tenant's mark, and the entries since.

It reads some rows per day, and at most `MOST_SINCE` entries. If more have come since the mark, the figures
are those of the first of them, and say up to when they count.
"""

from datetime import date, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.ids import moment_in
from pointledger.storage.database import rows
from pointledger.storage.ledger.day_totals import BEFORE_ANY, IS_TAKEN
from pointledger.storage.queries.rows import shown

MOST_SINCE = 100_000  # entries: 50 ms; a busy tenant has fewer in the minutes since

By = Literal["recorded", "occurred"]
_COLUMN: dict[By, str] = {"recorded": "recorded_on", "occurred": "occurred_on"}
_MOMENT: dict[By, str] = {"recorded": "created_at", "occurred": "occurred_at"}


class Mark(NamedTuple):
    """How far a tenant's entries are summed up, and their sums, in points."""

    reached: UUID
    entries: int
    balance: int
    frozen_balance: int
    pending_balance: int
    debt: int

    @property
    def outstanding(self) -> int:
        """Available, frozen and pending points."""
        return self.balance + self.frozen_balance + self.pending_balance


_MARK = """
SELECT reached, entries, balance, frozen_balance, pending_balance, debt FROM day_marks
WHERE tenant_id = %(tenant)s"""


def mark(connection: sa.Connection, tenant_id: str) -> Mark:
    """Return the tenant's mark; before the first entry, if there is none yet."""
    found = rows(connection, _MARK, tenant=tenant_id)
    if not found:
        return Mark(BEFORE_ANY, 0, 0, 0, 0, 0)
    reached, *sums = found[0]
    return Mark(reached, *(int(each) for each in sums))


class KindOfDay(NamedTuple):
    """What happened on a day, by kind of entry. `change` is that of the points outstanding."""

    day: date
    type: str
    subtype: str
    is_taken: bool
    entries: int
    points: int
    change: int


class Since(NamedTuple):
    """The entries since the mark: by day and kind, and their sums. `is_all`: they are all that there are."""

    kinds: list[KindOfDay]
    entries: int
    balance: int
    frozen_balance: int
    pending_balance: int
    debt: int
    is_all: bool
    last_at: datetime | None

    @property
    def outstanding(self) -> int:
        """Available, frozen and pending points."""
        return self.balance + self.frozen_balance + self.pending_balance


_BY_KIND = """
SELECT {column} AS day, type, subtype, is_taken, sum(entries)::bigint AS entries, sum(points) AS points,
       sum(delta + delta_frozen + delta_pending) AS change
FROM day_totals WHERE tenant_id = %(tenant)s AND {column} BETWEEN %(first)s AND %(last)s
GROUP BY 1, 2, 3, 4"""


def by_kind(connection: sa.Connection, tenant_id: str, first: date, last: date, by: By) -> list[KindOfDay]:
    """Return what happened on these days by kind of entry, up to the tenant's mark."""
    sql = _BY_KIND.format(column=_COLUMN[by])
    return [_kind(row.day, row) for row in rows(connection, sql, tenant=tenant_id, first=first, last=last)]


_CHANGE_AFTER = """
SELECT coalesce(sum(delta + delta_frozen + delta_pending), 0) FROM day_totals
WHERE tenant_id = %(tenant)s AND recorded_on > %(day)s"""


def change_after(connection: sa.Connection, tenant_id: str, day: date) -> int:
    """Return how the points outstanding have changed after a day, up to the tenant's mark."""
    return int(rows(connection, _CHANGE_AFTER, tenant=tenant_id, day=day)[0][0])


_ENTRIES_SINCE = """
SELECT * FROM entries WHERE tenant_id = %(tenant)s AND id > %(reached)s ORDER BY id LIMIT %(most)s"""

# Place 0 is before the first of the days.
_SINCE = f"""
SELECT coalesce(width_bucket({{moment}}, %(starts)s::timestamptz[]), 0) AS place, type, subtype,
       {IS_TAKEN} AS is_taken, count(*) AS entries, sum(amount) AS points,
       sum(delta + delta_frozen + delta_pending) AS change, sum(delta) AS balance,
       sum(delta_frozen) AS frozen_balance, sum(delta_pending) AS pending_balance, sum(delta_debt) AS debt,
       max(created_at) AS last_at
FROM ({_ENTRIES_SINCE}) AS since GROUP BY 1, 2, 3, 4"""  # noqa: S608  (constants only)


def since(
    connection: sa.Connection,
    tenant_id: str,
    reached: UUID,
    days: list[date],
    starts: list[datetime],
    by: By,
) -> Since:
    """Return the entries after the mark. `starts` has the first instant of each of the days."""
    found = rows(
        connection, _SINCE.format(moment=_MOMENT[by]), tenant=tenant_id, reached=reached, starts=starts,
        most=MOST_SINCE,
    )  # fmt: skip
    kinds = [_kind(days[row.place - 1], row) for row in found if row.place]
    entries = sum(row.entries for row in found)
    sums = {name: int(sum(getattr(row, name) for row in found)) for name in Mark._fields[2:]}
    last_at = max((row.last_at for row in found), default=None)
    return Since(kinds, entries, **sums, is_all=entries < MOST_SINCE, last_at=last_at)


def _kind(day: date, row: Any) -> KindOfDay:
    figures = row.type, row.subtype, row.is_taken, row.entries, int(row.points), int(row.change)
    return KindOfDay(day, *figures)


_GRANTS = f"""
SELECT granted.rule_id, sum(granted.entries)::bigint AS entries, sum(granted.points) AS points FROM (
    SELECT rule_id, entries, points FROM day_totals
    WHERE tenant_id = %(tenant)s AND recorded_on >= %(first)s AND type = 'earn' AND rule_id <> %(none)s
    UNION ALL
    SELECT rule_id, 1, amount FROM ({_ENTRIES_SINCE}) AS since
    WHERE created_at >= %(starts_at)s AND type = 'earn' AND rule_id IS NOT NULL) AS granted
GROUP BY granted.rule_id"""  # noqa: S608  (constants only)


class Grants(NamedTuple):
    """What a rule has granted: times and points."""

    times: int
    points: int


def grants(
    connection: sa.Connection, tenant_id: str, reached: UUID, first: date, starts_at: datetime
) -> dict[UUID, Grants]:
    """Return what each rule has granted, as recorded since the start of a day."""
    found = rows(
        connection, _GRANTS, tenant=tenant_id, reached=reached, first=first, starts_at=starts_at,
        none=BEFORE_ANY, most=MOST_SINCE,
    )  # fmt: skip
    return {row.rule_id: Grants(row.entries, int(row.points)) for row in found}


_RECORDED = """
SELECT coalesce(sum(balance), 0) AS balance, coalesce(sum(frozen_balance), 0) AS frozen_balance,
       coalesce(sum(pending_balance), 0) AS pending_balance, coalesce(sum(debt), 0) AS debt
FROM accounts WHERE tenant_id = %(tenant)s"""


def recorded(connection: sa.Connection, tenant_id: str) -> dict[str, int]:
    """Return the sums of the tenant's accounts. It reads them all."""
    found = rows(connection, _RECORDED, tenant=tenant_id)[0]
    return {name: int(value) for name, value in shown(found).items()}


def counted_to(reached: UUID, found: Since) -> datetime | None:
    """Return up to when the figures count, or None if they count everything."""
    if found.is_all:
        return None
    return found.last_at or moment_in(reached)
