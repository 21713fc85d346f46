"""Comparing: the sides take turns in the same run, round after round, and only verified work counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


class DifferentWork(Exception):
    """A side did not do what was asked of it, so its time says nothing."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of those compared. `measure` does one round from scratch and returns its figure, more being
    better; it raises DifferentWork when the work that it timed was not what was asked."""

    label: str
    measure: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """A side's figures over the rounds."""

    median: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a benchmark found. `ratios`: the first side's median to each other's."""

    name: str
    unit: str
    rounds: int
    sides: dict[str, Spread]
    ratios: dict[str, float]
    failure: str | None = None  # why nothing was found

    @property
    def verified(self) -> bool:
        """Whether every side did the same work in every round."""
        return self.failure is None

    def as_json(self) -> dict[str, Any]:
        """Rounded to what such measurements can tell."""
        return {
            "name": self.name,
            "unit": self.unit,
            "rounds": self.rounds,
            "sides": {
                label: {
                    "median": round(side.median, 1),
                    "min": round(side.min, 1),
                    "max": round(side.max, 1),
                }
                for label, side in self.sides.items()
            },
            "ratios": {label: round(ratio, 2) for label, ratio in self.ratios.items()},
            "verified": self.verified,
        }


def compare(
    name: str,
    unit: str,
    sides: Sequence[Side],
    rounds: int,
    tell: Callable[[str, int, int], None],
) -> Report:
    """Measures each side once a round; ours is the first. `tell` hears what goes on: text, done, of all.

    Every other round goes backwards, so that neither side always has the other's remains before it.
    """
    figures: dict[str, list[float]] = {side.label: [] for side in sides}
    done = 0
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            tell(f"{name}: round {number + 1}, {side.label}", done, rounds * len(sides))
            try:
                figures[side.label].append(side.measure())
            except DifferentWork as error:
                return Report(name, unit, rounds, {}, {}, f"round {number + 1}, {side.label}: {error}")
            done += 1
    spreads = {label: Spread(median(found), min(found), max(found)) for label, found in figures.items()}
    ours = spreads[sides[0].label].median
    ratios = {side.label: ours / spreads[side.label].median for side in sides[1:]}
    return Report(name, unit, rounds, spreads, ratios)
