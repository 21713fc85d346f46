"""Finds the lots that are going to expire, of a user and of all users."""

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from pointledger.domain.program.tenant import Tenant
from pointledger.storage.database import rows
from pointledger.storage.queries.current import Current
from pointledger.storage.queries.rows import shown

MOST_LOTS = 10_000  # of one account that are listed; the sums count all

_RECORDED = """
SELECT id, remaining, amount, earned_at, expires_at, entry_id, origin_id, seq, place
FROM lots WHERE tenant_id = a.tenant_id AND account_id = a.id AND state = 'active' AND remaining > 0"""

# Lots that have changed since replace the recorded ones. A lot that is not recorded yet has no id.
_AS_OF_NOW = f"""{_RECORDED} AND id <> ALL(%(changed)s::uuid[])
UNION ALL
SELECT * FROM unnest(%(ids)s::uuid[], %(remaining)s::int8[], %(amounts)s::int8[], %(earned)s::timestamptz[],
                     %(expire)s::timestamptz[], %(entries)s::uuid[], %(origins)s::uuid[], %(seqs)s::int8[],
                     %(places)s::int4[])"""  # noqa: S608  (constants only)

_LOTS = """
SELECT l.id, l.remaining AS points, l.amount, l.earned_at, l.expires_at, l.entry_id, l.origin_id,
       sum(l.remaining) OVER ()::bigint AS points_in_all, count(*) OVER () AS lots_in_all
FROM accounts a CROSS JOIN LATERAL ({lots}) AS l
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s
  AND greatest(l.expires_at, a.expires_not_before, %(not_before)s::timestamptz) > %(after)s
  AND greatest(l.expires_at, a.expires_not_before, %(not_before)s::timestamptz) <= %(until)s
  AND l.expires_at <= %(until)s
ORDER BY l.expires_at, l.earned_at, l.seq, l.place, l.id LIMIT %(most)s"""


class ExpiringLots(NamedTuple):
    """The points and the number of all lots, and the first of them in the order of expiry."""

    points: int
    lots_in_all: int
    lots: list[dict[str, Any]]


def expiring_lots(
    connection: sa.Connection, tenant: Tenant, user_id: str, after: datetime, until: datetime
) -> ExpiringLots:
    """Return the user's recorded lots that expire after `after`, up to `until`, without frozen points.

    During a notice period, lots expire at its end.
    """
    return _expiring(connection, _RECORDED, tenant, user_id, after, until)


def expiring_now(
    connection: sa.Connection, tenant: Tenant, user_id: str, current: Current, until: datetime
) -> ExpiringLots:
    """Return the same for lots as they are now. A lot that is not recorded yet has no `id` and `entry_id`."""
    if not current.lots and not current.new_lots:
        return expiring_lots(connection, tenant, user_id, current.now, until)
    lots = [lot for lot in (*current.lots.values(), *current.new_lots) if lot.remaining]
    lots = [lot for lot in lots if lot.state == "active"]
    columns: dict[str, list[Any]] = {
        "changed": list(current.lots),
        "ids": [None if lot.is_new else lot.id for lot in lots],
        "remaining": [lot.remaining for lot in lots],
        "amounts": [lot.amount for lot in lots],
        "earned": [lot.earned_at for lot in lots],
        "expire": [lot.expires_at for lot in lots],
        "entries": [None if lot.is_new else lot.entry_id for lot in lots],
        "origins": [lot.origin_id for lot in lots],
        "seqs": [lot.seq for lot in lots],
        "places": [lot.place for lot in lots],
    }
    return _expiring(connection, _AS_OF_NOW, tenant, user_id, current.now, until, **columns)


def _expiring(
    connection: sa.Connection,
    lots: str,
    tenant: Tenant,
    user_id: str,
    after: datetime,
    until: datetime,
    **columns: list[Any],
) -> ExpiringLots:
    found = rows(
        connection,
        _LOTS.format(lots=lots),
        tenant=tenant.tenant_id,
        user=user_id,
        not_before=tenant.expires_not_before,
        after=after,
        until=until,
        most=MOST_LOTS,
        **columns,
    )
    shown_lots = [shown(row) for row in found]
    points, count = (found[0].points_in_all, found[0].lots_in_all) if found else (0, 0)
    for lot in shown_lots:
        del lot["points_in_all"], lot["lots_in_all"]
    return ExpiringLots(points, count, shown_lots)


# The accounts that the expiry job finds (`job_runs.due`), and what expires there when it advances their
# clocks (`domain/decisions/guards.py`).
_WOULD_EXPIRE = """
WITH found AS (
    SELECT a.user_id, min(l.expires_at) AS expires_at, count(*) AS lots, sum(l.remaining)::bigint AS points
    FROM accounts a
    CROSS JOIN LATERAL (
        SELECT * FROM lots
        WHERE tenant_id = a.tenant_id AND account_id = a.id AND state = 'active'
        UNION ALL
        SELECT * FROM lots
        WHERE tenant_id = a.tenant_id AND account_id = a.id AND state = 'pending'
          AND activates_at <= greatest(a.as_of, %(as_of)s)) AS l
    WHERE a.tenant_id = %(tenant)s AND a.status <> 'closed' AND a.next_expiry_at <= %(as_of)s
      AND a.expiry_exempt = %(exempt)s AND coalesce(a.expires_not_before <= %(as_of)s, true)
      AND l.remaining > 0 AND l.expires_at <= greatest(a.as_of, %(as_of)s)
    GROUP BY a.user_id
)
SELECT user_id, expires_at, lots, points, count(*) OVER () AS accounts_in_all,
       sum(lots) OVER ()::bigint AS lots_in_all, sum(points) OVER () AS points_in_all
FROM found ORDER BY expires_at, user_id LIMIT %(most)s"""


def would_expire(
    connection: sa.Connection, tenant_id: str, as_of: datetime, most: int, *, exempt: bool = False
) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Preview the tenant's expiry job: the sums, and the first accounts, the earliest expiry first.

    `exempt` counts exempt accounts instead, which the job leaves alone.
    """
    found = rows(connection, _WOULD_EXPIRE, tenant=tenant_id, as_of=as_of, most=most, exempt=exempt)
    members = [shown(row) for row in found]
    sums = {
        name: int(members[0][f"{name}_in_all"]) if members else 0 for name in ("accounts", "lots", "points")
    }
    for member in members:
        for name in sums:
            del member[f"{name}_in_all"]
    return sums, members


_ACCOUNTS = """
SELECT a.next_expiry_at, a.user_id, min(soon.ends_at) AS expires_at, count(*) AS lots,
       sum(soon.remaining)::bigint AS points
FROM accounts a
CROSS JOIN LATERAL (
    SELECT l.remaining,
           greatest(l.expires_at, a.expires_not_before, %(not_before)s::timestamptz) AS ends_at
    FROM lots l
    WHERE l.tenant_id = a.tenant_id AND l.account_id = a.id AND l.state = 'active' AND l.remaining > 0
      AND l.expires_at <= %(until)s) AS soon
WHERE a.tenant_id = %(tenant)s AND a.status <> 'closed' AND NOT a.expiry_exempt
  AND a.next_expiry_at <= %(until)s
  AND (a.next_expiry_at, a.user_id) > (coalesce(%(reached)s::timestamptz, '-infinity'), %(reached_user)s)
  AND soon.ends_at > %(after)s AND soon.ends_at <= %(until)s
GROUP BY a.next_expiry_at, a.user_id
ORDER BY a.next_expiry_at, a.user_id LIMIT %(most)s"""


class ExpiringAccount(NamedTuple):
    """A user whose lots expire within a window. The next page starts after `next_expiry_at` and `user_id`."""

    next_expiry_at: datetime
    user_id: str
    expires_at: datetime  # the first expiry within the window
    lots: int
    points: int


def accounts_expiring(
    connection: sa.Connection,
    tenant: Tenant,
    after: datetime,
    until: datetime,
    reached: tuple[datetime | None, str] = (None, ""),
    most: int = 1_000,
) -> list[ExpiringAccount]:
    """Return a page of the tenant's accounts with lots that expire after `after`, up to `until`.

    Frozen and spent points and exempt accounts do not count. During a notice period, lots expire at its end.
    """
    found = rows(
        connection,
        _ACCOUNTS,
        tenant=tenant.tenant_id,
        not_before=tenant.expires_not_before,
        after=after,
        until=until,
        reached=reached[0],
        reached_user=reached[1],
        most=most,
    )
    return [ExpiringAccount(*row) for row in found]
