"""latency: from handing over one command to its outcome, at several rates; beside the round trip of a Celery
task that does nothing. One client process and two workers on either side."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.bench import noop, workload
from tests.bench.harness import Choice, Report, Side, compare
from tests.bench.ledger import apply_one, at_work, new_ledger, open_accounts
from tests.bench.open_loop import OpenLoop, percentile
from tests.bench.plots import distribution
from tests.bench.stage import Stage

NAME = "latency"
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
_PLOTTED_RATE = 100


@dataclass(frozen=True, slots=True)
class Size:
    """How much: at each rate per second, for so many seconds."""

    rounds: int
    users: int
    seconds: dict[int, float]
    warm_up_seconds: float


# At one a second the highest percentiles are but the slowest of thirty.
FULL = Size(3, 100_000, {1: 30, 10: 30, 100: 20, 500: 20}, warm_up_seconds=3)
QUICK = Size(1, 100, {1: 1, 10: 1, 100: 1, 500: 1}, warm_up_seconds=0.2)


def run(stage: Stage, choice: Choice) -> Iterator[Report]:
    """Ours and Celery's, at each rate."""
    size = QUICK if choice.quick else FULL
    sides = [
        Side("pointledger", partial(_ours, stage, size)),
        Side("Celery no-op task", partial(_theirs, stage, size)),
    ]
    rounds = compare(NAME, sides, choice.rounds or size.rounds, stage.tell)
    yield rounds.report(NAME, "milliseconds")


def _ours(stage: Stage, size: Size) -> dict[str, float]:
    user_ids = workload.users(size.users)
    with new_ledger(stage) as ledger:
        opening = open_accounts(ledger, size.users)
        most = 1000 + round(2 * sum(rate * seconds for rate, seconds in size.seconds.items()))
        events = workload.events("event", most, user_ids)
        with at_work(stage, ledger) as (client, _):
            figures, done = _measured(stage, "pointledger", size, lambda n: apply_one(client, events[n]))
        ledger.verify(lambda found: workload.verify(found, user_ids, events[:done], opening.of_each))
    return figures


def _theirs(stage: Stage, size: Size) -> dict[str, float]:
    with noop.at_work(stage) as (sender, _, _):
        figures, _ = _measured(stage, "Celery no-op task", size, partial(noop.round_trip, sender))
    return figures


def _measured(
    stage: Stage, label: str, size: Size, trip: Callable[[int], bool]
) -> tuple[dict[str, float], int]:
    """The percentiles at each rate, in milliseconds; and how many round trips there were, numbered from 0."""
    figures: dict[str, float] = {}
    done = _looped(_PLOTTED_RATE, size.warm_up_seconds, trip, 0).begun
    for rate, seconds in size.seconds.items():
        loop = _looped(rate, seconds, trip, done)
        done += loop.begun
        took = [1000 * latency for latency in loop.latencies]
        for name, share in SHARES.items():
            figures[f"{rate}/s {name}"] = percentile(took, share)
        if rate == _PLOTTED_RATE:
            stage.keep(distribution(f"Latency at {rate} per second", label, took))
    return figures, done


def _looped(rate: float, seconds: float, trip: Callable[[int], bool], first: int) -> OpenLoop:
    with OpenLoop(rate, lambda number: trip(first + number)) as loop:
        time.sleep(seconds)
    loop.verify()
    return loop
