"""Measures the latency of commands while all workers are replaced, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from tests.bench import workload
from tests.bench.environment import BenchmarkEnvironment
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, Side, compare
from tests.bench.latency import SHARES
from tests.bench.ledger import apply_one, new_ledger, open_accounts, running_workers
from tests.bench.open_loop import percentile, quiet_and_busy
from tests.bench.plots import latency_curve

NAME = "restart"
_RATE = 100  # live commands per second
_MOST_SECONDS = 200.0  # of restarts, for which the benchmark has events
_SHARES = {**SHARES, "longest": 1.0}


@dataclass(frozen=True, slots=True)
class RestartSize:
    """The size of the load: seconds of commands before, and how often all workers are replaced."""

    rounds: int
    users: int
    quiet_seconds: float
    times: int


FULL = RestartSize(rounds=3, users=10_000, quiet_seconds=15, times=3)
QUICK = RestartSize(rounds=1, users=100, quiet_seconds=0.5, times=1)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Measure latencies before and during the restarts."""
    size = QUICK if options.quick else FULL
    sides = [Side("pointledger", partial(_measure, environment, size))]
    rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
    yield rounds.report(NAME, "milliseconds")


def _measure(environment: BenchmarkEnvironment, size: RestartSize) -> dict[str, float]:
    user_ids = workload.users(size.users)
    events = workload.events("live", round(_RATE * (2 * size.quiet_seconds + _MOST_SECONDS)), user_ids)
    figures: dict[str, float] = {}
    with new_ledger(environment) as ledger:
        opening = open_accounts(ledger, size.users)
        with running_workers(environment, ledger) as (client, workers):

            def replace_all() -> None:
                for _ in range(size.times * environment.workers_per_side):
                    environment.replace_oldest(workers, "workers", ledger.settings.redis, ledger.env)

            quiet, busy, done = quiet_and_busy(
                _RATE, size.quiet_seconds, lambda number: apply_one(client, events[number]), replace_all
            )
        ledger.verify(lambda found: workload.verify(found, user_ids, events[:done], opening.per_user))
    for name, loop in (("before", quiet), ("while workers are replaced", busy)):
        took = [1000 * latency for latency in loop.latencies]
        figures |= {f"{name} {share}": percentile(took, part) for share, part in _SHARES.items()}
        environment.keep_curve(
            latency_curve(f"Commands at {_RATE} per second, and a rolling restart", name, took)
        )
    return figures
