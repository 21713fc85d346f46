"""Queries about days: what a tenant issued, redeemed and let expire, and what is outstanding."""

from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from pointledger.client.queries.base import Queries
from pointledger.client.queries.results import iso
from pointledger.domain.ledger.entry import TAKEN, TOTALS
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.fields import EARLIEST
from pointledger.domain.values.money import cash_value
from pointledger.errors import InvalidCommand
from pointledger.storage.database import read_only
from pointledger.storage.ledger import program
from pointledger.storage.queries import current, day_totals
from pointledger.storage.queries.day_totals import By, KindOfDay, Mark, Since

DAYS = 90  # a quarter
MOST_DAYS = 366  # a year: some thousand rows

_FIGURES = {
    "total_earned": "earned",
    "total_spent": "spent",
    "expired_points": "expired",
    "total_refunded": "refunded",
    "total_clawed_back": "clawed_back",
    "total_adjusted_in": "adjusted_in",
    "total_adjusted_out": "adjusted_out",
    "total_transferred_in": "transferred_in",
    "total_transferred_out": "transferred_out",
}


@dataclass(frozen=True, slots=True)
class DayFigures:
    """What happened on one local day, in points."""

    day: date
    """The day in the tenant's calendar."""
    earned: int = 0
    """Issued: granted by rules, earned or imported."""
    spent: int = 0
    """Redeemed, exchanged or captured."""
    expired: int = 0
    """Expired unused."""
    refunded: int = 0
    """Given back."""
    clawed_back: int = 0
    """Taken back from what was earned."""
    adjusted_in: int = 0
    """Given by adjustments."""
    adjusted_out: int = 0
    """Taken by adjustments and forfeits."""
    transferred_in: int = 0
    """Received from other members."""
    transferred_out: int = 0
    """Sent to other members."""
    entries: int = 0
    """The number of entries."""
    outstanding: int | None = None
    """Available, frozen and pending points at the day's end, as recorded. None for days of occurrence."""


@dataclass(frozen=True, slots=True)
class Days:
    """A span of days, oldest first."""

    tenant_id: str
    """The tenant."""
    by: By
    """`recorded`: on the day on which the ledger wrote it. `occurred`: on the day for which it counts."""
    days: tuple[DayFigures, ...]
    """One per day, also for days without entries."""
    as_of: str
    """The moment of the answer, in ISO 8601."""
    counted_to: str | None
    """Up to when entries are counted, in ISO 8601, if later ones are not yet. None: all are."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields, with days as `2026-11-30`."""
        return asdict(self) | {"days": [asdict(day) | {"day": day.day.isoformat()} for day in self.days]}


@dataclass(frozen=True, slots=True)
class Outstanding:
    """The points of all of a tenant's members, as recorded, and their value in money."""

    tenant_id: str
    """The tenant."""
    as_of: str
    """The moment of the answer, in ISO 8601."""
    points: int
    """Available, frozen and pending points."""
    available: int
    """Points that can be spent."""
    frozen: int
    """Points in holds."""
    pending: int
    """Points that become available later."""
    debt: int
    """Points that members owe."""
    exchange_rate: int
    """Points per currency unit."""
    currency: str
    """The tenant's currency."""
    value: str
    """What the points are worth at the exchange rate, as text with its decimals, rounded down."""
    is_exchangeable: bool
    """Whether the points are `cash_equivalent`. If not, no member can claim the value."""


class DayQueries(Queries):
    """Queries about days in one database. Each costs the same in a large ledger as in a small one."""

    def days(self, tenant_id: str, days: int = DAYS, until: date | None = None, by: By = "recorded") -> Days:
        """Read what happened on each of the `days` local days that end with `until` (today, if not given).
        Raises TenantMissing, and InvalidCommand for an impossible span."""
        if not 1 <= days <= MOST_DAYS:
            raise InvalidCommand(f"days: must be 1 to {MOST_DAYS}, not {days}")
        with read_only(self._database) as connection:
            tenant, now = program.tenant(connection, tenant_id), current.moment_of(connection)
            today = tenant.local_date(now)
            last = until or today
            earliest = EARLIEST.date() + timedelta(days=days)
            if not earliest <= last <= today:
                raise InvalidCommand(f"until: must be from {earliest} to today, {today}, not {last}")
            span = [last - timedelta(days=back) for back in reversed(range(days))]
            mark = day_totals.mark(connection, tenant_id)
            found = day_totals.by_kind(connection, tenant_id, span[0], last, by)
            since = _since(connection, tenant, mark, span, by)
            closing = None
            if by == "recorded":
                counted = mark.outstanding + since.outstanding
                later = sum(kind.change for kind in since.kinds if kind.day > last)
                closing = counted - later - day_totals.change_after(connection, tenant_id, last)
        kinds = found + [kind for kind in since.kinds if span[0] <= kind.day <= last]
        counted_to = day_totals.counted_to(mark.reached, since)
        figures = _figures(span, kinds, closing)
        return Days(tenant_id, by, figures, iso(now), iso(counted_to) if counted_to else None)

    def outstanding(self, tenant_id: str) -> Outstanding:
        """Read the points that are outstanding, as recorded, and their value. Raises TenantMissing.

        Points that are due to expire and whose expiry is not recorded yet are included.
        """
        with read_only(self._database) as connection:
            tenant, now = program.tenant(connection, tenant_id), current.moment_of(connection)
            mark = day_totals.mark(connection, tenant_id)
            since = _since(connection, tenant, mark, [], "recorded")
            sums = _sums(connection, tenant_id, mark, since)
        points = sums["balance"] + sums["frozen_balance"] + sums["pending_balance"]
        value, _ = cash_value(points, tenant.exchange_rate, tenant.scale)
        return Outstanding(
            tenant_id,
            iso(now),
            points,
            sums["balance"],
            sums["frozen_balance"],
            sums["pending_balance"],
            sums["debt"],
            tenant.exchange_rate,
            tenant.currency,
            value,
            tenant.points_type == "cash_equivalent",
        )


def _since(connection: sa.Connection, tenant: Tenant, mark: Mark, span: list[date], by: By) -> Since:
    """Return the entries since the mark on the days of the span, and after it as on its next day."""
    days = [*span, span[-1] + timedelta(days=1)] if span else []
    starts = [tenant.day_starts_at(day) for day in days]
    return day_totals.since(connection, tenant.tenant_id, mark.reached, days, starts, by)


def _sums(connection: sa.Connection, tenant_id: str, mark: Mark, since: Since) -> dict[str, int]:
    """Return the recorded sums of all accounts; they are read one by one if too much came since the mark."""
    if not since.is_all:
        return day_totals.recorded(connection, tenant_id)
    names = Mark._fields[2:]
    return {name: getattr(mark, name) + getattr(since, name) for name in names}


def _figures(span: list[date], kinds: list[KindOfDay], closing: int | None) -> tuple[DayFigures, ...]:
    """Return the days with their figures; `closing` is what is outstanding at the end of the last one."""
    figures: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for kind in kinds:
        of_day = figures[kind.day]
        of_day["entries"] += kind.entries
        of_day["change"] += kind.change
        if name := _name_of(kind):
            of_day[name] += kind.points
    days, outstanding = [], closing
    for day in reversed(span):
        found = dict(figures[day])
        change = found.pop("change", 0)
        days.append(DayFigures(day, outstanding=outstanding, **found))
        outstanding = None if outstanding is None else outstanding - change
    return tuple(reversed(days))


def _name_of(kind: KindOfDay) -> str | None:
    """Return the figure that a kind adds to. None: it moves points within accounts, or is unknown here."""
    known = kind.type, kind.subtype
    total = TAKEN.get(known, TOTALS.get(known)) if kind.is_taken else TOTALS.get(known)
    return _FIGURES[total] if total else None
