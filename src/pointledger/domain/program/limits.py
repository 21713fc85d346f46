"""Counts usage against limits, in windows of the tenant's calendar.

Usage is keyed by the local date on which a window starts, so no job resets it when a new day begins.

A limit of scope `user` counts the grants of a rule to one user; scope `rule` counts its grants to all users.
A limit of scope `tenant` is a budget that several rules share: it counts the grants of every rule with such a
limit. Rules without one neither count against the budget nor are capped by it.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from pointledger.domain.program.rule import Limit, Rule
from pointledger.domain.program.tenant import Tenant

LIFETIME_STARTS_ON = date(1, 1, 1)  # the lifetime window starts before any event
DAY, WEEK, MONTH = "day", "week", "month"
EARN_METER, SPEND_METER = "earn", "spend"  # the tenant's daily limits across all rules
BUDGET_METER = "budget"  # shared by rules with a limit of scope `tenant`
ALL_USERS = ""  # in place of a user id in a window that all users of a tenant share

MAX_COUNT = 10**18  # points or times per window: the maximum of a counter's column


class Window(NamedTuple):
    """The key of a counter. `meter` is a rule's id, or a meter that rules share."""

    tenant_id: str
    user_id: str
    meter: str
    period: str
    starts_on: date

    @property
    def is_shared(self) -> bool:
        """Whether batches of other lanes also count in it."""
        return self.user_id == ALL_USERS


@dataclass(slots=True)
class Usage:
    """The points and times that are used up in a window."""

    points: int = 0
    times: int = 0
    changed: bool = False

    def add(self, points: int) -> None:
        """Count one grant. A clamped grant also counts as one time."""
        self.points += points
        self.times += 1
        self.changed = True

    def give_back(self, points: int) -> None:
        """Release the room of points that were taken back. The grant still counts as one time."""
        if self.points:
            self.points = max(self.points - points, 0)
            self.changed = True


@dataclass(slots=True)
class SharedUsage(Usage):
    """The usage of all users. `points_before` and `times_before` are the values that the batch has read.

    Other batches count concurrently. `most_points` and `most_times` are the highest values of the counter
    with which the batch's decisions still hold when it takes its place in the order of application. Above
    them, a grant would exceed a limit, or a limit would cap an award that it has let through.
    """

    points_before: int = 0
    times_before: int = 0
    most_points: int = MAX_COUNT
    most_times: int = MAX_COUNT

    def keep_open(self, limit: Limit, wanted: int) -> None:
        """Record that the limit has let the whole award through."""
        if limit.unit == "points":
            self.most_points = min(self.most_points, limit.max - wanted - (self.points - self.points_before))
        else:
            self.most_times = min(self.most_times, limit.max - 1 - (self.times - self.times_before))

    def keep_within(self, limit: Limit) -> None:
        """Record that the grant just counted must fit the limit and the counter's column."""
        self.most_points = min(self.most_points, MAX_COUNT - (self.points - self.points_before))
        if limit.unit == "points":
            self.most_points = min(self.most_points, limit.max - (self.points - self.points_before))
        else:
            self.most_times = min(self.most_times, limit.max - (self.times - self.times_before))


def daily_window(tenant: Tenant, user_id: str, meter: str, at: datetime) -> Window:
    """Return the window of the tenant's `max_earn_per_day` or `max_spend_per_day` at a moment."""
    return Window(tenant.tenant_id, user_id, meter, DAY, tenant.local_date(at))


def rule_windows(tenant: Tenant, user_id: str, rule: Rule, at: datetime) -> list[tuple[Limit, Window]]:
    """Return the rule's limits, each with its window at a moment."""
    if not rule.body.limits:
        return []
    today = tenant.local_date(at)
    found = []
    for limit in rule.body.limits:
        counted_user = user_id if limit.scope == "user" else ALL_USERS
        meter = BUDGET_METER if limit.scope == "tenant" else rule.meter
        first = starts_on(limit.period, today)
        found.append((limit, Window(tenant.tenant_id, counted_user, meter, limit.period, first)))
    return found


def starts_on(period: str, day: date) -> date:
    """Return the first local date of the window around a day. Weeks are ISO weeks."""
    if period == DAY:
        return day
    if period == WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == MONTH else LIFETIME_STARTS_ON


def let_through(limit: Limit, usage: Usage, wanted: int) -> int:
    """Return how many of the `wanted` points the limit lets through."""
    if limit.unit == "times":
        return wanted if usage.times < limit.max else 0
    return min(wanted, left(limit, usage))


def left(limit: Limit, usage: Usage) -> int:
    """Return the points or times that are left of a limit."""
    return max(limit.max - (usage.points if limit.unit == "points" else usage.times), 0)
