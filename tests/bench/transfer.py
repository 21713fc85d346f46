"""transfer: points from one user to another, lots and all, between random users and into a single one; beside
the conventional design and, where its SQL is given, pgledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pointledger import Transfer
from tests.bench import moves, pgledger, theirs, workload
from tests.bench.harness import Choice, Report, Side, compare
from tests.bench.ledger import LEAST_RATE, at_work, new_ledger, open_accounts, timed, trace_outcomes
from tests.bench.moves import DRAWS, Move
from tests.bench.stage import Stage
from tests.bench.workload import TENANT

NAME = "transfer"
_AT_ONCE = 100  # of pgledger's, where it makes several: more takes longer for each, with locks held
_TITLE = "Transfers between random users"


@dataclass(frozen=True, slots=True)
class Size:
    """How much. The slower sides get fewer transfers, or a round would take minutes."""

    rounds: int
    users: int
    ours: int
    theirs: int
    pgledger: int
    warm_up: int


FULL = Size(rounds=3, users=10_000, ours=50_000, theirs=3_000, pgledger=20_000, warm_up=2_000)
QUICK = Size(rounds=1, users=200, ours=400, theirs=60, pgledger=200, warm_up=20)


def run(stage: Stage, choice: Choice) -> Iterator[Report]:
    """Each side, between random users and into one."""
    size = QUICK if choice.quick else FULL
    sides = [Side("pointledger", partial(_ours, stage, size))]
    if choice.pgledger:
        for label, at_once in (("pgledger", 1), (f"pgledger {_AT_ONCE} at once", _AT_ONCE)):
            sides.append(Side(label, partial(_pgledger, stage, size, choice.pgledger, at_once)))
    sides.append(Side("conventional", partial(_theirs, stage, size)))
    rounds = compare(NAME, sides, choice.rounds or size.rounds, stage.tell)
    yield rounds.report(NAME, "transfers per second")


def _ours(stage: Stage, size: Size) -> dict[str, float]:
    user_ids = workload.users(size.users)
    made, rates = list[Move](), dict[str, float]()
    with new_ledger(stage) as ledger:
        open_accounts(ledger, size.users)
        with at_work(stage, ledger) as (client, workers):
            for drawn, count in _loads(size.warm_up, size.ours):
                load = moves.moves(drawn, count, user_ids)
                began = datetime.now(UTC)
                rates[drawn] = timed(
                    workers,
                    lambda some: client.enqueue_many([_command(move) for move in some]),
                    ledger.nothing_waits,
                    load,
                )
                made += load
                if drawn == "random users":  # the warm-up's curve gives way to the load's
                    trace_outcomes(stage, ledger.database, began, _TITLE, "pointledger")
        ledger.verify(lambda connection: moves.verify(connection, user_ids, made))
    return rates


def _command(move: Move) -> Transfer:
    return Transfer(tenant_id=TENANT, user_id=move.source, to_user_id=move.destination, amount=move.amount)


def _theirs(stage: Stage, size: Size) -> dict[str, float]:
    user_ids = workload.users(size.users)
    made, rates = list[Move](), dict[str, float]()
    with theirs.at_work(stage, size.users) as system:
        for drawn, count in _loads(min(size.warm_up, size.theirs), size.theirs):
            load = moves.moves(drawn, count, user_ids)
            made += load
            is_done = partial(system.has_outcomes, size.users + len(made))
            rates[drawn] = timed(system.workers, system.send_moves, is_done, load)
        with system.database.connect() as connection:
            moves.verify(connection, user_ids, made)
    return rates


def _pgledger(stage: Stage, size: Size, checkout: Path, at_once: int) -> dict[str, float]:
    user_ids = workload.users(size.users)
    made, rates = list[Move](), dict[str, float]()
    with pgledger.accounts(stage, checkout, size.users) as (database_url, ids):
        for drawn, count in _loads(size.warm_up, size.pgledger):
            load = moves.moves(drawn, count, user_ids)
            seconds = 10 + count / LEAST_RATE
            rates[drawn] = pgledger.transfers_per_second(database_url, ids, load, seconds, at_once)
            made += load
        pgledger.verify(database_url, user_ids, made)
    return rates


def _loads(warm_up: int, count: int) -> Iterator[tuple[str, int]]:
    """How users are drawn, and how many transfers; the first ones warm up, and their rate is overwritten."""
    yield "random users", warm_up
    for drawn in DRAWS:
        yield drawn, count
