"""Limits and their windows: how much may be earned in a span of the tenant's calendar.

Usage is keyed by the local date on which a window starts, so nothing has to be reset for a new day to
begin, and a reset that is missed or run twice changes nothing.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from pointledger.domain.rules import Limit, Rule
from pointledger.domain.tenants import Tenant

LIFETIME_STARTS_ON = date(1, 1, 1)  # the window that never ends has begun before any event
DAY, WEEK, MONTH = "day", "week", "month"
EARN_METER, SPEND_METER = "earn", "spend"  # the tenant's own daily limits, over all rules


class Window(NamedTuple):
    """Which count a limit looks at: one account's, on one meter (a rule's id, or the tenant's own)."""

    tenant_id: str
    user_id: str
    meter: str
    period: str
    starts_on: date


@dataclass(slots=True)
class Usage:
    """What has been obtained in a window."""

    points: int = 0
    times: int = 0
    changed: bool = False

    def add(self, points: int) -> None:
        """Counts one grant; a clamped grant is one time, like any other."""
        self.points += points
        self.times += 1
        self.changed = True

    def give_back(self, points: int) -> None:
        """Makes room again for points that were taken back; that they were granted once stays counted."""
        self.points = max(self.points - points, 0)
        self.changed = True


def daily_window(tenant: Tenant, user_id: str, meter: str, at: datetime) -> Window:
    """The window of the tenant's `max_earn_per_day` or `max_spend_per_day` that a moment falls in."""
    return Window(tenant.tenant_id, user_id, meter, DAY, tenant.local_date(at))


def rule_windows(tenant: Tenant, user_id: str, rule: Rule, at: datetime) -> list[tuple[Limit, Window]]:
    """The rule's limits, each with the window that it counts at a moment."""
    if not rule.body.limits:
        return []
    today, meter = tenant.local_date(at), str(rule.id)
    return [
        (limit, Window(tenant.tenant_id, user_id, meter, limit.period, starts_on(limit.period, today)))
        for limit in rule.body.limits
    ]


def starts_on(period: str, day: date) -> date:
    """The first local date of the window of this length that a day lies in; weeks are ISO's."""
    if period == DAY:
        return day
    if period == WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == MONTH else LIFETIME_STARTS_ON


def left(limit: Limit, usage: Usage, wanted: int) -> int:
    """Points of `wanted` that the limit still lets through."""
    if limit.unit == "times":
        return wanted if usage.times < limit.max else 0
    return min(wanted, max(limit.max - usage.points, 0))
