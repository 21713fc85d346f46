"""Loads the wallets that a batch uses, and saves the changes. A batch without money runs no statement."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.ledger.wallets import Wallet, Wallets
from pointledger.storage.copy import copy
from pointledger.storage.pipelines import send, send_change

WALLET = (
    "id", "tenant_id", "user_id", "application_id", "currency", "scale", "created_at", "updated_at",
    "status", "balance", "frozen_balance", "total_deposited", "total_withdrawn", "total_exchanged", "version",
)  # fmt: skip


_READ_WALLETS = f"""
SELECT {", ".join(f"w.{name}" for name in WALLET)}
FROM unnest(%(tenants)b::text[], %(users)b::text[]) AS wanted (tenant_id, user_id)
JOIN wallets w ON w.tenant_id = wanted.tenant_id COLLATE "C" AND w.user_id = wanted.user_id COLLATE "C"
ORDER BY w.tenant_id, w.user_id"""  # noqa: S608  (constants only)

_LOCK_WALLETS = f"{_READ_WALLETS}\nFOR UPDATE OF w"


def lock_wallets(connection: sa.Connection, batch: list[Accepted]) -> Callable[[], Wallets]:
    """Lock the wallets that the batch uses, in sorted order; call it after locking accounts.

    Return the function that waits for them.
    """
    return _send_wallets(connection, batch, _LOCK_WALLETS)


def read_wallets(connection: sa.Connection, batch: list[Accepted]) -> Callable[[], Wallets]:
    """Read the wallets that the batch uses, without locks. Return the function that waits for them."""
    return _send_wallets(connection, batch, _READ_WALLETS)


def _send_wallets(connection: sa.Connection, batch: list[Accepted], sql: str) -> Callable[[], Wallets]:
    keys = sorted({(a.command.tenant_id, a.command.user_id) for a in batch if a.command.uses_wallet})
    if not keys:
        return Wallets
    sent = send(connection, sql, tenants=[tenant for tenant, _ in keys], users=[user for _, user in keys])

    def wallets() -> Wallets:
        found = [Wallet(*map(_whole, row)) for row in sent.fetchall()]
        return Wallets({(wallet.tenant_id, wallet.user_id): wallet for wallet in found})

    return wallets


def _whole(value: Any) -> Any:
    """Convert minor units, which come as decimals because int8 is too small for them."""
    return int(value) if isinstance(value, Decimal) else value


_MONEY = ("balance", "frozen_balance", "total_deposited", "total_withdrawn", "total_exchanged")


_UPDATE_WALLETS = f"""
UPDATE wallets SET updated_at = new.updated_at, status = new.status, version = new.version,
                   {", ".join(f"{name} = new.{name}" for name in _MONEY)}
FROM unnest(%(tenants)b::text[], %(users)b::text[], %(updated_at)b::timestamptz[], %(status)b::text[],
            %(version)b::int8[], {", ".join(f"%({name})s::numeric[]" for name in _MONEY)})
     AS new (tenant_id, user_id, updated_at, status, version, {", ".join(_MONEY)})
WHERE wallets.tenant_id = new.tenant_id COLLATE "C" AND wallets.user_id = new.user_id COLLATE "C"
"""  # noqa: S608  (constants only)


WALLET_ENTRY = (
    "id", "tenant_id", "wallet_id", "seq", "command_id", "type", "amount", "delta", "balance_after",
    "related_id", "occurred_at", "created_at",
)  # fmt: skip


WALLET_LINE = ("tenant_id", "entry_id", "side", "currency", "amount")


def save_wallets(connection: sa.Connection, wallets: Wallets) -> None:
    """Write new and changed wallets, their entries and lines."""
    new = [wallet for wallet in wallets.known.values() if wallet.is_new]
    copy(connection, "wallets", WALLET, [tuple(getattr(each, name) for name in WALLET) for each in new])
    changed = [wallet for wallet in wallets.known.values() if wallet.changed and not wallet.is_new]
    if changed:
        send_change(
            connection,
            _UPDATE_WALLETS,
            len(changed),
            tenants=[wallet.tenant_id for wallet in changed],
            users=[wallet.user_id for wallet in changed],
            updated_at=[wallet.updated_at for wallet in changed],
            status=[wallet.status for wallet in changed],
            version=[wallet.version for wallet in changed],
            **{name: [Decimal(getattr(wallet, name)) for wallet in changed] for name in _MONEY},
        )
    entries = [tuple(getattr(entry, name) for name in WALLET_ENTRY) for entry in wallets.entries]
    copy(connection, "wallet_entries", WALLET_ENTRY, entries)
    copy(connection, "wallet_lines", WALLET_LINE, [tuple(line) for line in wallets.lines])
