"""Measures transfers with their lots, between random users and into a single user.

The other sides are the conventional design and, if the caller names a checkout, pgledger.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pointledger import Transfer
from tests.bench import conventional_side, pgledger, transfer_load, workload
from tests.bench.environment import BenchmarkEnvironment
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, Side, compare
from tests.bench.ledger import (
    MINIMUM_RATE,
    keep_outcome_curve,
    new_ledger,
    open_accounts,
    running_workers,
    timed,
)
from tests.bench.transfer_load import USER_DISTRIBUTIONS, PlannedTransfer
from tests.bench.workload import TENANT

NAME = "transfer"
_PGLEDGER_BATCH = 100  # transfers in one call; larger calls take longer per transfer and hold their locks
_TITLE = "Transfers between random users"


@dataclass(frozen=True, slots=True)
class TransferSize:
    """The size of the load. Slower sides get fewer transfers, so a round does not take minutes."""

    rounds: int
    users: int
    pointledger: int
    conventional: int
    pgledger: int
    warm_up: int


FULL = TransferSize(
    rounds=3, users=10_000, pointledger=50_000, conventional=3_000, pgledger=20_000, warm_up=2_000
)
QUICK = TransferSize(rounds=1, users=200, pointledger=400, conventional=60, pgledger=200, warm_up=20)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Measure each side, between random users and into one user."""
    size = QUICK if options.quick else FULL
    sides = [Side("pointledger", partial(_measure_pointledger, environment, size))]
    if options.pgledger:
        for label, batch_size in (("pgledger", 1), (f"pgledger {_PGLEDGER_BATCH} at once", _PGLEDGER_BATCH)):
            sides.append(
                Side(label, partial(_measure_pgledger, environment, size, options.pgledger, batch_size))
            )
    sides.append(Side("conventional", partial(_measure_conventional, environment, size)))
    rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
    yield rounds.report(NAME, "transfers per second")


def _measure_pointledger(environment: BenchmarkEnvironment, size: TransferSize) -> dict[str, float]:
    user_ids = workload.users(size.users)
    made, rates = list[PlannedTransfer](), dict[str, float]()
    with new_ledger(environment) as ledger:
        open_accounts(ledger, size.users)
        with running_workers(environment, ledger) as (client, workers):
            for distribution, count in _loads(size.warm_up, size.pointledger):
                load = transfer_load.planned_transfers(distribution, count, user_ids)
                began = datetime.now(UTC)
                rates[distribution] = timed(
                    workers,
                    lambda some: client.enqueue_many([_command(each) for each in some]),
                    ledger.is_drained,
                    load,
                )
                made += load
                if distribution == "random users":  # the curve of the load replaces that of the warm-up
                    keep_outcome_curve(environment, ledger.database, began, _TITLE, "pointledger")
        ledger.verify(lambda connection: transfer_load.verify(connection, user_ids, made))
    return rates


def _command(transfer: PlannedTransfer) -> Transfer:
    return Transfer(
        tenant_id=TENANT, user_id=transfer.source, to_user_id=transfer.destination, amount=transfer.amount
    )


def _measure_conventional(environment: BenchmarkEnvironment, size: TransferSize) -> dict[str, float]:
    user_ids = workload.users(size.users)
    made, rates = list[PlannedTransfer](), dict[str, float]()
    with conventional_side.running_system(environment, size.users) as system:
        for distribution, count in _loads(min(size.warm_up, size.conventional), size.conventional):
            load = transfer_load.planned_transfers(distribution, count, user_ids)
            made += load
            is_done = partial(system.has_outcomes, size.users + len(made))
            rates[distribution] = timed(system.workers, system.send_transfers, is_done, load)
        with system.database.connect() as connection:
            transfer_load.verify(connection, user_ids, made)
    return rates


def _measure_pgledger(
    environment: BenchmarkEnvironment, size: TransferSize, checkout: Path, batch_size: int
) -> dict[str, float]:
    user_ids = workload.users(size.users)
    made, rates = list[PlannedTransfer](), dict[str, float]()
    with pgledger.accounts(environment, checkout, size.users) as (database_url, ids):
        for distribution, count in _loads(size.warm_up, size.pgledger):
            load = transfer_load.planned_transfers(distribution, count, user_ids)
            seconds = 10 + count / MINIMUM_RATE
            rates[distribution] = pgledger.transfers_per_second(database_url, ids, load, seconds, batch_size)
            made += load
        pgledger.verify(database_url, user_ids, made)
    return rates


def _loads(warm_up: int, count: int) -> Iterator[tuple[str, int]]:
    """Yield distributions and numbers of transfers. The first is the warm-up, and its rate is overwritten."""
    yield "random users", warm_up
    for distribution in USER_DISTRIBUTIONS:
        yield distribution, count
