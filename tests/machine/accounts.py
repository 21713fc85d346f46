"""What an account looks like, told alike by the model and by the ledger. Equal lots may be merged (the
specification says so), so lots of one age and expiry are told together, and so is what expires of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from tests.machine.ground import Ground
from tests.machine.purses import Purse

Moment = datetime | None
Line = tuple[str, int, tuple[int, ...], Moment]  # subtype, amount, changes, and of what expired its expiry


@dataclass
class Look:
    """An account: its status, the four sums, its totals, its lots and its entries, the oldest first."""

    status: str
    sums: tuple[int, ...]
    totals: dict[str, int]
    lots: dict[tuple[Moment, datetime], tuple[int, int]]  # what remains, what is frozen
    entries: list[Line]

    def assert_adds_up(self) -> None:
        """The two identities of the specification."""
        balance, frozen, pending, debt = self.sums
        came = ("total_earned", "total_transferred_in", "total_adjusted_in", "total_refunded")
        assert balance + frozen + pending - debt == sum(
            amount if name in came else -amount for name, amount in self.totals.items()
        )
        assert balance + frozen + pending == sum(left + held for left, held in self.lots.values())
        assert debt == 0 or balance == 0


def of_model(purse: Purse) -> Look:
    lots = [(lot.expires_at, lot.earned_at, lot.left, lot.frozen) for lot in purse.lots]
    entries = [(entry.subtype, entry.amount, entry.changes, entry.expired_at) for entry in purse.entries]
    return Look(purse.status, purse.sums, purse.totals, merged(lots), told(entries))


def merged(
    lots: Iterable[tuple[Moment, datetime, int, int]],
) -> dict[tuple[Moment, datetime], tuple[int, int]]:
    """What remains and what is frozen, by expiry and age."""
    left: Counter[tuple[Moment, datetime]] = Counter()
    frozen: Counter[tuple[Moment, datetime]] = Counter()
    for expires_at, earned_at, remains, held in lots:
        left[expires_at, earned_at] += remains
        frozen[expires_at, earned_at] += held
    return {key: (left[key], frozen[key]) for key in left if left[key] or frozen[key]}


def told(entries: Iterable[Line]) -> list[Line]:
    """The entries, those that expired at one moment as one."""
    lines: list[Line] = []
    for _, same in groupby(enumerate(entries), key=lambda each: each[1][3] or each[0]):
        group = [line for _, line in same]
        changes = tuple(sum(change) for change in zip(*(line[2] for line in group), strict=True))
        lines.append((group[0][0], sum(line[1] for line in group), changes, group[0][3]))
    return lines


def line_of(entry: Any) -> Line:
    """A ledger's entry, in the model's words."""
    subtype = entry.subtype
    if (entry.type, subtype) == ("expire", "manual"):
        subtype = "manual expiry"
    if subtype == "admin":
        subtype = "given" if entry.delta > entry.delta_debt else "taken"
    changes = (entry.delta, entry.delta_frozen, entry.delta_pending, entry.delta_debt)
    return subtype, entry.amount, changes, entry.expires_at if subtype == "scheduled" else None


def used(model: Ground) -> dict[Any, tuple[int, int]]:
    """Points and times of each window in which there are any, by user, meter, period and start."""
    return {
        key: (model.points[key], model.times[key])
        for key in model.points | model.times
        if model.points[key] or model.times[key]
    }
