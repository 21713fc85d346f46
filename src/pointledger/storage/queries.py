"""What people ask: outcomes, accounts, entries. Reads only."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.outcomes import Outcome, State
from pointledger.domain.snapshots import complete
from pointledger.ids import show_id
from pointledger.storage.database import rows

PAGE = 100  # entries or accounts at once

_OUTCOMES = """
WITH asked AS (
    SELECT id, coalesce((SELECT journal_id FROM aliases a WHERE a.id = wanted.id), id) AS journal_id
    FROM unnest(%(ids)s::uuid[]) AS wanted (id)
)
SELECT asked.id, j.tenant_id, j.kind, j.accepted_at, o.state, o.reason, o.message, o.applied_at, o.data,
       f.dead_at, f.error,
       letter.state AS letter_state, letter.reason AS letter_reason, letter.error AS letter_error,
       letter.tenant_id AS letter_tenant, letter.kind AS letter_kind
FROM asked
LEFT JOIN LATERAL (SELECT state, reason, error, tenant_id, kind FROM dead_letters d WHERE d.task_id = asked.id
                   ORDER BY d.id DESC LIMIT 1) AS letter ON true
LEFT JOIN journal j ON j.id = asked.journal_id
LEFT JOIN outcomes o ON o.id = asked.journal_id
LEFT JOIN failures f ON f.id = asked.journal_id"""


def outcomes(connection: sa.Connection, task_ids: list[UUID]) -> dict[UUID, Outcome]:
    """The outcome of each task id, also of those under which a command was sent again."""
    return {row.id: _outcome(row) for row in rows(connection, _OUTCOMES, ids=task_ids)}


def _outcome(row: Any) -> Outcome:
    task_id = show_id(row.id)
    if row.accepted_at is None:
        if row.letter_state is None:
            return Outcome(task_id)
        told = Outcome(task_id, row.letter_tenant, row.letter_kind, message=row.letter_error)
        if row.letter_state == "held":
            return replace(told, state="pending")
        return replace(told, state="refused", reason=row.letter_reason)
    state: State = row.state or ("dead" if row.dead_at else "pending")
    return Outcome(
        task_id=task_id,
        tenant_id=row.tenant_id,
        kind=row.kind,
        state=state,
        reason=row.reason,
        message=row.error if state == "dead" else row.message,
        accepted_at=row.accepted_at,
        applied_at=row.applied_at,
        data=complete(row.data),
    )


_ACCOUNT = """
SELECT a.*, (SELECT config ->> 'exchange_rate' FROM tenant_versions t WHERE t.tenant_id = a.tenant_id
             ORDER BY version DESC LIMIT 1)::bigint AS exchange_rate
FROM accounts a"""


def account(connection: sa.Connection, tenant_id: str, user_id: str) -> dict[str, Any] | None:
    """One account as it is recorded, in the API's fields; None if there is none. What is due by now is not in
    it: `storage/current.py` tells that."""
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


# Of a page that is cut out first, in the order of an index: the rest is looked up for it alone.
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

_ENTRIES_OF_TENANT = f"""
WITH page AS (
    SELECT * FROM entries
    WHERE tenant_id = %(tenant)s AND (%(type)s::text IS NULL OR type = %(type)s)
    ORDER BY id DESC LIMIT %(page)s OFFSET %(skip)s)
{_ENTRY} ORDER BY e.id DESC"""  # noqa: S608  (ours)


def entries_of_tenant(
    connection: sa.Connection, tenant_id: str, type: str | None, limit: int, skip: int
) -> list[dict[str, Any]]:
    """A page of all the tenant's entries, of one type or all, the latest first."""
    found = rows(connection, _ENTRIES_OF_TENANT, tenant=tenant_id, type=type, page=limit, skip=skip)
    return [shown(row) for row in found]


_ENTRIES = f"""
WITH page AS (
    SELECT * FROM entries
    WHERE tenant_id = %(tenant)s AND seq < %(before)s AND (%(type)s::text IS NULL OR type = %(type)s)
      AND account_id = (SELECT id FROM accounts WHERE tenant_id = %(tenant)s AND user_id = %(user)s)
    ORDER BY seq DESC LIMIT %(page)s OFFSET %(skip)s)
{_ENTRY} ORDER BY e.seq DESC"""  # noqa: S608  (ours)

BEYOND_ANY_SEQ = 2**62


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
    """A page of the account's entries, newest first: those whose seq is below `before`, of one type or all;
    without the first `skip` of them.

    Of one type: reads on through the account's entries until the page is full."""
    found = rows(
        connection,
        _ENTRIES,
        tenant=tenant_id,
        user=user_id,
        before=BEYOND_ANY_SEQ if before is None else before,
        type=type,
        page=limit,
        skip=skip,
    )
    return [shown(row) for row in found]


_ONE_ENTRY = f"""
WITH page AS (SELECT * FROM entries WHERE tenant_id = %(tenant)s AND id = %(id)s)
{_ENTRY}"""  # noqa: S608  (ours)


def entry(connection: sa.Connection, tenant_id: str, entry_id: UUID) -> dict[str, Any] | None:
    """One entry; None if this tenant has none of this id."""
    found = rows(connection, _ONE_ENTRY, tenant=tenant_id, id=entry_id)
    return shown(found[0]) if found else None


def shown(row: Any) -> dict[str, Any]:
    """A row as every door gives it: ids as ULIDs, moments in ISO 8601 UTC."""
    return {name: shown_value(value) for name, value in row._asdict().items()}


def shown_value(value: object) -> object:
    """One value of such a row."""
    if isinstance(value, list):
        return [shown_value(part) for part in value]
    if isinstance(value, UUID):
        return show_id(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


_TOTALS = """
SELECT count(*) AS accounts, coalesce(sum(balance), 0) AS balance,
       coalesce(sum(total_earned), 0) AS earned, coalesce(sum(total_spent), 0) AS spent,
       coalesce(sum(expired_points), 0) AS expired,
       coalesce(sum(total_transferred_in), 0) AS transferred
FROM accounts WHERE tenant_id = %(tenant)s"""


def tenant_totals(connection: sa.Connection, tenant_id: str) -> dict[str, int]:
    """What the tenant's accounts add up to, in points."""
    found = rows(connection, _TOTALS, tenant=tenant_id)[0]
    return {name: int(value) for name, value in found._asdict().items()}


def biggest_accounts(connection: sa.Connection, tenant_id: str, most: int) -> list[tuple[str, int]]:
    """The users with the highest balances."""
    found = rows(
        connection,
        """SELECT user_id, balance FROM accounts WHERE tenant_id = %(tenant)s
           ORDER BY balance DESC, user_id LIMIT %(most)s""",
        tenant=tenant_id,
        most=most,
    )
    return [tuple(row) for row in found]


def counts(connection: sa.Connection) -> dict[str, int]:
    """How many commands were ever accepted, applied, refused (by reason) and are dead."""
    found = rows(
        connection,
        """SELECT 'accepted', count(*) FROM journal
           UNION ALL SELECT 'dead', count(*) FROM failures WHERE dead_at IS NOT NULL
           UNION ALL SELECT coalesce(reason, state), count(*) FROM outcomes GROUP BY 1""",
    )
    return {row[0]: row[1] for row in found}
