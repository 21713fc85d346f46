"""Lookups about money: a wallet and its entries."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pointledger.errors import WalletMissing
from pointledger.storage.database import Asking, looking
from pointledger.storage.ledger import program
from pointledger.storage.queries import wallets
from pointledger.storage.queries.rows import PAGE

MOST_WALLET_ENTRIES = 1000  # of a page


@dataclass(frozen=True, slots=True)
class WalletPage:
    """Wallet entries, newest first. `total`: all entries of the wallet, of whatever type. `next_before` goes
    into the next call; None: this is the end."""

    entries: tuple[dict[str, Any], ...]
    total: int
    next_before: int | None


class WalletLookups(Asking):
    """Asks one database. Amounts are text, with all decimals of the wallet's currency."""

    def wallet(self, tenant_id: str, user_id: str) -> dict[str, Any]:
        """The user's wallet. Raises TenantMissing, WalletMissing."""
        with looking(self._database) as connection:
            return _wallet(connection, tenant_id, user_id)

    def wallet_entries(
        self,
        tenant_id: str,
        user_id: str,
        *,
        before: int | None = None,
        type: str | None = None,
        limit: int = PAGE,
    ) -> WalletPage:
        """A page of the wallet's entries, newest first, those with a `seq` below `before`. Entries never
        change and only ever come on top. Raises TenantMissing, WalletMissing."""
        limit = max(1, min(limit, MOST_WALLET_ENTRIES))
        with looking(self._database) as connection:
            total = int(_wallet(connection, tenant_id, user_id)["version"])
            found = wallets.wallet_entries(connection, tenant_id, user_id, before, type=type, limit=limit)
        is_last = len(found) < limit or found[-1]["seq"] == 1
        return WalletPage(tuple(found), total, None if is_last else found[-1]["seq"])


def _wallet(connection: sa.Connection, tenant_id: str, user_id: str) -> dict[str, Any]:
    program.tenant(connection, tenant_id)
    found = wallets.wallet(connection, tenant_id, user_id)
    if found is None:
        raise WalletMissing(f"{user_id} of {tenant_id}")
    return found
