"""Counts for the HTTP API's numbered pages, and the activity of an account."""

from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.ledger.risk import Activity
from pointledger.errors import AccountMissing
from pointledger.storage.database import rows


def user_of(connection: sa.Connection, tenant_id: str, account_id: UUID) -> str:
    """Return the account's user. Raises AccountMissing."""
    found = rows(
        connection,
        "SELECT user_id FROM accounts WHERE tenant_id = %(tenant)s AND id = %(id)s",
        tenant=tenant_id,
        id=account_id,
    )
    if not found:
        raise AccountMissing(f"account {account_id} of {tenant_id}")
    return str(found[0][0])


def version_of(connection: sa.Connection, tenant_id: str, user_id: str) -> int:
    """Return the number of entries of the user's account, which is its version. Raises AccountMissing."""
    found = rows(
        connection,
        "SELECT version FROM accounts WHERE tenant_id = %(tenant)s AND user_id = %(user)s",
        tenant=tenant_id,
        user=user_id,
    )
    if not found:
        raise AccountMissing(f"tenant {tenant_id}").about(tenant_id, user_id)
    return int(found[0][0])


_OF_TYPE = """
SELECT count(*) FROM accounts a JOIN entries e ON e.tenant_id = a.tenant_id AND e.account_id = a.id
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND e.type = %(type)s"""


def entries_of_type(connection: sa.Connection, tenant_id: str, user_id: str, type: str) -> int:
    """Count the account's entries of a type; it reads all entries of the account."""
    return int(rows(connection, _OF_TYPE, tenant=tenant_id, user=user_id, type=type)[0][0])


_ACCOUNTS_OF_STATUS = """
SELECT count(*), coalesce(sum(version), 0)::bigint FROM accounts
WHERE tenant_id = %(tenant)s AND (%(status)s::text IS NULL OR status = %(status)s)"""


def count_of_accounts(connection: sa.Connection, tenant_id: str, status: str | None) -> tuple[int, int]:
    """Count the tenant's accounts with a status, or any, and their entries."""
    accounts, entries = rows(connection, _ACCOUNTS_OF_STATUS, tenant=tenant_id, status=status)[0]
    return int(accounts), int(entries)


_ENTRIES_OF_TENANT = """
SELECT count(*) FROM entries e
WHERE e.tenant_id = %(tenant)s AND e.type = %(type)s"""


def entries_of_tenant(connection: sa.Connection, tenant_id: str, type: str) -> int:
    """Count the tenant's entries of a type; it reads them all."""
    return int(rows(connection, _ENTRIES_OF_TENANT, tenant=tenant_id, type=type)[0][0])


# The latest entries are enough to show that an account is busy.
_ACTIVITY = """
WITH latest AS (
    SELECT e.* FROM accounts a JOIN entries e ON e.tenant_id = a.tenant_id AND e.account_id = a.id
    WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s
    ORDER BY e.seq DESC LIMIT %(most)s
), week AS (
    SELECT latest.*, latest.created_at > clock_timestamp() - interval '1 day' AS is_of_last_day FROM latest
    WHERE latest.created_at > clock_timestamp() - interval '7 days'
)
SELECT (SELECT extract(day FROM clock_timestamp() - created_at)::int FROM accounts
        WHERE tenant_id = %(tenant)s AND user_id = %(user)s) AS age_days,
       count(*) FILTER (WHERE type = 'spend' AND is_of_last_day) AS debits_last_day,
       count(*) FILTER (WHERE subtype = 'transfer_out' AND is_of_last_day) AS transfers_last_day,
       (SELECT count(DISTINCT arrived.account_id) FROM week
        JOIN entries arrived ON arrived.tenant_id = week.tenant_id AND arrived.id = week.related_id
        WHERE week.subtype = 'transfer_out') AS recipients_last_week,
       coalesce(sum(delta) FILTER (WHERE delta > 0), 0)::bigint AS points_in_last_week,
       -coalesce(sum(delta) FILTER (WHERE type = 'spend'), 0)::bigint AS points_out_last_week
FROM week"""

_MOST_ENTRIES = 1_000


def activity(connection: sa.Connection, tenant_id: str, user_id: str) -> Activity:
    """Return the recent activity of an existing account, from its last thousand entries."""
    return Activity(*rows(connection, _ACTIVITY, tenant=tenant_id, user=user_id, most=_MOST_ENTRIES)[0])
