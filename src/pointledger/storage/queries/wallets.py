"""Reads wallets and their entries."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from pointledger.domain.values.money import show_money
from pointledger.storage.database import rows
from pointledger.storage.queries.rows import BEYOND_ANY_SEQ, PAGE, shown

_WALLET = """
SELECT id AS wallet_id, tenant_id, user_id, application_id, currency, scale, status, balance, frozen_balance,
       balance - frozen_balance AS available, total_deposited, total_withdrawn, total_exchanged, version,
       created_at, updated_at
FROM wallets WHERE tenant_id = %(tenant)s AND user_id = %(user)s"""


def wallet(connection: sa.Connection, tenant_id: str, user_id: str) -> dict[str, Any] | None:
    """Return a user's wallet with amounts as text, or None."""
    found = rows(connection, _WALLET, tenant=tenant_id, user=user_id)
    return _shown(found[0]) if found else None


_ENTRIES = """
WITH page AS (  -- first, in the order of an index, so the joins run only for its rows
    SELECT * FROM wallet_entries
    WHERE tenant_id = %(tenant)s AND seq < %(before)s AND (%(type)s::text IS NULL OR type = %(type)s)
      AND wallet_id = (SELECT id FROM wallets WHERE tenant_id = %(tenant)s AND user_id = %(user)s)
    ORDER BY seq DESC LIMIT %(limit)s OFFSET %(skip)s)
SELECT e.id, e.wallet_id, w.user_id, e.seq, e.type, e.amount, e.delta, w.currency, w.scale,
       e.balance_after - e.delta AS balance_before, e.balance_after, e.related_id,
       j.actor, j.payload ->> 'reason' AS reason, j.idempotency_key, 'completed' AS status, e.command_id,
       e.occurred_at, e.created_at
FROM page e
JOIN wallets w ON w.tenant_id = e.tenant_id AND w.id = e.wallet_id
LEFT JOIN journal j ON j.id = e.command_id
ORDER BY e.seq DESC"""


def wallet_entries(
    connection: sa.Connection,
    tenant_id: str,
    user_id: str,
    before: int | None = None,
    *,
    type: str | None = None,
    limit: int = PAGE,
    skip: int = 0,
) -> list[dict[str, Any]]:
    """Return a page of the wallet's entries with a seq below `before`, the latest first; amounts are text."""
    found = rows(
        connection,
        _ENTRIES,
        tenant=tenant_id,
        user=user_id,
        before=BEYOND_ANY_SEQ if before is None else before,
        type=type,
        limit=limit,
        skip=skip,
    )
    return [_shown(row) for row in found]


_OF_TYPE = """
SELECT count(*) FROM wallets w JOIN wallet_entries e ON e.tenant_id = w.tenant_id AND e.wallet_id = w.id
WHERE w.tenant_id = %(tenant)s AND w.user_id = %(user)s AND e.type = %(type)s"""


def entries_of_type(connection: sa.Connection, tenant_id: str, user_id: str, type: str) -> int:
    """Count the wallet's entries of a type; it reads all entries of the wallet."""
    return int(rows(connection, _OF_TYPE, tenant=tenant_id, user=user_id, type=type)[0][0])


def all_entries(connection: sa.Connection, tenant_id: str, user_id: str) -> Iterator[dict[str, Any]]:
    """Yield all of the wallet's entries, the latest first."""
    before: int | None = None
    while page := wallet_entries(connection, tenant_id, user_id, before):
        yield from page
        before = page[-1]["seq"]


def _shown(row: Any) -> dict[str, Any]:
    money = {name: value for name, value in row._asdict().items() if isinstance(value, Decimal)}
    fields = shown(row)
    scale = fields.pop("scale")
    return fields | {name: show_money(int(value), scale) for name, value in money.items()}
