"""What the model has: purses with lots, holds and entries. A balance is what the lots add up to."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.machine.programme import ModelRule

NEVER = datetime.max.replace(tzinfo=UTC)
TOTALS = {
    "total_earned": ("rule", "manual", "import"),
    "total_spent": ("purchase", "capture"),
    "expired_points": ("scheduled", "manual expiry"),
    "total_refunded": ("linked", "goodwill"),
    "total_transferred_in": ("transfer_in",),
    "total_transferred_out": ("transfer_out",),
    "total_adjusted_in": ("given",),
    "total_adjusted_out": ("taken", "forfeit"),
    "total_clawed_back": ("clawback",),
}


@dataclass(eq=False)
class Lot:
    left: int
    earned_at: datetime
    expires_at: datetime | None
    origin: "Entry"  # that granted its points, on whichever account
    earned_by: "Entry | None" = None  # on this very account
    activates_at: datetime | None = None  # while it is pending
    frozen: int = 0
    expired: int = 0

    @property
    def order(self) -> tuple[datetime, datetime]:
        return self.expires_at or NEVER, self.earned_at

    def is_due(self, moment: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= moment


@dataclass(eq=False)
class Hold:
    shares: list[list[Any]]  # [lot, points of it that are held]
    opened_at: datetime
    ends_at: datetime | None
    is_open: bool = True

    @property
    def held(self) -> int:
        return sum(share for _, share in self.shares)


@dataclass(eq=False)
class Entry:
    """`number` and `place`: of the command, and among what its outcome tells of."""

    user: str
    subtype: str
    amount: int
    at: datetime
    changes: tuple[int, ...] = ()
    lot: Lot | None = None  # that it earned
    shares: list[list[Any]] = field(default_factory=list)  # [lot, what it took and has not come back]
    undone: int = 0
    rule: ModelRule | None = None
    hold: Hold | None = None
    expired_at: datetime | None = None  # of a lot that expired by time
    number: int = -1
    place: int = -1


@dataclass(eq=False)
class Purse:
    """An account."""

    user: str
    clock: datetime
    status: str = "active"
    debt: int = 0
    lots: list[Lot] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    @property
    def available(self) -> list[Lot]:
        """In the order in which they are consumed."""
        return sorted(
            (lot for lot in self.lots if lot.left and not lot.activates_at), key=lambda lot: lot.order
        )

    def expired_of(self, earned: Entry) -> int:
        """Of the points that it granted, in whichever lot they were."""
        return sum(lot.expired for lot in self.lots if lot.origin is earned)

    @property
    def pending(self) -> list[Lot]:
        return [lot for lot in self.lots if lot.left and lot.activates_at]

    @property
    def sums(self) -> tuple[int, ...]:
        """Balance, frozen, pending, debt."""
        available, pending = (sum(lot.left for lot in lots) for lots in (self.available, self.pending))
        return available, sum(lot.frozen for lot in self.lots), pending, self.debt

    @property
    def balance(self) -> int:
        return self.sums[0]

    @property
    def totals(self) -> dict[str, int]:
        by_subtype: Counter[str] = Counter()
        for entry in self.entries:
            by_subtype[entry.subtype] += entry.amount
        return {name: sum(by_subtype[subtype] for subtype in of) for name, of in TOTALS.items()}


def take(lots: list[Lot], amount: int) -> list[list[Any]]:
    """Takes points out of lots, one after the other; who gave what."""
    shares = []
    for lot in lots:
        if part := min(lot.left, amount):
            lot.left -= part
            amount -= part
            shares.append([lot, part])
    assert amount == 0, "nobody takes more than there is"
    return shares


def take_pro_rata(lots: list[Lot], amount: int) -> list[list[Any]]:
    """In proportion to what each lot has; what is left over goes to the largest remainders, the first of
    equals."""
    total = sum(lot.left for lot in lots)
    shares: list[list[Any]] = [[lot, amount * lot.left // total] for lot in lots]
    by_remainder = sorted(range(len(lots)), key=lambda place: -(amount * lots[place].left % total))
    for place in by_remainder[: amount - sum(share for _, share in shares)]:
        shares[place][1] += 1
    for lot, share in shares:
        lot.left -= share
    return shares
