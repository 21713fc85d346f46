"""Compares sides: they take turns in one run, round after round, and only verified work counts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from tests.bench.environment import BenchmarkEnvironment

_TWO_DECIMALS_BELOW = 100  # larger figures get one decimal, because no measurement is more precise


class DifferentWork(Exception):
    """A side did not do the requested work, so its time means nothing."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the compared designs.

    `measure` does one round from scratch and returns its figures by name, "" if there is only one. It raises
    DifferentWork if the timed work was not the requested work.
    """

    label: str
    measure: Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class FigureSpread:
    """The median, minimum and maximum of a figure over the rounds."""

    median: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """The result of a benchmark. `ratios` has our median divided by each other side's."""

    name: str
    unit: str
    rounds: int
    sides: dict[str, FigureSpread]
    ratios: dict[str, float]
    failure: str | None = None  # why there is no result

    @property
    def verified(self) -> bool:
        """Return whether every side did the same work in every round."""
        return self.failure is None

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values, rounded to a plausible precision."""
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
class BenchmarkOptions:
    """The options of a run.

    `quick` does a fraction of the work, `rounds` replaces each benchmark's own number, and `pgledger` is a
    checkout of pgledger.
    """

    quick: bool = False
    rounds: int | None = None
    pgledger: Path | None = None


class Benchmark(Protocol):
    """A benchmark. It yields a report for each unit that it measures. Raises DifferentWork."""

    def __call__(
        self, environment: BenchmarkEnvironment, options: BenchmarkOptions
    ) -> Iterator[BenchmarkReport]: ...


@dataclass(frozen=True, slots=True)
class MeasuredRounds:
    """The measured figures by side and name, one for each round. The first side is ours."""

    count: int
    ours: str
    figures: dict[tuple[str, str], list[float]]

    def report(
        self, name: str, unit: str, about: str = "", beside: Mapping[str, str] | None = None
    ) -> BenchmarkReport:
        """Report the figures whose name begins with `about`.

        Each figure of another side is compared with our figure of the same name, else with the first figure.
        `beside` maps further labels to the labels they are compared with. A figure of 0 has no ratio.
        """
        shown = {key: _label(key, about) for key in self.figures if key[1].startswith(about)}
        spreads = {label: _spread(self.figures[key]) for key, label in shown.items()}
        first = next(iter(shown.values()))
        pairs = {
            label: shown.get((self.ours, key[1]), first)
            for key, label in shown.items()
            if not self._is_ours(key)
        }
        pairs |= beside or {}
        ratios = {
            label: spreads[ours].median / spreads[label].median
            for label, ours in pairs.items()
            if spreads[label].median
        }
        return BenchmarkReport(name, unit, self.count, spreads, ratios)

    def _is_ours(self, key: tuple[str, str]) -> bool:
        return key[0] == self.ours or key[0].startswith(f"{self.ours}, ")


def compare(
    name: str, sides: Sequence[Side], rounds: int, on_progress: Callable[[str, int, int], None]
) -> MeasuredRounds:
    """Measure each side once per round. The first side is ours. Raises DifferentWork.

    Every second round runs in reverse order, so no side always runs after the same other side.
    """
    figures: dict[tuple[str, str], list[float]] = {}
    done = 0
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            on_progress(f"{name}: round {number + 1}, {side.label}", done, rounds * len(sides))
            try:
                measured = side.measure()
            except DifferentWork as error:
                raise DifferentWork(f"round {number + 1}, {side.label}: {error}") from None
            for what, figure in measured.items():
                figures.setdefault((side.label, what), []).append(figure)
            done += 1
    return MeasuredRounds(rounds, sides[0].label, figures)


def _label(key: tuple[str, str], about: str) -> str:
    side, what = key
    rest = what.removeprefix(about).strip()
    return f"{side}, {rest}" if rest else side


def _spread(figures: list[float]) -> FigureSpread:
    return FigureSpread(median(figures), min(figures), max(figures))


def _rounded(figure: float) -> float:
    return round(figure, 2 if figure < _TWO_DECIMALS_BELOW else 1)
