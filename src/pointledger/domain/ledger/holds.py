"""Defines holds: points of certain lots that are reserved until they are captured or released."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pointledger.domain.ledger.lots import Lot, Order, consumption_order


@dataclass(slots=True)
class HeldLot:
    """A hold's share of a lot: `amount` when the hold was opened, `frozen` now."""

    lot: Lot
    amount: int
    frozen: int


@dataclass(slots=True)
class Hold:
    """Reserved points. Of `amount`, `captured` were spent and `released` were returned.

    Its id is the id of the entry that froze the points. `expires_at` is when it times out; None means never.
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
        """The points that are still held."""
        return self.amount - self.captured - self.released

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    def to_capture(self, amount: int) -> list[tuple[HeldLot, int]]:
        """Return which of its lots pay `amount`, and how much each. Changes nothing.

        The soonest expiry is first.
        """
        return _shares(sorted(self.lots, key=_order), amount)

    def to_release(self, amount: int) -> list[tuple[HeldLot, int]]:
        """Return which of its lots get `amount` back, and how much each. Changes nothing.

        The latest expiry is first, so the points that stay held are those that would be spent first.
        """
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
    assert amount == 0, "the points of a hold are the sum of the frozen points in its lots"
    return shares
