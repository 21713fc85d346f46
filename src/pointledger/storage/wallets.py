"""Wallets: those that a batch looks at, what it did to them, and what may be asked about them.

Reads and writes nothing where a batch looks at no money.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from pointledger.domain.decide import Accepted
from pointledger.domain.money import show_money
from pointledger.domain.wallets import Wallet, Wallets
from pointledger.storage.copying import copy
from pointledger.storage.database import rows, run
from pointledger.storage.queries import BEYOND_ANY_SEQ, PAGE, shown

WALLET = (
    "id", "tenant_id", "user_id", "application_id", "currency", "scale", "created_at", "updated_at",
    "status", "balance", "frozen_balance", "total_deposited", "total_withdrawn", "total_exchanged", "version",
)  # fmt: skip

_LOCK_WALLETS = f"""
SELECT {", ".join(f"w.{name}" for name in WALLET)}
FROM unnest(%(tenants)b::text[], %(users)b::text[]) AS wanted (tenant_id, user_id)
JOIN wallets w ON w.tenant_id = wanted.tenant_id COLLATE "C" AND w.user_id = wanted.user_id COLLATE "C"
ORDER BY w.tenant_id, w.user_id
FOR UPDATE OF w"""  # noqa: S608  (column names of ours)


def load_wallets(connection: sa.Connection, batch: list[Accepted]) -> Wallets:
    """The wallets that the batch looks at, locked in sorted order; after the accounts."""
    keys = sorted({(a.command.tenant_id, a.command.user_id) for a in batch if a.command.uses_wallet})
    if not keys:
        return Wallets()
    found = rows(
        connection, _LOCK_WALLETS, tenants=[tenant for tenant, _ in keys], users=[user for _, user in keys]
    )
    wallets = [Wallet(*map(_whole, row)) for row in found]
    return Wallets({(wallet.tenant_id, wallet.user_id): wallet for wallet in wallets})


def _whole(value: Any) -> Any:
    """Minor units come as decimals, for an int8 would be too small."""
    return int(value) if isinstance(value, Decimal) else value


_MONEY = ("balance", "frozen_balance", "total_deposited", "total_withdrawn", "total_exchanged")

_UPDATE_WALLETS = f"""
UPDATE wallets SET updated_at = new.updated_at, status = new.status, version = new.version,
                   {", ".join(f"{name} = new.{name}" for name in _MONEY)}
FROM unnest(%(tenants)b::text[], %(users)b::text[], %(updated_at)b::timestamptz[], %(status)b::text[],
            %(version)b::int8[], {", ".join(f"%({name})s::numeric[]" for name in _MONEY)})
     AS new (tenant_id, user_id, updated_at, status, version, {", ".join(_MONEY)})
WHERE wallets.tenant_id = new.tenant_id COLLATE "C" AND wallets.user_id = new.user_id COLLATE "C"
"""  # noqa: S608  (column names of ours)

WALLET_ENTRY = (
    "id", "tenant_id", "wallet_id", "seq", "command_id", "type", "amount", "delta", "balance_after",
    "related_id", "occurred_at", "created_at",
)  # fmt: skip
WALLET_LINE = ("tenant_id", "entry_id", "side", "currency", "amount")


def save_wallets(connection: sa.Connection, wallets: Wallets) -> None:
    """Writes what the decisions did to wallets."""
    new = [wallet for wallet in wallets.known.values() if wallet.is_new]
    copy(connection, "wallets", WALLET, [tuple(getattr(each, name) for name in WALLET) for each in new])
    changed = [wallet for wallet in wallets.known.values() if wallet.changed and not wallet.is_new]
    if changed:
        touched = run(
            connection,
            _UPDATE_WALLETS,
            tenants=[wallet.tenant_id for wallet in changed],
            users=[wallet.user_id for wallet in changed],
            updated_at=[wallet.updated_at for wallet in changed],
            status=[wallet.status for wallet in changed],
            version=[wallet.version for wallet in changed],
            **{name: [Decimal(getattr(wallet, name)) for wallet in changed] for name in _MONEY},
        )
        assert touched == len(changed), "a locked wallet is there until the transaction ends"
    entries = [tuple(getattr(entry, name) for name in WALLET_ENTRY) for entry in wallets.entries]
    copy(connection, "wallet_entries", WALLET_ENTRY, entries)
    copy(connection, "wallet_lines", WALLET_LINE, [tuple(line) for line in wallets.lines])


# -------------------------------------------------------------------------------------------- lookups

_SHOWN_WALLET = """
SELECT id AS wallet_id, tenant_id, user_id, application_id, currency, scale, status, balance, frozen_balance,
       balance - frozen_balance AS available, total_deposited, total_withdrawn, total_exchanged, version,
       created_at, updated_at
FROM wallets WHERE tenant_id = %(tenant)s AND user_id = %(user)s"""


def wallet(connection: sa.Connection, tenant_id: str, user_id: str) -> dict[str, Any] | None:
    """One user's wallet, amounts as text; None if there is none."""
    found = rows(connection, _SHOWN_WALLET, tenant=tenant_id, user=user_id)
    return _shown(found[0]) if found else None


_ENTRIES = """
WITH page AS (  -- cut out first, in the order of an index: the rest is looked up for it alone
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
    """A page of the wallet's entries, newest first, those whose seq is below `before`; amounts as text."""
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
    """How many entries of a type the wallet has; reads all of its entries."""
    return int(rows(connection, _OF_TYPE, tenant=tenant_id, user=user_id, type=type)[0][0])


def all_entries(connection: sa.Connection, tenant_id: str, user_id: str) -> Iterator[dict[str, Any]]:
    """All of the wallet's entries, newest first."""
    before: int | None = None
    while page := wallet_entries(connection, tenant_id, user_id, before):
        yield from page
        before = page[-1]["seq"]


def _shown(row: Any) -> dict[str, Any]:
    money = {name: value for name, value in row._asdict().items() if isinstance(value, Decimal)}
    fields = shown(row)
    scale = fields.pop("scale")
    return fields | {name: show_money(int(value), scale) for name, value in money.items()}
