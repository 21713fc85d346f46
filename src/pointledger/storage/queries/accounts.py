"""Reads accounts and their entries, as recorded now and as recorded at a past moment."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.ledger.entry import TAKEN, TOTALS
from pointledger.storage.database import rows
from pointledger.storage.queries.current import as_recorded
from pointledger.storage.queries.rows import BEYOND_ANY_SEQ, PAGE, shown

_NO_TOTALS = dict.fromkeys(
    (
        "total_earned", "total_spent", "expired_points", "total_refunded", "total_transferred_in",
        "total_transferred_out", "total_adjusted_in", "total_adjusted_out", "total_clawed_back",
    ),
    0,
)  # fmt: skip


_LAST = """
SELECT a.id, a.tenant_id, a.user_id, a.points_type, NULL AS status,
       NULL AS expiry_exempt, NULL AS expires_not_before,
       coalesce(e.balance_after, 0) AS balance, coalesce(e.frozen_after, 0) AS frozen_balance,
       coalesce(e.pending_after, 0) AS pending_balance, coalesce(e.debt_after, 0) AS debt,
       coalesce(e.seq, 0) AS version, a.created_at, coalesce(e.created_at, a.created_at) AS updated_at,
       least(%(moment)s, now()) AS as_of,
       (SELECT config ->> 'exchange_rate' FROM tenant_versions t
        WHERE t.tenant_id = a.tenant_id AND t.saved_at <= %(moment)s
        ORDER BY version DESC LIMIT 1)::bigint AS exchange_rate
FROM accounts a
LEFT JOIN LATERAL (SELECT * FROM entries e
                   WHERE e.tenant_id = a.tenant_id AND e.account_id = a.id AND e.created_at <= %(moment)s
                   ORDER BY e.seq DESC LIMIT 1) AS e ON true
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND a.created_at <= %(moment)s"""


_SUMS = """
SELECT e.type, e.subtype, e.delta + e.delta_frozen + e.delta_pending - e.delta_debt < 0 AS taken,
       sum(e.amount)::bigint AS points
FROM accounts a JOIN entries e ON e.tenant_id = a.tenant_id AND e.account_id = a.id
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND e.seq <= %(version)s
GROUP BY 1, 2, 3"""


def account_as_of(
    connection: sa.Connection, tenant_id: str, user_id: str, moment: datetime
) -> dict[str, Any] | None:
    """Return the account as it was recorded at a moment, or None if it did not exist yet.

    `created_at` decides, not `occurred_at`. So entries that were recorded later and points that were due by
    then are not included. The status is null, because no entry has it.
    """
    found = rows(connection, _LAST, tenant=tenant_id, user=user_id, moment=moment)
    if not found:
        return None
    account = shown(found[0]) | _NO_TOTALS
    as_of = account.pop("as_of")
    sums = rows(connection, _SUMS, tenant=tenant_id, user=user_id, version=account["version"])
    for entry_type, subtype, taken, points in sums:
        kind = entry_type, subtype
        total = TAKEN.get(kind, TOTALS[kind]) if taken else TOTALS[kind]
        if total:
            account[total] += points
    return as_recorded(account, as_of)


_ACCOUNT = """
SELECT a.*, (SELECT config ->> 'exchange_rate' FROM tenant_versions t WHERE t.tenant_id = a.tenant_id
             ORDER BY version DESC LIMIT 1)::bigint AS exchange_rate
FROM accounts a"""


def account(connection: sa.Connection, tenant_id: str, user_id: str) -> dict[str, Any] | None:
    """Return an account as recorded, in the API's fields, or None. `current.py` adds what is due by now."""
    found = rows(
        connection,
        _ACCOUNT + " WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s",
        tenant=tenant_id,
        user=user_id,
    )
    return _shown_account(found[0]) if found else None


def _shown_account(row: Any) -> dict[str, Any]:
    account = shown(row)
    for internal in ("as_of", "next_expiry_at", "next_activation_at"):
        account.pop(internal)
    return account


# The page comes first, in the order of an index, so the joins run only for its rows.
_ENTRY = """
SELECT e.id, e.account_id, e.seq, a.user_id, e.type, e.subtype, e.amount, e.delta, e.delta_frozen,
       e.delta_pending, e.delta_debt, e.balance_after - e.delta AS balance_before, e.balance_after,
       e.frozen_after - e.delta_frozen AS frozen_before, e.frozen_after,
       j.payload ->> 'source' AS source, j.payload ->> 'reason' AS reason,
       j.payload ->> 'description' AS description, e.related_id, j.idempotency_key, e.expires_at,
       'completed' AS status, e.command_id, e.rule_id, e.rule_version, e.occurred_at, e.created_at,
       e.created_at AS updated_at
FROM page e
JOIN accounts a ON a.tenant_id = e.tenant_id AND a.id = e.account_id
LEFT JOIN journal j ON j.id = e.command_id"""


# The entries of a command within a range of ids.
ENTRIES_IN = f"""
WITH page AS (
    SELECT * FROM entries
    WHERE tenant_id = %(tenant)s AND id > %(after)s AND id <= %(last)s AND command_id = %(command)s
    ORDER BY id LIMIT %(most)s)
{_ENTRY} ORDER BY e.id"""  # noqa: S608  (constants only)


_ENTRIES_OF_TENANT = f"""
WITH page AS (
    SELECT * FROM entries
    WHERE tenant_id = %(tenant)s AND (%(type)s::text IS NULL OR type = %(type)s)
    ORDER BY id DESC LIMIT %(page)s OFFSET %(skip)s)
{_ENTRY} ORDER BY e.id DESC"""  # noqa: S608  (constants only)


def entries_of_tenant(
    connection: sa.Connection, tenant_id: str, type: str | None, limit: int, skip: int
) -> list[dict[str, Any]]:
    """Return a page of the tenant's entries, of one type or all, the latest first."""
    found = rows(connection, _ENTRIES_OF_TENANT, tenant=tenant_id, type=type, page=limit, skip=skip)
    return [shown(row) for row in found]


_OF_ACCOUNT = """
SELECT * FROM entries
WHERE tenant_id = %(tenant)s AND seq < %(before)s{and_type}
  AND account_id = (SELECT id FROM accounts WHERE tenant_id = %(tenant)s AND user_id = %(user)s)
ORDER BY seq DESC LIMIT %(page)s OFFSET %(skip)s"""

_ENTRIES = f"WITH page AS ({_OF_ACCOUNT.format(and_type='')}) {_ENTRY} ORDER BY e.seq DESC"

# Statements of their own: only one that excludes `earn` has a plan with the index by type. Entries that
# earn are read like those of all types: most are of that type.
_EARNING = f"""
WITH page AS ({_OF_ACCOUNT.format(and_type=" AND type = 'earn'")}) {_ENTRY} ORDER BY e.seq DESC"""

_ENTRIES_OF_TYPE = f"""
WITH page AS ({_OF_ACCOUNT.format(and_type=" AND type = %(type)s AND type <> 'earn'")})
{_ENTRY} ORDER BY e.seq DESC"""


def entries(
    connection: sa.Connection,
    tenant_id: str,
    user_id: str,
    before: int | None = None,
    *,
    type: str | None = None,
    limit: int = PAGE,
    skip: int = 0,
) -> list[dict[str, Any]]:
    """Return a page of the account's entries below the seq `before`, the latest first, after `skip` entries:
    of a `type`, or all. It reads the page and what it skips."""
    values: dict[str, Any] = {"tenant": tenant_id, "user": user_id, "page": limit, "skip": skip}
    values["before"] = BEYOND_ANY_SEQ if before is None else before
    if type in (None, "earn"):
        statement = _EARNING if type else _ENTRIES
        return [shown(row) for row in rows(connection, statement, **values)]
    return [shown(row) for row in rows(connection, _ENTRIES_OF_TYPE, type=type, **values)]


_ONE_ENTRY = f"""
WITH page AS (SELECT * FROM entries WHERE tenant_id = %(tenant)s AND id = %(id)s)
{_ENTRY}"""  # noqa: S608  (constants only)


def entry(connection: sa.Connection, tenant_id: str, entry_id: UUID) -> dict[str, Any] | None:
    """Return an entry, or None if this tenant has none with this id."""
    found = rows(connection, _ONE_ENTRY, tenant=tenant_id, id=entry_id)
    return shown(found[0]) if found else None


_TOTALS = """
SELECT count(*) AS accounts, coalesce(sum(balance), 0) AS balance,
       coalesce(sum(total_earned), 0) AS earned, coalesce(sum(total_spent), 0) AS spent,
       coalesce(sum(expired_points), 0) AS expired,
       coalesce(sum(total_transferred_in), 0) AS transferred
FROM accounts WHERE tenant_id = %(tenant)s"""


def tenant_totals(connection: sa.Connection, tenant_id: str) -> dict[str, int]:
    """Return the sums of the tenant's accounts, in points."""
    found = rows(connection, _TOTALS, tenant=tenant_id)[0]
    return {name: int(value) for name, value in found._asdict().items()}


def biggest_accounts(connection: sa.Connection, tenant_id: str, most: int) -> list[tuple[str, int]]:
    """Return the users with the highest balances."""
    found = rows(
        connection,
        """SELECT user_id, balance FROM accounts WHERE tenant_id = %(tenant)s
           ORDER BY balance DESC, user_id LIMIT %(most)s""",
        tenant=tenant_id,
        most=most,
    )
    return [tuple(row) for row in found]


def counts(connection: sa.Connection) -> dict[str, int]:
    """Count all commands: accepted, applied, refused (by reason) and dead."""
    found = rows(
        connection,
        """SELECT 'accepted', count(*) FROM journal
           UNION ALL SELECT 'dead', count(*) FROM failures WHERE dead_at IS NOT NULL
           UNION ALL SELECT coalesce(reason, state), count(*) FROM outcomes GROUP BY 1""",
    )
    return {row[0]: row[1] for row in found}
