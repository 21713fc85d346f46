"""Queries a member's available points by the month in which they expire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from pointledger.client.queries import late
from pointledger.client.queries.base import Queries
from pointledger.client.queries.results import iso
from pointledger.errors import AccountMissing

if TYPE_CHECKING:
    from pointledger.domain.program.tenant import Tenant

MONTHS = 13  # this month and a year
MOST_MONTHS = 120
MOST_LOTS = 1_000
LOTS = 100


@dataclass(frozen=True, slots=True)
class MonthOfExpiry:
    """The points that expire in one month of the tenant's calendar."""

    month: date
    """Its first day."""
    points: int
    """The available points. Those that are due already, and spared, count for the first month."""


@dataclass(frozen=True, slots=True)
class PointsByExpiry:
    """A member's available points by expiry, as they are now, without frozen and pending ones."""

    user_id: str
    """The member."""
    as_of: str
    """The moment of the answer, in ISO 8601."""
    months: tuple[MonthOfExpiry, ...]
    """The coming months, this one first."""
    later: int
    """Points that expire after these months."""
    never: int
    """Points that never expire."""
    lots_in_all: int
    """The number of lots that expire."""
    lots: tuple[dict[str, Any], ...]
    """The first of them. A lot that is not recorded yet has neither `id` nor `entry_id`."""
    expire_enabled: bool
    """Whether the tenant lets points expire. If not, none of these expire."""
    expiry_exempt: bool
    """Whether the account is exempt from expiry. If so, none of these expire."""
    expires_not_before: str | None
    """When a notice ends before which nothing expires, in ISO 8601. None: there is no notice."""

    @property
    def expiring(self) -> int:
        """The points that expire, in all."""
        return sum(each.points for each in self.months) + self.later


class ExpiryQueries(Queries):
    """Queries about expiry in one database."""

    def points_by_expiry(
        self, tenant_id: str, user_id: str, months: int = MONTHS, lots: int = LOTS
    ) -> PointsByExpiry:
        """Sum a member's available points by the month in which they expire, and read the first lots. Raises
        TenantMissing and AccountMissing."""
        months, lots = max(1, min(months, MOST_MONTHS)), max(1, min(lots, MOST_LOTS))
        with late.database.read_only(self._database) as connection:
            tenant = late.program.tenant(connection, tenant_id)
            account = late.current.account(connection, tenant, user_id)
            if account is None:
                raise AccountMissing(f"tenant {tenant_id}").about(tenant_id, user_id)
            firsts = _firsts(tenant.local_date(account.now), months + 1)
            starts = [tenant.day_starts_at(first) for first in firsts]
            not_before = _later(account.shown["expires_not_before"], tenant)
            found = late.points_by_expiry.sums(connection, tenant_id, account, starts, not_before)
            first = late.points_by_expiry.first_lots(connection, tenant_id, account, lots)
        never, _ = found.points.pop(None, 0), found.lots.pop(None, 0)
        by_month = [found.points[place] for place in range(1, months + 1)]
        by_month[0] += found.points[0]
        return PointsByExpiry(
            user_id,
            account.shown["as_of"],
            tuple(map(MonthOfExpiry, firsts, by_month)),
            found.points[months + 1],
            never,
            found.lots.total(),
            tuple(first),
            tenant.expire_enabled,
            account.shown["expiry_exempt"],
            iso(not_before) if not_before else None,
        )


def _later(of_account: str | None, tenant: Tenant) -> datetime | None:
    """Return when the later of two notices ends, the account's and the tenant's."""
    own = datetime.fromisoformat(of_account) if of_account else None
    return max((moment for moment in (own, tenant.expires_not_before) if moment), default=None)


def _firsts(today: date, count: int) -> list[date]:
    """Return the first days of this month and of those that follow."""
    this = today.year * 12 + today.month - 1
    return [date(number // 12, number % 12 + 1, 1) for number in range(this, this + count)]
