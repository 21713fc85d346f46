"""Measures apply-rule commands per second, from the first acceptance to the last outcome.

Each side has one producer process and two workers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from tests.bench import ceiling, conventional_side, mixed, noop, workload
from tests.bench.environment import BenchmarkEnvironment
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, Side, compare
from tests.bench.ledger import enqueue, keep_outcome_curve, new_ledger, open_accounts, running_workers, timed
from tests.bench.workload import OPENING_POINTS, USER_DISTRIBUTIONS

NAME = "throughput"
_UNIT = "commands per second"
_TITLE = "Throughput: uniform users"


@dataclass(frozen=True, slots=True)
class ThroughputSize:
    """The size of the load. Slower sides get fewer commands, so a round does not take minutes."""

    rounds: int
    users: int
    pointledger: int
    conventional: int
    tasks: int
    warm_up: int


FULL = ThroughputSize(
    rounds=3, users=100_000, pointledger=100_000, conventional=4_000, tasks=10_000, warm_up=2_000
)
QUICK = ThroughputSize(rounds=1, users=500, pointledger=600, conventional=100, tasks=100, warm_up=20)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Measure every side; pointledger and the conventional design with three distributions of users."""
    size = QUICK if options.quick else FULL
    sides = [
        Side("pointledger", partial(_measure_pointledger, environment, size)),
        Side("pointledger, mixed load", partial(_measure_mixed_load, environment, size)),
        Side("conventional", partial(_measure_conventional, environment, size)),
        Side("Celery no-op task", lambda: {"": noop.tasks_per_second(environment, size.tasks)}),
        Side(
            "COPY ceiling",
            lambda: {"": ceiling.commands_per_second(environment, size.users, size.pointledger)},
        ),
    ]
    rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
    uniform = "pointledger, uniform"
    others = {f"pointledger, {load}": uniform for load in ("Zipf 1.0", "one user", "mixed load")}
    yield rounds.report(NAME, _UNIT, beside=others)


def _measure_pointledger(environment: BenchmarkEnvironment, size: ThroughputSize) -> dict[str, float]:
    user_ids, rates = workload.users(size.users), {}
    with new_ledger(environment) as ledger:
        opening = open_accounts(ledger, size.users)
        warm_up = workload.events("warm-up", size.warm_up, user_ids)
        applied = [*warm_up]
        with running_workers(environment, ledger, warm_up=warm_up) as (client, workers):
            for distribution in USER_DISTRIBUTIONS:
                events = workload.events(distribution, size.pointledger, user_ids, distribution)
                began = datetime.now(UTC)
                rates[distribution] = timed(workers, partial(enqueue, client), ledger.is_drained, events)
                applied += events
                if distribution == "uniform":
                    keep_outcome_curve(environment, ledger.database, began, _TITLE, "pointledger")
        ledger.verify(lambda connection: workload.verify(connection, user_ids, applied, opening.per_user))
    return rates


def _measure_mixed_load(environment: BenchmarkEnvironment, size: ThroughputSize) -> dict[str, float]:
    with new_ledger(environment, rules=mixed.RULES) as ledger:
        open_accounts(ledger, size.users)
        load, reversible = mixed.MixedLoad(workload.users(size.users), size.pointledger), list[str]()
        with running_workers(environment, ledger) as (client, workers):
            timed(
                workers,
                lambda some: reversible.extend(client.enqueue_many([each.build() for each in some])),
                ledger.is_drained,
                load.to_reverse(),
            )
            rate = timed(
                workers,
                lambda some: client.enqueue_many([each.build() for each in some]),
                ledger.is_drained,
                load.commands_after(client.outcomes(reversible)),
            )
        ledger.verify(lambda connection: mixed.verify(connection, load))
    return {"": rate}


def _measure_conventional(environment: BenchmarkEnvironment, size: ThroughputSize) -> dict[str, float]:
    user_ids, rates = workload.users(size.users), {}
    with conventional_side.running_system(environment, size.users) as system:
        applied = list[workload.BasketEvent]()
        for name in ("warm-up", *USER_DISTRIBUTIONS):
            distribution, count = (
                ("uniform", size.warm_up) if name == "warm-up" else (name, size.conventional)
            )
            events = workload.events(name, min(count, size.conventional), user_ids, distribution)
            applied += events
            is_done = partial(system.has_outcomes, size.users + len(applied))
            began = datetime.now(UTC)
            rates[name] = timed(system.workers, system.send, is_done, events)
            if name == "uniform":
                keep_outcome_curve(environment, system.database, began, _TITLE, "conventional")
        with system.database.connect() as connection:
            workload.verify(connection, user_ids, applied, (1, OPENING_POINTS))
    del rates["warm-up"]
    return rates
