"""Computes a risk score from a few weighted facts about an account, so that each factor is visible."""

from dataclasses import dataclass
from typing import Any

_YOUNG_DAYS = 30  # an account of this age is not new
_MANY_DEBITS = 10  # per day: a shopper spends once or twice
_MANY_TRANSFERS = 5  # per day
_MANY_RECIPIENTS = 10  # per week: gifts have few recipients, laundering has many


@dataclass(frozen=True, slots=True)
class Activity:
    """The recent activity of an account."""

    age_days: int
    debits_last_day: int  # spends and transfers
    transfers_last_day: int
    recipients_last_week: int
    points_in_last_week: int
    points_out_last_week: int


@dataclass(frozen=True, slots=True)
class Factor:
    """One fact: its `value`, its risk `level` from 0 to 1, and its maximum share of the score (`weight`)."""

    name: str
    value: float
    level: float
    weight: int

    @property
    def points(self) -> int:
        """The points that it adds to the score."""
        return round(self.level * self.weight)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return {
            "name": self.name,
            "value": self.value,
            "level": round(self.level, 3),
            "weight": self.weight,
            "points": self.points,
        }


def factors(activity: Activity) -> tuple[Factor, ...]:
    """Return all factors. The weights add up to 100."""
    moved_on = activity.points_out_last_week / max(activity.points_in_last_week, 1)
    has_income = activity.points_in_last_week > 0  # without new points, the account passes nothing on
    share = min(moved_on, 1.0) if has_income else 0.0
    return (
        _rising("recipients_last_week", activity.recipients_last_week, 1, _MANY_RECIPIENTS, 25),
        _rising("transfers_last_day", activity.transfers_last_day, 0, _MANY_TRANSFERS, 20),
        _rising("debits_last_day", activity.debits_last_day, 0, _MANY_DEBITS, 20),
        Factor("age_days", activity.age_days, max(0.0, 1 - activity.age_days / _YOUNG_DAYS), 20),
        Factor("share_moved_on_last_week", round(share, 3), share, 15),
    )


def _rising(name: str, value: int, harmless: int, alarming: int, weight: int) -> Factor:
    level = (value - harmless) / (alarming - harmless)
    return Factor(name, value, min(max(level, 0.0), 1.0), weight)
