"""Defines lots, which are points that expire together, and the order in which they are consumed."""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Lot:
    """Points that were granted together and expire together. `expires_at` is exclusive; None means never."""

    id: UUID
    tenant_id: str
    account_id: UUID
    entry_id: UUID  # the entry that put it on this account
    origin_id: UUID  # the entry that first granted its points, before any transfer
    amount: int
    remaining: int
    earned_at: datetime
    expires_at: datetime | None
    seq: int  # of the entry that brought it; 0: an older release wrote the lot
    place: int  # among the lots of that entry
    expired: int = 0  # how much of `amount` has expired
    frozen: int = 0  # held, so it is neither spent nor expired
    state: str = "active"
    activates_at: datetime | None = None  # of a lot that was pending initially
    expiry_changes: int = 0  # how often its expiry has changed
    is_new: bool = False

    def is_due(self, as_of: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= as_of


@dataclass(slots=True)
class LotMove:
    """Points that an entry takes from a lot or returns to it.

    `restore` returns points. `renew` records that a new lot replaces the points, and does not change this
    lot.
    """

    tenant_id: str
    entry_id: UUID
    lot_id: UUID
    kind: str  # spend | transfer | expire | grace | adjust | clawback | debt | restore | renew
    amount: int


@dataclass(slots=True)
class ExpiryChange:
    """The `nth` change of a lot's expiry.

    It has no entry, because no points move. In the account's history it follows the entry `after_seq`.
    """

    lot: Lot
    nth: int
    command_id: UUID
    cause: str  # extend: an administrator's command | policy: a changed policy of the tenant
    was: datetime | None
    becomes: datetime | None
    after_seq: int
    recorded_at: datetime


def sooner(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two moments, where None means never."""
    if one is None or other is None:
        return one or other
    return min(one, other)


Order = tuple[datetime, datetime, int, int, UUID]


def consumption_order(lot: Lot) -> Order:
    """Return a lot's unique key in its account's consumption order.

    The soonest expiry is first, and lots without expiry are last. Ties go to the oldest lot, then to the
    order in which the lots came to the account; lots of older releases are ordered by id.
    """
    return lot.expires_at or _NEVER, lot.earned_at, lot.seq, lot.place, lot.id


def put(lots: list[Lot], lot: Lot) -> None:
    """Insert a lot at its place in the consumption order, unless the list has it."""
    if not lots or consumption_order(lots[-1]) < consumption_order(lot):  # most new points expire last
        lots.append(lot)
        return
    order = consumption_order(lot)
    place = bisect_left(lots, order, key=consumption_order)
    if lots[place] is not lot:
        lots.insert(place, lot)


def take(lots: list[Lot], amount: int) -> list[tuple[Lot, int]]:
    """Return which lots pay `amount`, and how much each: the soonest expiry first. Changes nothing."""
    paid: list[tuple[Lot, int]] = []
    for lot in lots:
        if amount == 0:
            break
        share = min(lot.remaining, amount)
        if share:
            paid.append((lot, share))
            amount -= share
    assert amount == 0, "an account's available balance is the sum of what remains in its lots"
    return paid


def take_pro_rata(lots: list[Lot], amount: int) -> list[tuple[Lot, int]]:
    """Return how much of `amount` each lot pays in proportion. Changes nothing.

    The largest remainders round up; ties are in consumption order.
    """
    total = sum(lot.remaining for lot in lots)
    assert amount <= total, "an account's available balance is the sum of what remains in its lots"
    shares = [amount * lot.remaining // total for lot in lots]
    remainders = [amount * lot.remaining % total for lot in lots]
    by_remainder = sorted(range(len(lots)), key=lambda index: -remainders[index])
    for index in by_remainder[: amount - sum(shares)]:
        shares[index] += 1
    return [(lot, share) for lot, share in zip(lots, shares, strict=True) if share]
