"""The ceiling: the rows of commands that were applied, written with COPY by one process, without queue, locks
and decisions. No ledger in this database can be faster than that, process for process."""

import time
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from pointledger.storage.database import run
from tests.bench import workload
from tests.bench.ledger import AT_ONCE, new_ledger, open_accounts
from tests.bench.past import Past, Rows, rows_of, write
from tests.bench.stage import Stage
from tests.bench.workload import PER_MINOR, TENANT, Event

_AMOUNT_MINOR = 100 * PER_MINOR  # what events have on average

# Rows that are there cannot be copied: this is how the ledger writes them, too.
_UPDATE_ACCOUNTS = """
UPDATE accounts SET balance = new.balance, total_earned = new.balance, version = new.version,
                    as_of = new.moment, updated_at = new.moment
FROM unnest(%(users)b::text[], %(versions)b::int8[], %(balances)b::int8[], %(moments)b::timestamptz[])
     AS new (user_id, version, balance, moment)
WHERE accounts.tenant_id = %(tenant)b AND accounts.user_id = new.user_id COLLATE "C" """


def commands_per_second(stage: Stage, user_count: int, commands: int) -> float:
    """How fast the rows of so many commands are written, a transaction for each thousand. The rows are made
    before the clock starts; afterwards they are verified and audited like everybody's."""
    with new_ledger(stage) as ledger:
        opening = open_accounts(ledger, user_count)
        entries, points = opening.of_each
        past = Past(
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
        batches = list(rows_of(past, ledger.opening, ledger.settings.lanes, AT_ONCE))
        began = time.perf_counter()
        for rows in batches:
            with ledger.database.begin() as connection:
                write(connection, rows)
                _update_accounts(connection, rows)
        rate = commands / (time.perf_counter() - began)
        user_ids = workload.users(user_count)
        done = [
            Event(f"event-{number}", user_ids[number % user_count], past.began_at, _AMOUNT_MINOR)
            for number in range(commands)
        ]
        ledger.verify(lambda connection: workload.verify(connection, user_ids, done, opening.of_each))
    return rate


def _update_accounts(connection: sa.Connection, rows: Rows) -> None:
    last = {user: (user, version, balance, moment) for user, version, balance, moment in rows.stands}
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
