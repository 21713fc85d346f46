"""Sums a user's available points by when they expire, and reads the lots that expire first.

The sums are made in Postgres, because an account can have a hundred thousand lots. Lots that have changed
since they were recorded are few; they are added here.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from pointledger.domain.ledger.lots import Lot
from pointledger.storage.database import rows
from pointledger.storage.queries.current import Current
from pointledger.storage.queries.rows import shown

_INTERNAL = ("seq", "place")  # they only order lots

# The lots of one account, in the order in which they expire. Joined and in order, they are found by their
# own index, also while the table has no statistics.
_RECORDED = """
FROM accounts a CROSS JOIN LATERAL (
    SELECT * FROM lots
    WHERE tenant_id = a.tenant_id AND account_id = a.id AND state = 'active' AND remaining > 0
      AND id <> ALL(%(changed)s::uuid[])
    ORDER BY expires_at, earned_at, seq, place, id{limit}) AS l
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s"""

# Points whose notice has not ended expire at its end.
_SUMS = f"""
SELECT CASE WHEN l.expires_at IS NOT NULL THEN width_bucket(
           greatest(l.expires_at, %(not_before)s::timestamptz), %(starts)s::timestamptz[]) END AS span,
       sum(l.remaining)::bigint AS points, count(*) AS lots
{_RECORDED.format(limit="")} GROUP BY 1"""

_FIRST = f"""
SELECT l.id, l.remaining AS points, l.amount, l.earned_at, l.expires_at, l.entry_id, l.origin_id, l.seq,
       l.place
{_RECORDED.format(limit=" LIMIT %(most)s")} AND l.expires_at IS NOT NULL"""


class PointsBySpan(NamedTuple):
    """The points and the number of lots by span: 0 before the first start, None for what never expires."""

    points: Counter[int | None]
    lots: Counter[int | None]


def sums(
    connection: sa.Connection,
    tenant_id: str,
    current: Current,
    starts: Sequence[datetime],
    not_before: datetime | None,
) -> PointsBySpan:
    """Sum the available points by the span that begins at each of these moments, in ascending order."""
    found = rows(connection, _SUMS, starts=list(starts), not_before=not_before, **_of(tenant_id, current))
    points: Counter[int | None] = Counter({row.span: row.points for row in found})
    lots: Counter[int | None] = Counter({row.span: row.lots for row in found})
    for lot in _changed(current):
        span = None
        if lot.expires_at is not None:
            due = max(lot.expires_at, not_before or lot.expires_at)
            span = sum(start <= due for start in starts)
        points[span] += lot.remaining
        lots[span] += 1
    return PointsBySpan(points, lots)


def first_lots(
    connection: sa.Connection, tenant_id: str, current: Current, most: int
) -> list[dict[str, Any]]:
    """Return the lots that expire first. A lot that is not recorded yet has no `id` and `entry_id`."""
    found = rows(connection, _FIRST, most=most, **_of(tenant_id, current))
    changed = [_row(lot) for lot in _changed(current) if lot.expires_at is not None]
    order = attrgetter("expires_at", "earned_at", "seq", "place")
    in_order = sorted([*found, *changed], key=order)[:most]
    return [
        {name: value for name, value in shown(row).items() if name not in ("seq", "place")}
        for row in in_order
    ]


def _of(tenant_id: str, current: Current) -> dict[str, Any]:
    return {"tenant": tenant_id, "user": current.shown["user_id"], "changed": list(current.lots)}


def _changed(current: Current) -> list[Lot]:
    lots = (*current.lots.values(), *current.new_lots)
    return [lot for lot in lots if lot.state == "active" and lot.remaining]


class _Row(NamedTuple):
    id: Any
    points: int
    amount: int
    earned_at: datetime
    expires_at: datetime | None
    entry_id: Any
    origin_id: Any
    seq: int
    place: int


def _row(lot: Lot) -> _Row:
    own = (None, None) if lot.is_new else (lot.id, lot.entry_id)
    return _Row(
        own[0],
        lot.remaining,
        lot.amount,
        lot.earned_at,
        lot.expires_at,
        own[1],
        lot.origin_id,
        lot.seq,
        lot.place,
    )
