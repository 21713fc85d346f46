"""Keeps users' money in memory, in whole minor units, and everything that a batch writes about it.

`Wallets.post` is the only place where a wallet's balance changes. Money is kept in double entry: each entry
has two lines that add up to zero, one of the wallet and one of the source or destination of the money.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from pointledger.domain.values.money import show_money

EntryType = Literal["deposit", "withdraw", "exchange"]

# For each type of entry: the total that it adds to, its direction, and its other side.
POSTINGS: dict[EntryType, tuple[str, int, str]] = {
    "deposit": ("total_deposited", +1, "outside"),
    "withdraw": ("total_withdrawn", -1, "outside"),
    "exchange": ("total_exchanged", +1, "points"),
}


@dataclass(slots=True)
class Wallet:
    """One user's money in one currency. `balance` includes frozen money."""

    id: UUID
    tenant_id: str
    user_id: str
    application_id: str | None
    currency: str
    scale: int  # decimals of the currency when the wallet was created
    created_at: datetime
    updated_at: datetime
    status: str = "active"
    balance: int = 0
    frozen_balance: int = 0
    total_deposited: int = 0
    total_withdrawn: int = 0
    total_exchanged: int = 0
    version: int = 0
    is_new: bool = False
    changed: bool = False

    @property
    def available(self) -> int:
        return self.balance - self.frozen_balance

    def show(self, minor: int) -> str:
        """Format minor units in the wallet's currency."""
        return show_money(minor, self.scale)


@dataclass(frozen=True, slots=True)
class WalletEntry:
    """One immutable row on a wallet; `amount` is positive, `delta` is signed."""

    id: UUID
    tenant_id: str
    wallet_id: UUID
    seq: int
    command_id: UUID
    type: EntryType
    amount: int
    delta: int
    balance_after: int
    related_id: UUID | None  # the entry of the points that paid for it
    occurred_at: datetime
    created_at: datetime


class WalletLine(NamedTuple):
    """One side of an entry: `wallet`, `outside` or `points`. The lines of an entry add up to zero."""

    tenant_id: str
    entry_id: UUID
    side: str
    currency: str
    amount: int


@dataclass(slots=True)
class Wallets:
    """The wallets of a batch by tenant and user, with their new entries."""

    known: dict[tuple[str, str], Wallet] = field(default_factory=dict)
    entries: list[WalletEntry] = field(default_factory=list)
    lines: list[WalletLine] = field(default_factory=list)

    def post(
        self,
        wallet: Wallet,
        entry_id: UUID,
        command_id: UUID,
        entry_type: EntryType,
        amount: int,
        occurred_at: datetime,
        recorded_at: datetime,
        related_id: UUID | None = None,
    ) -> WalletEntry:
        """Write an entry about `amount` minor units, and change the wallet's balance."""
        total, direction, other_side = POSTINGS[entry_type]
        delta = direction * amount
        wallet.balance += delta
        setattr(wallet, total, getattr(wallet, total) + amount)
        wallet.version += 1
        wallet.updated_at = max(wallet.updated_at, recorded_at)
        wallet.changed = True
        entry = WalletEntry(
            entry_id, wallet.tenant_id, wallet.id, wallet.version, command_id, entry_type, amount, delta,
            wallet.balance, related_id, occurred_at, wallet.updated_at,
        )  # fmt: skip
        self.entries.append(entry)
        for side, share in (("wallet", delta), (other_side, -delta)):
            self.lines.append(WalletLine(wallet.tenant_id, entry_id, side, wallet.currency, share))
        return entry
