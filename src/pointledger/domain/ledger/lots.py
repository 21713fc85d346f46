"""Lots: points granted together that expire together, and the order in which they are consumed."""

from bisect import bisect_left, insort
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Lot:
    """`amount` was granted, `remaining` is left; `expires_at` is exclusive, None: never."""

    id: UUID
    tenant_id: str
    account_id: UUID
    entry_id: UUID  # the entry that put it on this account
    origin_id: UUID  # the entry that first granted its points, before any transfer
    amount: int
    remaining: int
    earned_at: datetime
    expires_at: datetime | None
    seq: int  # of the entry that brought it; 0: an older program wrote the lot
    place: int  # among the lots that this entry brought
    expired: int = 0  # of `amount`: gone for good
    frozen: int = 0  # held, and so neither spent nor expired
    state: str = "active"
    activates_at: datetime | None = None  # of a lot that was pending at first
    expiry_changes: int = 0  # how often its expiry has been moved
    is_new: bool = False

    def is_due(self, as_of: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= as_of


@dataclass(slots=True)
class LotMove:
    """Points that an entry took from a lot, or gave back to it.

    `restore` gives them back; `renew` has given them to a new lot in its stead, and changes nothing here.
    """

    tenant_id: str
    entry_id: UUID
    lot_id: UUID
    kind: str  # spend | transfer | expire | grace | adjust | clawback | debt | restore | renew
    amount: int


@dataclass(slots=True)
class ExpiryChange:
    """A lot's expiry was moved, the `nth` time. No points moved, so there is no entry: the change comes after
    entry `after_seq` of the account, and before the next."""

    lot: Lot
    nth: int
    command_id: UUID
    cause: str  # extend: an administrator's word | policy: the tenant's changed rules
    was: datetime | None
    becomes: datetime | None
    after_seq: int
    recorded_at: datetime


def sooner(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two moments, None being never."""
    if one is None or other is None:
        return one or other
    return min(one, other)


Order = tuple[datetime, datetime, int, int, UUID]


def consumption_order(lot: Lot) -> Order:
    """Soonest expiry first, those without last; then the oldest; then as they came to the account, by id
    where an older program wrote them. No two of an account are alike."""
    return lot.expires_at or _NEVER, lot.earned_at, lot.seq, lot.place, lot.id


def put(lots: list[Lot], lot: Lot) -> None:
    """Adds a lot at its place in the order."""
    insort(lots, lot, key=consumption_order)


def contains(lots: list[Lot], lot: Lot) -> bool:
    """Whether the lot is among these, which are in consumption order."""
    place = bisect_left(lots, consumption_order(lot), key=consumption_order)
    return place < len(lots) and lots[place] is lot


def take(lots: list[Lot], amount: int) -> list[tuple[Lot, int]]:
    """Which lots pay `amount`, and how much each: the soonest expiry first. Changes nothing."""
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
    """Which lots pay `amount` when each pays in proportion; the largest remainders round up, ties in
    consumption order. Changes nothing."""
    total = sum(lot.remaining for lot in lots)
    assert amount <= total, "an account's available balance is the sum of what remains in its lots"
    shares = [amount * lot.remaining // total for lot in lots]
    remainders = [amount * lot.remaining % total for lot in lots]
    by_remainder = sorted(range(len(lots)), key=lambda index: -remainders[index])
    for index in by_remainder[: amount - sum(shares)]:
        shares[index] += 1
    return [(lot, share) for lot, share in zip(lots, shares, strict=True) if share]
