"""A risk score that explains itself: a handful of facts about an account, each with its weight."""

from dataclasses import dataclass
from typing import Any

_YOUNG_DAYS = 30  # an account of this age is no longer new
_MANY_DEBITS = 10  # of a day: a person who shops spends once or twice
_MANY_TRANSFERS = 5  # of a day
_MANY_RECIPIENTS = 10  # of a week: presents have few, laundering has many


@dataclass(frozen=True, slots=True)
class Activity:
    """What an account did of late."""

    age_days: int
    debits_last_day: int  # spends and transfers
    transfers_last_day: int
    recipients_last_week: int
    points_in_last_week: int
    points_out_last_week: int


@dataclass(frozen=True, slots=True)
class Factor:
    """One fact: its `value`, how alarming that is (`level`, 0 to 1), and the most it adds to the score."""

    name: str
    value: float
    level: float
    weight: int

    @property
    def points(self) -> int:
        """What it adds."""
        return round(self.level * self.weight)

    def as_json(self) -> dict[str, Any]:
        """The fields."""
        return {
            "name": self.name,
            "value": self.value,
            "level": round(self.level, 3),
            "weight": self.weight,
            "points": self.points,
        }


def factors(activity: Activity) -> tuple[Factor, ...]:
    """Every fact that counts. The weights add up to 100."""
    moved_on = activity.points_out_last_week / max(activity.points_in_last_week, 1)
    only_new = activity.points_in_last_week > 0  # what has lain longer is not passed on
    share = min(moved_on, 1.0) if only_new else 0.0
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
