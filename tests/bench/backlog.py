"""backlog: commands that were accepted while no worker ran, and how fast one, two and four workers apply
them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from pointledger import PointsClient
from pointledger.messaging import celery_app, contract
from tests.bench import workload
from tests.bench.harness import Choice, Report, Side, compare
from tests.bench.ledger import LEAST_RATE, enqueue, hand_over, new_ledger, open_accounts, trace_outcomes
from tests.bench.stage import Stage

NAME = "backlog"
_TITLE = "A backlog is applied"


@dataclass(frozen=True, slots=True)
class Size:
    """How much."""

    rounds: int
    users: int
    commands: int
    workers: tuple[int, ...]


FULL = Size(rounds=3, users=100_000, commands=500_000, workers=(1, 2, 4))
QUICK = Size(rounds=1, users=200, commands=1_000, workers=(1, 2))


def run(stage: Stage, choice: Choice) -> Iterator[Report]:
    """Accepting alone, then draining alone."""
    size = QUICK if choice.quick else FULL
    sides = [Side(_label(count), partial(_drained, stage, size, count)) for count in size.workers]
    rounds = compare(NAME, sides, choice.rounds or size.rounds, stage.tell)
    for what in ("accepting", "applying"):
        yield rounds.report(f"{NAME}: {what}", "commands per second", what)


def _label(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _drained(stage: Stage, size: Size, count: int) -> dict[str, float]:
    user_ids = workload.users(size.users)
    events = workload.events("event", size.commands, user_ids)
    with new_ledger(stage) as ledger:
        opening = open_accounts(ledger, size.users)
        with PointsClient.connect(ledger.settings) as client:
            began = time.perf_counter()
            hand_over(partial(enqueue, client), events)
            accepted = len(events) / (time.perf_counter() - began)
        stage.valkey(0)  # the doorbells of back then have expired, or are lost: the beat rings again
        with stage.workers("workers", count, ledger.settings.redis, ledger.environment) as workers:
            app = celery_app.producer_app(ledger.settings)
            started, began = datetime.now(UTC), time.perf_counter()
            app.send_task(contract.RING_TASK)  # as the beat does every two seconds
            with stage.beat(ledger.environment):
                seconds = 10 + len(events) / LEAST_RATE
                workers.wait_until(ledger.nothing_waits, seconds, f"{len(events)} commands")
            applied = len(events) / (time.perf_counter() - began)
            app.close()
        trace_outcomes(stage, ledger.database, started, _TITLE, _label(count))
        ledger.verify(lambda connection: workload.verify(connection, user_ids, events, opening.of_each))
    return {"accepting": accepted, "applying": applied}
