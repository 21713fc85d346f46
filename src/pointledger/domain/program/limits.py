"""Limits and their windows: how much may be earned in a span of the tenant's calendar.

Usage is keyed by the local date on which a window starts, so nothing has to be reset for a new day to
begin, and a reset that is missed or run twice changes nothing.

A limit of scope `user` counts what a rule has granted to one user, one of scope `rule` what it has granted to
all of them. One of scope `tenant` is a budget of the rules that carry such a limit: what any of them grants
counts, and a rule without it neither counts nor is held back; so that a budget is never exceeded.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from pointledger.domain.program.rule import Limit, Rule
from pointledger.domain.program.tenant import Tenant

LIFETIME_STARTS_ON = date(1, 1, 1)  # the window that never ends has begun before any event
DAY, WEEK, MONTH = "day", "week", "month"
EARN_METER, SPEND_METER = "earn", "spend"  # the tenant's own daily limits, over all rules
BUDGET_METER = "budget"  # what rules with a limit of scope `tenant` share
EVERYBODY = ""  # the user of a window that all of a tenant's users share

MOST_COUNTED = 10**18  # points or times, in one window: what a counter's column keeps


class Window(NamedTuple):
    """Which count a limit looks at: one account's or everybody's, on one meter (a rule's id, or the tenant's
    own)."""

    tenant_id: str
    user_id: str
    meter: str
    period: str
    starts_on: date

    @property
    def is_shared(self) -> bool:
        """Whether other lanes' batches count in it, too."""
        return self.user_id == EVERYBODY


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
        if self.points:
            self.points = max(self.points - points, 0)
            self.changed = True


@dataclass(slots=True)
class SharedUsage(Usage):
    """What everybody has obtained: `points_before` and `times_before` as they were when the batch read them,
    and what the batch adds.

    Others count meanwhile. `most_points` and `most_times` are the most that the counter may stand at when the
    batch takes its place in the order of application, lest one of its grants exceed a limit, or a limit that
    has let something through would not have.
    """

    points_before: int = 0
    times_before: int = 0
    most_points: int = MOST_COUNTED
    most_times: int = MOST_COUNTED

    def keep_open(self, limit: Limit, wanted: int) -> None:
        """Notes that the limit has let all that was wanted through."""
        if limit.unit == "points":
            self.most_points = min(self.most_points, limit.max - wanted - (self.points - self.points_before))
        else:
            self.most_times = min(self.most_times, limit.max - 1 - (self.times - self.times_before))

    def keep_within(self, limit: Limit) -> None:
        """Notes that a grant, counted just now, stands only if the limit does, and the counter can."""
        self.most_points = min(self.most_points, MOST_COUNTED - (self.points - self.points_before))
        if limit.unit == "points":
            self.most_points = min(self.most_points, limit.max - (self.points - self.points_before))
        else:
            self.most_times = min(self.most_times, limit.max - (self.times - self.times_before))


def daily_window(tenant: Tenant, user_id: str, meter: str, at: datetime) -> Window:
    """The window of the tenant's `max_earn_per_day` or `max_spend_per_day` that a moment falls in."""
    return Window(tenant.tenant_id, user_id, meter, DAY, tenant.local_date(at))


def rule_windows(tenant: Tenant, user_id: str, rule: Rule, at: datetime) -> list[tuple[Limit, Window]]:
    """The rule's limits, each with the window that it counts at a moment."""
    if not rule.body.limits:
        return []
    today = tenant.local_date(at)
    found = []
    for limit in rule.body.limits:
        whose = user_id if limit.scope == "user" else EVERYBODY
        meter = BUDGET_METER if limit.scope == "tenant" else rule.meter
        first = starts_on(limit.period, today)
        found.append((limit, Window(tenant.tenant_id, whose, meter, limit.period, first)))
    return found


def starts_on(period: str, day: date) -> date:
    """The first local date of the window of this length that a day lies in; weeks are ISO's."""
    if period == DAY:
        return day
    if period == WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == MONTH else LIFETIME_STARTS_ON


def let_through(limit: Limit, usage: Usage, wanted: int) -> int:
    """Points of `wanted` that the limit still lets through."""
    if limit.unit == "times":
        return wanted if usage.times < limit.max else 0
    return min(wanted, left(limit, usage))


def left(limit: Limit, usage: Usage) -> int:
    """Points or times, whichever the limit counts."""
    return max(limit.max - (usage.points if limit.unit == "points" else usage.times), 0)
