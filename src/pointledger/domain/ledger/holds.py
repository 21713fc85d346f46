"""Holds: points that are set aside, with the lots that they are in, until they are captured or released."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pointledger.domain.ledger.lots import Lot, Order, consumption_order


@dataclass(slots=True)
class HeldLot:
    """What a hold has of a lot: `amount` when it was opened, `frozen` of it still."""

    lot: Lot
    amount: int
    frozen: int


@dataclass(slots=True)
class Hold:
    """`amount` was set aside; `captured` of it was spent, `released` came back.

    It bears the id of the entry that froze its points; `expires_at` is when it times out, None: never.
    """

    id: UUID
    tenant_id: str
    account_id: UUID
    seq: int  # of its entry: the order of an account's holds
    amount: int
    opened_at: datetime
    expires_at: datetime | None
    captured: int = 0
    released: int = 0
    state: str = "open"  # open | captured | released | timed_out
    is_new: bool = False
    changed: bool = False
    lots: list[HeldLot] = field(default_factory=list)

    @property
    def held(self) -> int:
        """Points that it still holds."""
        return self.amount - self.captured - self.released

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    def to_capture(self, amount: int) -> list[tuple[HeldLot, int]]:
        """Which of its lots pay `amount`, and how much each: the soonest expiry first. Changes nothing."""
        return _shares(sorted(self.lots, key=_order), amount)

    def to_release(self, amount: int) -> list[tuple[HeldLot, int]]:
        """Which of its lots get `amount` back, and how much each: the latest expiry first, so that what stays
        held is what would be spent first. Changes nothing."""
        return _shares(sorted(self.lots, key=_order, reverse=True), amount)


def _order(held: HeldLot) -> Order:
    return consumption_order(held.lot)


def _shares(lots: Iterable[HeldLot], amount: int) -> list[tuple[HeldLot, int]]:
    shares = []
    for held in lots:
        share = min(held.frozen, amount)
        if share:
            shares.append((held, share))
            amount -= share
    assert amount == 0, "what a hold holds is the sum of what is frozen in its lots"
    return shares
