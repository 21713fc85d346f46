"""Measures the latency from enqueueing one command to its outcome, beside a Celery task that does nothing.

It uses several rates. Each side has one client process and two workers.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.bench import noop, workload
from tests.bench.environment import BenchmarkEnvironment
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, Side, compare
from tests.bench.ledger import apply_one, new_ledger, open_accounts, running_workers
from tests.bench.open_loop import OpenLoop, percentile
from tests.bench.plots import latency_curve

NAME = "latency"
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
_PLOTTED_RATE = 100


@dataclass(frozen=True, slots=True)
class LatencySize:
    """The size of the load: seconds for each rate per second."""

    rounds: int
    users: int
    seconds: dict[int, float]
    warm_up_seconds: float


# At 1/s the highest percentiles are only the slowest of thirty commands.
FULL = LatencySize(3, 100_000, {1: 30, 10: 30, 100: 20, 500: 20}, warm_up_seconds=3)
QUICK = LatencySize(1, 100, {1: 0.5, _PLOTTED_RATE: 0.5}, warm_up_seconds=0.2)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Measure both sides at each rate."""
    size = QUICK if options.quick else FULL
    sides = [
        Side("pointledger", partial(_measure_pointledger, environment, size)),
        Side("Celery no-op task", partial(_measure_noop_task, environment, size)),
    ]
    rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
    yield rounds.report(NAME, "milliseconds")


def _measure_pointledger(environment: BenchmarkEnvironment, size: LatencySize) -> dict[str, float]:
    user_ids = workload.users(size.users)
    with new_ledger(environment) as ledger:
        opening = open_accounts(ledger, size.users)
        most = 1000 + round(2 * sum(rate * seconds for rate, seconds in size.seconds.items()))
        events = workload.events("event", most, user_ids)
        with running_workers(environment, ledger) as (client, _):
            figures, done = _measure_rates(
                environment, "pointledger", size, lambda n: apply_one(client, events[n])
            )
        ledger.verify(lambda found: workload.verify(found, user_ids, events[:done], opening.per_user))
    return figures


def _measure_noop_task(environment: BenchmarkEnvironment, size: LatencySize) -> dict[str, float]:
    with noop.running_workers(environment) as (sender, _, _):
        figures, _ = _measure_rates(environment, "Celery no-op task", size, partial(noop.round_trip, sender))
    return figures


def _measure_rates(
    environment: BenchmarkEnvironment, label: str, size: LatencySize, round_trip: Callable[[int], bool]
) -> tuple[dict[str, float], int]:
    """Return the percentiles at each rate, in milliseconds, and the number of round trips."""
    figures: dict[str, float] = {}
    done = _run_loop(_PLOTTED_RATE, size.warm_up_seconds, round_trip, 0).begun
    for rate, seconds in size.seconds.items():
        loop = _run_loop(rate, seconds, round_trip, done)
        done += loop.begun
        took = [1000 * latency for latency in loop.latencies]
        for name, share in SHARES.items():
            figures[f"{rate}/s {name}"] = percentile(took, share)
        if rate == _PLOTTED_RATE:
            environment.keep_curve(latency_curve(f"Latency at {rate} per second", label, took))
    return figures, done


def _run_loop(rate: float, seconds: float, round_trip: Callable[[int], bool], first: int) -> OpenLoop:
    with OpenLoop(rate, lambda number: round_trip(first + number)) as loop:
        time.sleep(seconds)
    loop.verify()
    return loop
