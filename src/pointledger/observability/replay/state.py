"""Holds a tenant's state during its replay: recently used accounts in memory, the others in files.

An ended lot is dropped once it equals its stored row. A later decision that needs it, usually a refund, reads
it from the ledger.
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
from pointledger.observability.replay import rows as row_format
from pointledger.observability.replay.pack import (
    pack_account,
    pack_past_entry,
    pack_usage,
    unpack_account,
    unpack_past_entry,
    unpack_usage,
    window_key,
)
from pointledger.storage.replay import reads
from pointledger.storage.replay.spill import SpilledDict

# In memory at the same time.
ACCOUNTS = 400_000  # accounts and lots together, at about half a kilobyte each
OTHERS = 40_000  # of each other kind


class EndedLots(MutableMapping[UUID, Lot]):
    """Lots at their end.

    `differing` has those whose stored row differs. That can be right: a refund may open the lot again later.
    """

    def __init__(self, engine: sa.Engine, tenant_id: str) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._new: dict[UUID, Lot] = {}
        self.differing: SpilledDict[UUID, Lot] = SpilledDict(OTHERS, _bytes)

    def __setitem__(self, lot_id: UUID, lot: Lot) -> None:
        self._new[lot_id] = lot

    def __getitem__(self, lot_id: UUID) -> Lot:
        if (lot := self._new.get(lot_id) or self.differing.get(lot_id)) is None:
            with reads.utc_snapshot(self._engine) as connection:
                (row,) = reads.by_id(connection, "lots", row_format.LOT_COLUMNS, self._tenant_id, [lot_id])
            lot = row_format.lot_from_row(self._tenant_id, row)
        return lot

    def drop_matching(self, connection: sa.Connection) -> None:
        """Drop the lots that are stored as decided."""
        if not self._new:
            return
        new, self._new = self._new, {}
        stored = reads.by_id(connection, "lots", row_format.LOT_COLUMNS, self._tenant_id, list(new))
        equal = {row[0] for row in stored if (lot := new.get(row[0])) and row_format.lot_row(lot) == row}
        for lot_id, lot in new.items():
            if lot_id not in equal:
                self.differing[lot_id] = lot

    def __delitem__(self, lot_id: UUID) -> None:
        raise NotImplementedError("an ended lot cannot be deleted")

    def __iter__(self) -> Iterator[UUID]:
        raise NotImplementedError("most ended lots are not in memory")

    def __len__(self) -> int:
        raise NotImplementedError("most ended lots are not in memory")


class SpilledState:
    """A tenant's whole state. `tenant_state` gives it to the decisions."""

    def __init__(self, engine: sa.Engine, tenant_id: str) -> None:
        self.accounts: SpilledDict[str, Account] = SpilledDict(
            ACCOUNTS, str.encode, pack_account, unpack_account, _weight
        )
        self.wallets: SpilledDict[str, Wallet] = SpilledDict(OTHERS, str.encode)
        self.usage: SpilledDict[Window, Usage] = SpilledDict(OTHERS, window_key, pack_usage, unpack_usage)
        self.past: SpilledDict[UUID, PastEntry] = SpilledDict(
            OTHERS, _bytes, pack_past_entry, unpack_past_entry
        )
        self.lots = EndedLots(engine, tenant_id)
        self.holds: SpilledDict[UUID, Hold] = SpilledDict(OTHERS, _bytes)
        self.elsewhere: SpilledDict[tuple[UUID, UUID], int] = SpilledDict(OTHERS, _pair)
        self.tenant_state = TenantState(
            self.accounts, self.wallets, self.usage, self.past, self.lots, self.holds, self.elsewhere
        )

    def close(self) -> None:
        spilled: tuple[SpilledDict[Any, Any], ...] = (
            self.accounts, self.wallets, self.usage, self.past,
            self.lots.differing, self.holds, self.elsewhere,
        )  # fmt: skip
        for each in spilled:
            each.close()


def _weight(account: Account) -> int:
    """Return the weight of an account. LotBundles lots count like others, because any read unpacks them."""
    return 1 + len(account.lots) + len(account.pending)


def _bytes(key: UUID) -> bytes:
    return key.bytes


def _pair(key: tuple[UUID, UUID]) -> bytes:
    return key[0].bytes + key[1].bytes
