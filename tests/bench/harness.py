"""Comparing: the sides take turns in the same run, round after round, and only verified work counts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from tests.bench.stage import Stage

_FINE_BELOW = 100  # a figure below it is shown with two decimals, else with one: no measurement tells more


class DifferentWork(Exception):
    """A side did not do what was asked of it, so its time says nothing."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of those compared. `measure` does one round from scratch and returns its figures, each by what it
    is a figure of ("" for the only one); it raises DifferentWork when the work that it timed was not what
    was asked."""

    label: str
    measure: Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds."""

    median: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a benchmark found. `ratios`: the median of ours to each of theirs."""

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
                    "median": _rounded(side.median),
                    "min": _rounded(side.min),
                    "max": _rounded(side.max),
                }
                for label, side in self.sides.items()
            },
            "ratios": {label: round(ratio, 2) for label, ratio in self.ratios.items()},
            "verified": self.verified,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """What the caller wants. `quick`: a fraction of the work; `rounds`: so many, if given; `pgledger`: the
    folder that has pgledger's SQL, if there is one."""

    quick: bool = False
    rounds: int | None = None
    pgledger: Path | None = None


class Benchmark(Protocol):
    """One benchmark. It may find several things, each with a unit of its own. Raises DifferentWork."""

    def __call__(self, stage: Stage, choice: Choice) -> Iterator[Report]: ...


@dataclass(frozen=True, slots=True)
class Rounds:
    """What the sides measured: by side, and by what it is a figure of, one for each round. Ours is the first
    side."""

    count: int
    ours: str
    figures: dict[tuple[str, str], list[float]]

    def report(
        self, name: str, unit: str, about: str = "", beside: Mapping[str, str] | None = None
    ) -> Report:
        """The figures of what begins with `about`. Each of theirs is compared with ours of the same thing,
        else with the first; `beside` has other pairs of labels: a figure, and ours for it."""
        shown = {key: _label(key, about) for key in self.figures if key[1].startswith(about)}
        spreads = {label: _spread(self.figures[key]) for key, label in shown.items()}
        first = next(iter(shown.values()))
        pairs = {
            label: shown.get((self.ours, key[1]), first)
            for key, label in shown.items()
            if not self._is_ours(key)
        }
        pairs |= beside or {}
        ratios = {label: spreads[ours].median / spreads[label].median for label, ours in pairs.items()}
        return Report(name, unit, self.count, spreads, ratios)

    def _is_ours(self, key: tuple[str, str]) -> bool:
        return key[0] == self.ours or key[0].startswith(f"{self.ours}, ")


def compare(name: str, sides: Sequence[Side], rounds: int, tell: Callable[[str, int, int], None]) -> Rounds:
    """Measures each side once a round; ours is the first. `tell` hears what goes on: text, done, of all.
    Raises DifferentWork.

    Every other round goes backwards, so that neither side always has the other's remains before it.
    """
    figures: dict[tuple[str, str], list[float]] = {}
    done = 0
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            tell(f"{name}: round {number + 1}, {side.label}", done, rounds * len(sides))
            try:
                measured = side.measure()
            except DifferentWork as error:
                raise DifferentWork(f"round {number + 1}, {side.label}: {error}") from None
            for what, figure in measured.items():
                figures.setdefault((side.label, what), []).append(figure)
            done += 1
    return Rounds(rounds, sides[0].label, figures)


def _label(key: tuple[str, str], about: str) -> str:
    side, what = key
    rest = what.removeprefix(about).strip()
    return f"{side}, {rest}" if rest else side


def _spread(figures: list[float]) -> Spread:
    return Spread(median(figures), min(figures), max(figures))


def _rounded(figure: float) -> float:
    return round(figure, 2 if figure < _FINE_BELOW else 1)
