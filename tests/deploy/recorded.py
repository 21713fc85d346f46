"""Plays the metrics that a run recorded to promtool, and finds in them what must fire."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tests.deploy.promtool import Situation

Scrape = dict[str, float]

_STEP = "30s"  # a scrape of every half second counts as one of every half minute
_LOOKBACK = 10  # scrapes, five minutes
_HEALTHY_SCRAPES = 20  # before the run: ten minutes, the longest window of an alert on faults


def situation_of(scrapes: Path) -> Situation:
    """Return the run, sixty times slower, with a healthy time before it, and a moment for each scrape.

    Faults last for seconds there and for minutes in life. A figure that is an age, like a lane's lag, stays
    as it was.
    """
    lines = [json.loads(line) for line in scrapes.read_text().splitlines()]
    first = next(line for line in lines if line)
    played = [first] * _HEALTHY_SCRAPES + lines
    names = sorted({name for line in lines for name in line})
    series = {name: " ".join(_value(line.get(name)) for line in played) for name in names}
    moments = tuple(f"{place * 30}s" for place in range(_HEALTHY_SCRAPES, len(played)))
    return Situation(series, _STEP, moments)


def _value(value: float | None) -> str:
    return "_" if value is None else repr(float(value))


_GROWS = {
    "PointledgerDoorbellsLost": "pointledger_lost_doorbells_total",
    "PointledgerCommandsFail": "pointledger_failed_attempts_total",
    "PointledgerCommandsTimeOut": "pointledger_timed_out_alone_total",
    "PointledgerRowsLocked": "pointledger_locked_users_total",
}
_IS_ABOVE = {
    "PointledgerCommandDead": ("pointledger_commands_dead", 0, 1),
    "PointledgerDeadLetters": ('pointledger_dead_letters{state="dead"}', 0, 1),
    "PointledgerCommandsLate": ("pointledger_lane_lag_seconds", 10, 3),
}
"""The series, or a part of its name, the limit, and how many scrapes in a row are a minute or a moment."""

CHECKED = {*_GROWS, *_IS_ABOVE, "PointledgerServerDown"}
"""The alerts that `shown` knows."""


def shown(scrapes: Path) -> set[str]:
    """Return the alerts whose fault the scrapes show. It reads the figures without any PromQL."""
    lines = list(_seen([json.loads(line) for line in scrapes.read_text().splitlines()]))
    found = {alert for alert, name in _GROWS.items() if _grows(name, lines)}
    for alert, (name, limit, scrapes_in_a_row) in _IS_ABOVE.items():
        if _longest(_highest(line, name) > limit for line in lines) >= scrapes_in_a_row:
            found.add(alert)
    for server in ("postgres", "redis"):
        up = f'pointledger_up{{server="{server}"}}'
        if _longest(not line.get(up, 1) for line in lines) >= 3:  # a minute
            found.add("PointledgerServerDown")
    return found


def _seen(lines: list[Scrape]) -> Iterator[Scrape]:
    """Yield what Prometheus sees at each scrape: of a series without a value, the last of five minutes."""
    scraped_at: dict[str, int] = {}
    values: Scrape = {}
    for place, line in enumerate(lines):
        values |= line
        scraped_at |= dict.fromkeys(line, place)
        yield {name: value for name, value in values.items() if place - scraped_at[name] < _LOOKBACK}


def _grows(name: str, lines: list[Scrape]) -> bool:
    """Whether a counter has grown between two scrapes, also after a loss of Redis had set it to 0."""
    values = [line[name] for line in lines if name in line]
    return any(later and later != earlier for earlier, later in pairwise(values))


def _highest(line: Scrape, name: str) -> float:
    return max((value for series, value in line.items() if series.startswith(name)), default=0)


def _longest(states: Iterator[bool]) -> int:
    """Return how many states in a row are true, at most."""
    longest = count = 0
    for state in states:
        count = count + 1 if state else 0
        longest = max(longest, count)
    return longest
