"""The model's account: figures, entries, lots and holds, as plain lists of plain values.

`Account.post` is the only place where a figure changes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

TOTALS_IN = ("total_earned", "total_refunded", "total_transferred_in", "total_adjusted_in")
TOTALS_OUT = (
    "total_spent",
    "expired_points",
    "total_transferred_out",
    "total_adjusted_out",
    "total_clawed_back",
)
FIGURES = ("balance", "frozen_balance", "pending_balance", "debt", *TOTALS_IN, *TOTALS_OUT)
LARGEST_FIGURE = 10**15
LARGEST_TOTAL = 10**18
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True, eq=False)
class Entry:
    """An immutable row of an account. `related` is the id of the entry that it refers to."""

    user: str
    seq: int
    type: str
    subtype: str
    amount: int
    delta: int
    delta_frozen: int
    delta_pending: int
    delta_debt: int
    balance_after: int
    frozen_after: int
    pending_after: int
    debt_after: int
    occurred_at: datetime
    command: str
    related: str | None = None
    rule: tuple[str, int] | None = None
    expires_at: datetime | None = None
    moves: list[tuple["Lot", str, int]] = field(default_factory=list)
    lots: list["Lot"] = field(default_factory=list)  # the lots that it brought

    @property
    def id(self) -> str:
        return f"{self.user}/{self.seq}"


@dataclass(slots=True, eq=False)
class Lot:
    """Points that were granted together and expire together."""

    entry: Entry
    nth: int
    origin: Entry
    amount: int
    earned_at: datetime
    expires_at: datetime | None
    activates_at: datetime | None = None
    remaining: int = 0
    frozen: int = 0
    expired: int = 0
    changes: int = 0
    is_pending: bool = False
    end: str = "consumed"  # its state when nothing is left
    first_expires_at: datetime | None = None

    def __post_init__(self) -> None:
        self.first_expires_at = self.first_expires_at or self.expires_at

    @property
    def id(self) -> str:
        return f"{self.entry.id}/{self.nth}"

    @property
    def state(self) -> str:
        if self.is_pending and self.remaining:
            return "pending"
        return "active" if self.remaining or self.frozen else self.end

    @property
    def order(self) -> tuple[Any, ...]:
        """The order of consumption: earliest expiry, then oldest, then the order of arrival."""
        return (self.expires_at or NEVER, self.earned_at, self.entry.seq, self.nth)

    def is_due(self, moment: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= moment

    def take(self, points: int, end: str = "consumed") -> None:
        self.remaining -= points
        assert self.remaining >= 0
        self.end = end


@dataclass(slots=True, eq=False)
class Share:
    """Points that return to a lot, or to a new lot that continues it until `ends`."""

    lot: Lot
    points: int
    is_new: bool = False
    ends: datetime | None = None

    def order(self, entry: Entry, nth: int) -> tuple[Any, ...]:
        """Return the place of the resulting lot in the order of consumption."""
        if not self.is_new:
            return self.lot.order
        return (self.ends or NEVER, self.lot.earned_at, entry.seq, nth)


@dataclass(slots=True, eq=False)
class Hold:
    """Reserved points; `parts` has each lot, the points from it, and how many of them are still frozen."""

    id: str
    seq: int
    amount: int
    opened_at: datetime
    expires_at: datetime | None
    parts: list[list[Any]]  # lot, amount, frozen
    captured: int = 0
    released: int = 0
    state: str = "open"

    @property
    def frozen(self) -> int:
        return self.amount - self.captured - self.released


@dataclass(slots=True, eq=False)
class Account:
    """A user's points within a tenant."""

    user: str
    points_type: str
    as_of: datetime
    status: str = "active"
    figures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIGURES, 0))
    entries: list[Entry] = field(default_factory=list)
    lots: list[Lot] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    exempt: bool = False
    expires_not_before: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the account's clock advances."""
        return self.status in ("active", "suspended")

    @property
    def net_points(self) -> int:
        """All points minus the debt."""
        figures = self.figures
        return figures["balance"] + figures["frozen_balance"] + figures["pending_balance"] - figures["debt"]

    def post(
        self,
        type_: str,
        subtype: str,
        amount: int,
        *,
        at: datetime,
        command: str,
        total: str | None = None,
        balance: int = 0,
        frozen: int = 0,
        pending: int = 0,
        debt: int = 0,
        related: str | None = None,
        expires_at: datetime | None = None,
    ) -> Entry:
        """Add an entry and change the figures by it. `total` names the total that counts its amount."""
        figures = self.figures
        figures["balance"] += balance
        figures["frozen_balance"] += frozen
        figures["pending_balance"] += pending
        figures["debt"] += debt
        if total:
            figures[total] += amount
        after = (
            figures["balance"],
            figures["frozen_balance"],
            figures["pending_balance"],
            figures["debt"],
        )
        assert min(after) >= 0, after
        assert not (figures["debt"] and figures["balance"]), "available points repay debt first"
        entry = Entry(
            self.user, len(self.entries) + 1, type_, subtype, amount, balance, frozen, pending, debt, *after,
            occurred_at=at, command=command, related=related, expires_at=expires_at,
        )  # fmt: skip
        self.entries.append(entry)
        return entry

    def bring(self, entry: Entry, points: int, **fields: Any) -> Lot:
        """Add a lot with points of an entry."""
        lot = Lot(entry, len(entry.lots), fields.pop("origin", entry), points, remaining=points, **fields)
        entry.lots.append(lot)
        self.lots.append(lot)
        return lot

    def copied(self) -> "Account":
        """Return a copy of the account for a trial."""
        lots = {id(lot): replace(lot) for lot in self.lots}
        holds = [
            replace(hold, parts=[[lots[id(lot)], points, frozen] for lot, points, frozen in hold.parts])
            for hold in self.holds
        ]
        entries, figures = list(self.entries), dict(self.figures)
        return replace(self, figures=figures, entries=entries, lots=list(lots.values()), holds=holds)

    def available(self) -> list[Lot]:
        """Return the lots that can be spent, in the order of consumption."""
        return sorted(
            (lot for lot in self.lots if lot.remaining and not lot.is_pending), key=lambda lot: lot.order
        )

    def consume(self, entry: Entry, points: int, kind: str, lots: Iterable[Lot] | None = None) -> int:
        """Take points from lots in this order, or in that of consumption; return how many are missing."""
        for lot in self.available() if lots is None else lots:
            taken = min(points, lot.remaining)
            if taken:
                lot.take(taken)
                entry.moves.append((lot, kind, taken))
                points -= taken
        return points

    def give_back(self, entry: Entry, owed: int, shares: Sequence[Share]) -> None:
        """Return points to lots, except the first in the order of consumption, which repay debt."""
        for nth in sorted(range(len(shares)), key=lambda nth: shares[nth].order(entry, nth)):
            share, paid = shares[nth], min(owed, shares[nth].points)
            share.points -= paid
            owed -= paid
            if paid and not share.is_new:
                share.lot.end = "consumed"
            if paid and entry.type == "unfreeze" and not share.is_new:
                entry.moves.append((share.lot, "debt", paid))  # held points leave their lot only now
        assert not owed
        for share in shares:
            if share.points:
                self._return(entry, share)

    def _return(self, entry: Entry, share: Share) -> None:
        lot, points = share.lot, share.points
        if share.is_new:
            self.bring(entry, points, origin=lot.origin, earned_at=lot.earned_at, expires_at=share.ends)
        else:
            lot.remaining += points
            entry.moves.append((lot, "restore", points))

    def repay(self, entry: Entry, owed: int, brought: Sequence[Lot]) -> None:
        """Repay debt from the lots that a credit brings, in the order of consumption."""
        missing = self.consume(entry, owed, "debt", sorted(brought, key=lambda lot: lot.order))
        assert not missing
