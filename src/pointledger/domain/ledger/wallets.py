"""Wallets: a user's money in one currency, in whole minor units; and everything a batch writes about it.

`Wallets.post` is the one place where a wallet's balance changes. Money is kept in double entry: each entry
has two lines that cancel each other, the wallet's and that of where the money came from or went to.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from pointledger.domain.values.money import show_money

EntryType = Literal["deposit", "withdraw", "exchange"]

# What each type of entry adds its amount to, in which direction, and the other side of it.
POSTINGS: dict[EntryType, tuple[str, int, str]] = {
    "deposit": ("total_deposited", +1, "outside"),
    "withdraw": ("total_withdrawn", -1, "outside"),
    "exchange": ("total_exchanged", +1, "points"),
}


@dataclass(slots=True)
class Wallet:
    """One user's money in one currency. `balance` is all of it, what is frozen included."""

    id: UUID
    tenant_id: str
    user_id: str
    application_id: str | None
    currency: str
    scale: int  # decimals, as when the wallet was made
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
        """Minor units as text, in the wallet's currency."""
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
    related_id: UUID | None  # the entry on the user's points that paid for it
    occurred_at: datetime
    created_at: datetime


class WalletLine(NamedTuple):
    """One side of an entry: `wallet`, `outside` or `points`. An entry's lines add up to nothing."""

    tenant_id: str
    entry_id: UUID
    side: str
    currency: str
    amount: int


@dataclass(slots=True)
class Wallets:
    """The wallets of a batch, by tenant and user, and what is written to them."""

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
        """Writes an entry about `amount` minor units, and what it changes."""
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
