"""Computes what the grocer's program grants for a file of baskets, independently of the ledger.

It uses no rule engine, book or calendar of the ledger. The rules are:

- one point for each whole dollar of a basket, at most 150 per household and day in New York, for 60 days
- 100 points for a household's first basket, for 30 days
- points expire that many days later, at the same time of day in New York
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")


@dataclass
class Household:
    """A household's points."""

    granted: int = 0
    expired: int = 0
    by_day: dict[date, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def balance(self) -> int:
        return self.granted - self.expired


def points_of_households(lines: Iterable[bytes], night: datetime) -> dict[str, Household]:
    """Compute each household's points after the night."""
    households: dict[str, Household] = {}
    for line in lines:
        basket = json.loads(line)
        is_first = basket["user_id"] not in households
        household = households.setdefault(basket["user_id"], Household())
        paid_at = datetime.fromisoformat(basket["occurred_at"].replace("Z", "+00:00")).astimezone(NEW_YORK)
        day = paid_at.date()
        dollars = basket["metadata"]["amount_minor"] // 100
        points = max(0, min(dollars, 150 - household.by_day[day]))
        household.by_day[day] += points
        grant(household, points, paid_at, 60, night)
        if is_first:
            grant(household, 100, paid_at, 30, night)
    return households


def grant(household: Household, points: int, paid_at: datetime, days: int, night: datetime) -> None:
    household.granted += points
    ends_at = (paid_at.replace(tzinfo=None) + timedelta(days=days)).replace(tzinfo=NEW_YORK)
    if ends_at.timestamp() <= night.timestamp():
        household.expired += points
