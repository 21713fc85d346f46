"""Compares a run with the goals for single commands, and for a tenant beside another: the tables of
`docs/explanation/benchmarks.md`.

./dev bench singles throughput latency http neighbours --json >RUN.jsonl
./dev run --fresh --exit --json >DEMO.json
./dev bench --table RUN.jsonl DEMO.json
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import http, neighbours, singles, throughput
from tests.bench.singles import ACHIEVED, CLOSED, CLOSED_LATENCY, CONVENTIONAL, CPU, NOOP, OPEN_LATENCY, OURS

_KEEPS_UP = 0.97  # of a rate; the commands in flight at the end are the rest
_TENTHS_BELOW = 100  # milliseconds; more digits than a measurement repeats say nothing
_NOT_MEASURED = "not in this run"
_WHAT_TO_GIVE = "give the output of ./dev bench --json, or of ./dev run --json"
_LONE = f"{OURS}, 1 thread, enqueue and wait"
_MANY = f"{OURS}, 32 threads, enqueue"


class RunInvalid(Exception):
    """A file is not the output of a run. The message names the file and says what to do."""


class _NotMeasured(Exception):
    """The run has no such figure."""


@dataclass(frozen=True, slots=True)
class RunFigures:
    """The medians of a run by report and side, and the rate that `./dev run` printed."""

    reports: dict[str, dict[str, float]]
    baskets_per_second: float | None

    def figure(self, report: str, side: str) -> float:
        """Return the median of a side. Raises _NotMeasured."""
        try:
            return self.reports[report][side]
        except KeyError:
            raise _NotMeasured from None


@dataclass(frozen=True, slots=True)
class Goal:
    """A line of the table. `measured` describes what a run has reached, or raises _NotMeasured."""

    what: str
    goal: str
    measured: Callable[[RunFigures], str]


def table(files: Sequence[Path]) -> str:
    """Return the tables as Markdown, from the files with the output of runs. Raises RunInvalid.

    The goals for a tenant beside another follow if the run has measured them.
    """
    figures = _figures(files)
    tables = [GOALS, *([BESIDE_GOALS] if neighbours.NAME in figures.reports else [])]
    return "\n\n".join(_table(goals, figures) for goals in tables)


def _table(goals: Sequence[Goal], figures: RunFigures) -> str:
    lines = ["| what | goal | reached |", "| --- | --- | --- |"]
    lines += [f"| {goal.what} | {goal.goal} | {_reached(goal, figures)} |" for goal in goals]
    return "\n".join(lines)


def _reached(goal: Goal, figures: RunFigures) -> str:
    try:
        return goal.measured(figures)
    except _NotMeasured:
        return _NOT_MEASURED


# ------------------------------------------------------------------------------------------- the goals


def _enqueue_and_wait(figures: RunFigures) -> str:
    ours = figures.figure(singles.report_name(CLOSED), f"{_MANY} and wait")
    theirs = figures.figure(singles.report_name(CLOSED), f"{CONVENTIONAL}, 32 in flight")
    return f"{_rate(ours)}; {ours / theirs:.1f} times"


def _enqueue_only(figures: RunFigures) -> str:
    return _rate(figures.figure(singles.report_name(CLOSED), f"{_MANY} only"))


def _one_thread(figures: RunFigures) -> str:
    return _milliseconds(figures.figure(singles.report_name(CLOSED_LATENCY), f"{_LONE} p50"))


def _high_rates(figures: RunFigures) -> str:
    reached = []
    for rate in (500, 1_000):
        p50, p99 = (
            _milliseconds(figures.figure(singles.report_name(OPEN_LATENCY), f"{OURS}, {rate}/s {share}"))
            for share in ("p50", "p99")
        )
        achieved = figures.figure(singles.report_name(ACHIEVED), f"{OURS}, {rate}/s")
        behind = "" if achieved >= _KEEPS_UP * rate else f" (only {achieved:,.0f} of {rate:,} per second)"
        reached.append(f"p50 {p50}, p99 {p99}{behind}")
    return "; ".join(reached)


def _low_rates(figures: RunFigures) -> str:
    ours, noop = (
        [figures.figure(singles.report_name(OPEN_LATENCY), f"{side}, {rate}/s p50") for rate in (1, 10, 100)]
        for side in (OURS, NOOP)
    )
    times = [f"{one / other:.1f}" for one, other in zip(ours, noop, strict=True)]
    return f"{', '.join(map(_milliseconds, ours))}; {', '.join(times)} times"


def _over_http(figures: RunFigures) -> str:
    side = f"{http.TWO_APIS}, 64 connections"
    p99 = _milliseconds(figures.figure(http.NAME, f"{side} p99, ms"))
    return f"{_rate(figures.figure(http.NAME, f'{side}, requests per second'))}, p99 {p99}"


def _cpu(figures: RunFigures) -> str:
    return _milliseconds(figures.figure(singles.report_name(CPU), f"{OURS}, all processes"))


def _demonstration(figures: RunFigures) -> str:
    if figures.baskets_per_second is None:
        raise _NotMeasured
    return _rate(figures.baskets_per_second)


def _batches(figures: RunFigures) -> str:
    ours = figures.figure(throughput.NAME, f"{OURS}, uniform")
    return f"{_rate(ours)}; {ours / figures.figure(throughput.NAME, 'COPY ceiling'):.0%}"


def _alone(label: str, figures: RunFigures) -> str:
    return _milliseconds(figures.figure(neighbours.NAME, f"{label}, p99"))


def _beside(label: str, alone: str, figures: RunFigures) -> str:
    beside, own = (figures.figure(neighbours.NAME, f"{each}, p99") for each in (label, alone))
    return f"{_milliseconds(beside)}; {beside / own:.1f} times"


def _rate(figure: float) -> str:
    return f"{figure:,.0f} per second"


def _milliseconds(figure: float) -> str:
    return f"{figure:,.1f} ms" if figure < _TENTHS_BELOW else f"{figure:,.0f} ms"


GOALS = (
    Goal(
        "32 threads, `enqueue` and `wait`",
        "2,000 per second; 4 times the conventional design with 32 in flight",
        _enqueue_and_wait,
    ),
    Goal("32 threads, `enqueue` only", "5,000 per second", _enqueue_only),
    Goal("1 thread, `enqueue` and `wait`, p50", "at most 5 ms", _one_thread),
    Goal(
        "500 and 1,000 commands a second",
        "p50 at most 15 and 25 ms, p99 at most 60 and 120 ms",
        _high_rates,
    ),
    Goal(
        "1, 10 and 100 commands a second, p50",
        "at most 8 ms each; at most twice the Celery no-op's",
        _low_rates,
    ),
    Goal("HTTP, 64 connections, two API processes", "3,000 per second, p99 at most 100 ms", _over_http),
    Goal("a lone command, CPU of all processes", "at most 3 ms", _cpu),
    Goal("`./dev run`, baskets applied", "7,000 per second", _demonstration),
    Goal("batches, uniform users", "15,000 per second, or 65% of the `COPY` ceiling", _batches),
)

_AS_ALONE = "at most 3 times its own alone, and at most 250 ms"


def _goals_beside(alone: str, *labels: str) -> Iterator[Goal]:
    yield Goal(f"{alone}, p99", "", partial(_alone, alone))
    for label in labels:
        yield Goal(f"{label}, p99", _AS_ALONE, partial(_beside, label, alone))


BESIDE_GOALS = (
    *_goals_beside(neighbours.ALONE, neighbours.BACKLOG, neighbours.PAUSED, neighbours.EXPENSIVE_RULES),
    *_goals_beside(neighbours.HTTP_ALONE, neighbours.BATCHES, neighbours.CONNECTIONS),
)


# -------------------------------------------------------------------------------------------- the files


def _figures(files: Sequence[Path]) -> RunFigures:
    reports: dict[str, dict[str, float]] = {}
    baskets_per_second = None
    for file in files:
        for found in _objects(file):
            if isinstance(rate := found.get("commands_per_second"), int | float):
                baskets_per_second = rate
            else:
                reports[found.get("name", "")] = _medians(file, found)
    return RunFigures(reports, baskets_per_second)


def _medians(file: Path, report: dict[str, Any]) -> dict[str, float]:
    name = report.get("name", "an object without a name")
    if not report.get("verified"):
        raise RunInvalid(f"{file}: {name} is not verified; run the benchmark again")
    try:
        return {label: float(side["median"]) for label, side in report["sides"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise RunInvalid(f"{file}: {name} has no figures; {_WHAT_TO_GIVE}") from None


def _objects(file: Path) -> list[dict[str, Any]]:
    """Read the reports of `./dev bench --json`, one per line, or the summary of `./dev run --json`."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RunInvalid(f"{file}: {error}; {_WHAT_TO_GIVE}") from None
    try:
        found = [json.loads(text)] if text.startswith("{\n") else [*map(json.loads, text.splitlines())]
    except ValueError:
        raise RunInvalid(f"{file}: not JSON; {_WHAT_TO_GIVE}") from None
    if not found or not all(isinstance(each, dict) for each in found):
        raise RunInvalid(f"{file}: no reports; {_WHAT_TO_GIVE}")
    return found
