"""Queries about money: a wallet and its entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pointledger.client.queries import late
from pointledger.client.queries.base import Queries
from pointledger.errors import WalletMissing
from pointledger.storage.queries.rows import PAGE

if TYPE_CHECKING:
    import sqlalchemy as sa

MOST_WALLET_ENTRIES = 1000  # of a page


@dataclass(frozen=True, slots=True)
class WalletPage:
    """Wallet entries, newest first. `total` counts all entries of the wallet, of any type.

    `next_before` is the next call's `before`, or None at the end.
    """

    entries: tuple[dict[str, Any], ...]
    total: int
    next_before: int | None


class WalletQueries(Queries):
    """Queries about wallets in one database. Amounts are text, with all decimals of the wallet's currency."""

    def wallet(self, tenant_id: str, user_id: str) -> dict[str, Any]:
        """Read the user's wallet. Raises TenantMissing and WalletMissing."""
        with late.database.read_only(self._database) as connection:
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
        """Read a page of the wallet's entries, the newest first: those with a `seq` below `before`. Raises
        TenantMissing and WalletMissing."""
        limit = max(1, min(limit, MOST_WALLET_ENTRIES))
        with late.database.read_only(self._database) as connection:
            total = int(_wallet(connection, tenant_id, user_id)["version"])
            found = late.wallets.wallet_entries(
                connection, tenant_id, user_id, before, type=type, limit=limit
            )
        is_last = len(found) < limit or found[-1]["seq"] == 1
        return WalletPage(tuple(found), total, None if is_last else found[-1]["seq"])


def _wallet(connection: sa.Connection, tenant_id: str, user_id: str) -> dict[str, Any]:
    late.program.tenant(connection, tenant_id)
    found = late.wallets.wallet(connection, tenant_id, user_id)
    if found is None:
        raise WalletMissing(f"tenant {tenant_id}").about(tenant_id, user_id)
    return found
