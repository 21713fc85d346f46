"""Statistics of a user and of a tenant.

Queries that would read a whole ledger are limited to a month. Sums over many accounts may exceed a bigint.
"""

from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.program.tenant import Tenant
from pointledger.ids import first_id_of
from pointledger.storage.database import rows
from pointledger.storage.queries.current import DUE_USERS, changes_in_all
from pointledger.storage.queries.rows import shown

_BY_MONTH = """
SELECT width_bucket(e.occurred_at, %(starts)s::timestamptz[]) AS month, e.type, e.subtype,
       count(*) AS entries, sum(e.amount)::bigint AS points
FROM accounts a JOIN entries e ON e.tenant_id = a.tenant_id AND e.account_id = a.id
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND e.occurred_at >= %(since)s
GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3"""


def user_by_month(
    connection: sa.Connection, tenant_id: str, user_id: str, starts: list[datetime]
) -> list[tuple[int, dict[str, Any]]]:
    """Return entries and points by type and subtype for each span between these moments, the latest first.

    `occurred_at` decides, and span 0 is the first one.
    """
    found = rows(connection, _BY_MONTH, tenant=tenant_id, user=user_id, starts=starts, since=starts[0])
    return [
        (row.month - 1, {name: value for name, value in row._asdict().items() if name != "month"})
        for row in found
    ]


_USER_BY_RULE = """
SELECT granted.rule_id, r.name AS rule, granted.entries, granted.points, waits.pending,
       waits.recorded_pending, granted.last_at
FROM (SELECT e.tenant_id, e.account_id, e.rule_id, count(*) AS entries, sum(e.amount)::bigint AS points,
             max(e.occurred_at) AS last_at
      FROM accounts a JOIN entries e ON e.tenant_id = a.tenant_id AND e.account_id = a.id
      WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND e.type = 'earn' AND e.rule_id IS NOT NULL
      GROUP BY e.tenant_id, e.account_id, e.rule_id) AS granted
CROSS JOIN LATERAL (
    SELECT coalesce(sum(l.remaining) FILTER (WHERE l.id <> ALL(%(available)s::uuid[])), 0)::bigint AS pending,
           coalesce(sum(l.remaining), 0)::bigint AS recorded_pending
    FROM lots l JOIN entries e ON e.tenant_id = l.tenant_id AND e.id = l.entry_id
    WHERE l.tenant_id = granted.tenant_id AND l.account_id = granted.account_id AND l.state = 'pending'
      AND e.rule_id = granted.rule_id) AS waits
LEFT JOIN LATERAL (SELECT name FROM rule_versions r
                   WHERE r.tenant_id = granted.tenant_id AND r.rule_id = granted.rule_id
                   ORDER BY version DESC LIMIT 1) AS r ON true
ORDER BY granted.points DESC, rule"""


def user_by_rule(
    connection: sa.Connection, tenant_id: str, user_id: str, available: list[UUID]
) -> list[dict[str, Any]]:
    """Return the points that each rule granted the user, and those still pending, most points first.

    `available` are lots that are recorded as pending but no longer are.
    """
    found = rows(connection, _USER_BY_RULE, tenant=tenant_id, user=user_id, available=available)
    return [_with_sums(row) for row in found]


_ACCOUNTS = f"""
SELECT status, EXISTS ({DUE_USERS}) AS any_due, count(*) AS accounts, sum(balance) AS balance,
       sum(frozen_balance) AS frozen_balance, sum(pending_balance) AS pending_balance,
       sum(debt) AS debt, sum(total_earned) AS total_earned,
       sum(total_spent) AS total_spent, sum(expired_points) AS expired_points,
       sum(total_refunded) AS total_refunded,
       sum(total_transferred_in) AS total_transferred_in,
       sum(total_transferred_out) AS total_transferred_out,
       sum(total_adjusted_in) AS total_adjusted_in,
       sum(total_adjusted_out) AS total_adjusted_out,
       sum(total_clawed_back) AS total_clawed_back
FROM accounts WHERE tenant_id = %(tenant)s GROUP BY status ORDER BY status"""  # noqa: S608  (constants only)


class Sums(NamedTuple):
    """A tenant's number of accounts by status, and the sums of all accounts."""

    accounts: dict[str, int]
    totals: dict[str, int]  # as of now
    recorded: dict[str, int]


def tenant_accounts(connection: sa.Connection, tenant: Tenant, now: datetime) -> Sums:
    """Return the sums of the tenant's accounts; accounts with something due are loaded one by one."""
    expires = tenant.lets_expire(now)
    found = [_with_sums(row) for row in rows(connection, _ACCOUNTS, tenant=tenant.tenant_id, expires=expires)]
    accounts = {figures.pop("status"): figures.pop("accounts") for figures in found}
    any_due = [figures.pop("any_due") for figures in found]
    recorded: Counter[str] = Counter()
    for figures in found:
        recorded.update(figures)
    totals = recorded.copy()
    if any(any_due):
        totals.update(changes_in_all(connection, tenant, now))
    return Sums(accounts, dict(totals), dict(recorded))


# An entry's id begins with the millisecond of its recording, so a month is one index range.
_SINCE_BY_KIND = """
SELECT e.type, e.subtype, count(*) AS entries, sum(e.amount) AS points
FROM entries e WHERE e.tenant_id = %(tenant)s AND e.id >= %(first)s
GROUP BY e.type, e.subtype ORDER BY e.type, e.subtype"""

_SINCE_BY_RULE = """
SELECT granted.rule_id, r.name AS rule, granted.entries, granted.points
FROM (SELECT e.rule_id, count(*) AS entries, sum(e.amount) AS points
      FROM entries e
      WHERE e.tenant_id = %(tenant)s AND e.id >= %(first)s AND e.type = 'earn' AND e.rule_id IS NOT NULL
      GROUP BY e.rule_id) AS granted
LEFT JOIN LATERAL (SELECT name FROM rule_versions r
                   WHERE r.tenant_id = %(tenant)s AND r.rule_id = granted.rule_id
                   ORDER BY version DESC LIMIT 1) AS r ON true
ORDER BY granted.points DESC, rule"""


def tenant_by_kind_since(connection: sa.Connection, tenant_id: str, moment: datetime) -> list[dict[str, Any]]:
    """Return entries and points by type and subtype, recorded since a moment."""
    return [
        _with_sums(row)
        for row in rows(connection, _SINCE_BY_KIND, tenant=tenant_id, first=first_id_of(moment))
    ]


def tenant_by_rule_since(connection: sa.Connection, tenant_id: str, moment: datetime) -> list[dict[str, Any]]:
    """Return the points that each rule granted since a moment, most points first."""
    return [
        _with_sums(row)
        for row in rows(connection, _SINCE_BY_RULE, tenant=tenant_id, first=first_id_of(moment))
    ]


def _with_sums(row: Any) -> dict[str, Any]:
    """Convert a row, and its sums, which may exceed a bigint, to whole numbers."""
    return {name: int(value) if isinstance(value, Decimal) else value for name, value in shown(row).items()}
