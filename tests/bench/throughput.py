"""throughput: apply-rule commands per second, from the first one's acceptance to the last one's outcome. One
producer process and two workers on either side."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from tests.bench import ceiling, mixed, noop, theirs, workload
from tests.bench.harness import Choice, Report, Side, compare
from tests.bench.ledger import at_work, enqueue, new_ledger, open_accounts, timed, trace_outcomes
from tests.bench.stage import Stage
from tests.bench.workload import DRAWS, OPENING_POINTS

NAME = "throughput"
_UNIT = "commands per second"
_TITLE = "Throughput: uniform users"


@dataclass(frozen=True, slots=True)
class Size:
    """How much. The slower sides get fewer commands, or a round would take minutes."""

    rounds: int
    users: int
    ours: int
    theirs: int
    tasks: int
    warm_up: int


FULL = Size(rounds=3, users=100_000, ours=100_000, theirs=4_000, tasks=10_000, warm_up=2_000)
QUICK = Size(rounds=1, users=500, ours=600, theirs=100, tasks=100, warm_up=20)


def run(stage: Stage, choice: Choice) -> Iterator[Report]:
    """Ours and the conventional design, each with three sorts of users; ours under a mixed load; a Celery
    task that does nothing; and the ceiling."""
    size = QUICK if choice.quick else FULL
    sides = [
        Side("pointledger", partial(_ours, stage, size)),
        Side("pointledger, mixed load", partial(_mixed, stage, size)),
        Side("conventional", partial(_theirs, stage, size)),
        Side("Celery no-op task", lambda: {"": noop.tasks_per_second(stage, size.tasks)}),
        Side("COPY ceiling", lambda: {"": ceiling.commands_per_second(stage, size.users, size.ours)}),
    ]
    rounds = compare(NAME, sides, choice.rounds or size.rounds, stage.tell)
    uniform = "pointledger, uniform"
    others = {f"pointledger, {what}": uniform for what in ("Zipf 1.0", "one user", "mixed load")}
    yield rounds.report(NAME, _UNIT, beside=others)


def _ours(stage: Stage, size: Size) -> dict[str, float]:
    user_ids, rates = workload.users(size.users), {}
    with new_ledger(stage) as ledger:
        opening = open_accounts(ledger, size.users)
        warm_up = workload.events("warm-up", size.warm_up, user_ids)
        applied = [*warm_up]
        with at_work(stage, ledger, warm_up=warm_up) as (client, workers):
            for drawn in DRAWS:
                events = workload.events(drawn, size.ours, user_ids, drawn)
                began = datetime.now(UTC)
                rates[drawn] = timed(workers, partial(enqueue, client), ledger.nothing_waits, events)
                applied += events
                if drawn == "uniform":
                    trace_outcomes(stage, ledger.database, began, _TITLE, "pointledger")
        ledger.verify(lambda connection: workload.verify(connection, user_ids, applied, opening.of_each))
    return rates


def _mixed(stage: Stage, size: Size) -> dict[str, float]:
    with new_ledger(stage, rules=mixed.RULES) as ledger:
        open_accounts(ledger, size.users)
        load, undone = mixed.Load(workload.users(size.users), size.ours), list[str]()
        with at_work(stage, ledger) as (client, workers):
            timed(
                workers,
                lambda orders: undone.extend(client.enqueue_many([order.made() for order in orders])),
                ledger.nothing_waits,
                load.to_undo(),
            )
            rate = timed(
                workers,
                lambda orders: client.enqueue_many([order.made() for order in orders]),
                ledger.nothing_waits,
                load.orders(client.outcomes(undone)),
            )
        ledger.verify(lambda connection: mixed.verify(connection, load))
    return {"": rate}


def _theirs(stage: Stage, size: Size) -> dict[str, float]:
    user_ids, rates = workload.users(size.users), {}
    with theirs.at_work(stage, size.users) as system:
        applied = list[workload.Event]()
        for name in ("warm-up", *DRAWS):
            drawn, count = ("uniform", size.warm_up) if name == "warm-up" else (name, size.theirs)
            events = workload.events(name, min(count, size.theirs), user_ids, drawn)
            applied += events
            is_done = partial(system.has_outcomes, size.users + len(applied))
            began = datetime.now(UTC)
            rates[name] = timed(system.workers, system.send, is_done, events)
            if name == "uniform":
                trace_outcomes(stage, system.database, began, _TITLE, "conventional")
        with system.database.connect() as connection:
            workload.verify(connection, user_ids, applied, (1, OPENING_POINTS))
    del rates["warm-up"]
    return rates
