"""Measures how fast one, two and four workers apply commands that were accepted while no worker ran."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from pointledger import PointsClient
from pointledger.messaging import celery_app, contract
from tests.bench import workload
from tests.bench.environment import BenchmarkEnvironment
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, Side, compare
from tests.bench.ledger import (
    MINIMUM_RATE,
    enqueue,
    keep_outcome_curve,
    new_ledger,
    open_accounts,
    produce_in_chunks,
)

NAME = "backlog"
_TITLE = "A backlog is applied"


@dataclass(frozen=True, slots=True)
class BacklogSize:
    """The size of the load."""

    rounds: int
    users: int
    commands: int
    workers: tuple[int, ...]


FULL = BacklogSize(rounds=3, users=100_000, commands=500_000, workers=(1, 2, 4))
QUICK = BacklogSize(rounds=1, users=200, commands=1_000, workers=(2,))


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Accept all commands first, then start the workers."""
    size = QUICK if options.quick else FULL
    sides = [Side(_label(count), partial(_measure, environment, size, count)) for count in size.workers]
    rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
    for figure in ("accepting", "applying"):
        yield rounds.report(f"{NAME}: {figure}", "commands per second", figure)


def _label(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _measure(environment: BenchmarkEnvironment, size: BacklogSize, count: int) -> dict[str, float]:
    user_ids = workload.users(size.users)
    events = workload.events("event", size.commands, user_ids)
    with new_ledger(environment) as ledger:
        opening = open_accounts(ledger, size.users)
        with PointsClient.connect(ledger.settings) as client:
            began = time.perf_counter()
            produce_in_chunks(partial(enqueue, client), events)
            accepted = len(events) / (time.perf_counter() - began)
        environment.valkey(0)  # as after a long outage: the doorbells have expired, and beat rings again
        with environment.workers("workers", count, ledger.settings.redis, ledger.env) as workers:
            app = celery_app.producer_app(ledger.settings)
            started, began = datetime.now(UTC), time.perf_counter()
            app.send_task(contract.RING_TASK)  # as beat does every two seconds
            with environment.beat(ledger.env):
                seconds = 10 + len(events) / MINIMUM_RATE
                workers.wait_until(ledger.is_drained, seconds, f"{len(events)} commands")
            applied = len(events) / (time.perf_counter() - began)
            app.close()
        keep_outcome_curve(environment, ledger.database, started, _TITLE, _label(count))
        ledger.verify(lambda connection: workload.verify(connection, user_ids, events, opening.per_user))
    return {"accepting": accepted, "applying": applied}
