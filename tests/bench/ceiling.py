"""Measures the ceiling: one process writes the rows of applied commands with COPY.

It uses no queue, locks or decisions, so no ledger in this database can be faster per process.
"""

import time
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from pointledger.storage.database import run
from tests.bench import workload
from tests.bench.environment import BenchmarkEnvironment
from tests.bench.history import BasketHistory, HistoryRows, rows_of, write
from tests.bench.ledger import CHUNK_COMMANDS, new_ledger, open_accounts
from tests.bench.workload import PER_MINOR, TENANT, BasketEvent

_AMOUNT_MINOR = 100 * PER_MINOR  # the average of the other benchmarks' events

# COPY cannot update rows, so this uses the ledger's own form of update.
_UPDATE_ACCOUNTS = """
UPDATE accounts SET balance = new.balance, total_earned = new.balance, version = new.version,
                    as_of = new.moment, updated_at = new.moment
FROM unnest(%(users)b::text[], %(versions)b::int8[], %(balances)b::int8[], %(moments)b::timestamptz[])
     AS new (user_id, version, balance, moment)
WHERE accounts.tenant_id = %(tenant)b AND accounts.user_id = new.user_id COLLATE "C" """


def commands_per_second(environment: BenchmarkEnvironment, user_count: int, commands: int) -> float:
    """Return how fast the rows of these commands are written, with one transaction per thousand.

    The rows are built before the clock starts, and verified afterwards like those of every other side.
    """
    with new_ledger(environment) as ledger:
        opening = open_accounts(ledger, user_count)
        entries, points = opening.per_user
        history = BasketHistory(
            name="event",
            users=user_count,
            entries=commands,
            amount_minor=_AMOUNT_MINOR,
            began_at=datetime.now(UTC),
            span=timedelta(seconds=1),
            lifetime=opening.lifetime,
            entries_before=entries,
            balance_before=points,
        )
        batches = list(rows_of(history, ledger.opening, ledger.settings.lanes, CHUNK_COMMANDS))
        began = time.perf_counter()
        for rows in batches:
            with ledger.database.begin() as connection:
                write(connection, rows)
                _update_accounts(connection, rows)
        rate = commands / (time.perf_counter() - began)
        user_ids = workload.users(user_count)
        applied = [
            BasketEvent(f"event-{number}", user_ids[number % user_count], history.began_at, _AMOUNT_MINOR)
            for number in range(commands)
        ]
        ledger.verify(lambda connection: workload.verify(connection, user_ids, applied, opening.per_user))
    return rate


def _update_accounts(connection: sa.Connection, rows: HistoryRows) -> None:
    last = {user: (user, version, balance, moment) for user, version, balance, moment in rows.account_states}
    users, versions, balances, moments = (list(column) for column in zip(*last.values(), strict=True))
    run(
        connection,
        _UPDATE_ACCOUNTS,
        tenant=TENANT,
        users=users,
        versions=versions,
        balances=balances,
        moments=moments,
    )
