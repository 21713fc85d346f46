"""Holds a tenant's state during its replay: recently used accounts in memory, the others in files.

Lots at their end are not kept once they were compared with what the ledger keeps of them: what asks for one
later, a refund mostly, finds it there.
"""

from collections.abc import Iterator, MutableMapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.decisions.replay import PastEntry, TenantState
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.holds import Hold
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.ledger.wallets import Wallet
from pointledger.domain.program.limits import Usage, Window
from pointledger.observability.replay import rows as made
from pointledger.observability.replay.pack import (
    pack_account,
    pack_past,
    pack_usage,
    unpack_account,
    unpack_past,
    unpack_usage,
    window_key,
)
from pointledger.storage.replay import reads
from pointledger.storage.replay.spill import Spilled

# In memory at once: accounts and lots together, at about half a kilobyte each; and of each of the others.
ACCOUNTS = 400_000
OTHERS = 40_000


class UsedUp(MutableMapping[UUID, Lot]):
    """Lots at their end. Those that the ledger keeps in another state are `unlike`: they may live again
    later, as when a spend is refunded."""

    def __init__(self, engine: sa.Engine, tenant_id: str) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._new: dict[UUID, Lot] = {}
        self.unlike: Spilled[UUID, Lot] = Spilled(OTHERS, _bytes)

    def __setitem__(self, lot_id: UUID, lot: Lot) -> None:
        self._new[lot_id] = lot

    def __getitem__(self, lot_id: UUID) -> Lot:
        if (lot := self._new.get(lot_id) or self.unlike.get(lot_id)) is None:
            with reads.reading(self._engine) as connection:
                (row,) = reads.by_id(connection, "lots", made.LOTS, self._tenant_id, [lot_id])
            lot = made.lot_of(self._tenant_id, row)
        return lot

    def compare(self, connection: sa.Connection) -> None:
        """Drop the lots that are stored as decided."""
        if not self._new:
            return
        new, self._new = self._new, {}
        kept = reads.by_id(connection, "lots", made.LOTS, self._tenant_id, list(new))
        alike = {row[0] for row in kept if (lot := new.get(row[0])) and made.lot(lot) == row}
        for lot_id, lot in new.items():
            if lot_id not in alike:
                self.unlike[lot_id] = lot

    def __delitem__(self, lot_id: UUID) -> None:
        raise NotImplementedError("what is at its end stays")

    def __iter__(self) -> Iterator[UUID]:
        raise NotImplementedError("most are not here")

    def __len__(self) -> int:
        raise NotImplementedError("most are not here")


class Shelves:
    """A tenant's whole state."""

    def __init__(self, engine: sa.Engine, tenant_id: str) -> None:
        self.accounts: Spilled[str, Account] = Spilled(
            ACCOUNTS, str.encode, pack_account, unpack_account, _weight
        )
        self.wallets: Spilled[str, Wallet] = Spilled(OTHERS, str.encode)
        self.usage: Spilled[Window, Usage] = Spilled(OTHERS, window_key, pack_usage, unpack_usage)
        self.past: Spilled[UUID, PastEntry] = Spilled(OTHERS, _bytes, pack_past, unpack_past)
        self.lots = UsedUp(engine, tenant_id)
        self.holds: Spilled[UUID, Hold] = Spilled(OTHERS, _bytes)
        self.elsewhere: Spilled[tuple[UUID, UUID], int] = Spilled(OTHERS, _pair)
        self.state = TenantState(
            self.accounts, self.wallets, self.usage, self.past, self.lots, self.holds, self.elsewhere
        )

    def close(self) -> None:
        all_of_them: tuple[Spilled[Any, Any], ...] = (
            self.accounts, self.wallets, self.usage, self.past, self.lots.unlike, self.holds, self.elsewhere,
        )  # fmt: skip
        for shelf in all_of_them:
            shelf.close()


def _weight(account: Account) -> int:
    """Return the weight of an account. Packed lots count like others, because any read unpacks them."""
    return 1 + len(account.lots) + len(account.pending)


def _bytes(key: UUID) -> bytes:
    return key.bytes


def _pair(key: tuple[UUID, UUID]) -> bytes:
    return key[0].bytes + key[1].bytes
