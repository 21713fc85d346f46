"""Measures pgledger's own SQL, from a checkout that the caller names. This repository has none of it.

Several connections call its functions: one transfer per transaction, or several transfers that all apply or
all fail.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.bench.environment import BenchmarkEnvironment, BenchmarkStuck
from tests.bench.transfer_load import ExpectedAccount, PlannedTransfer, compare_accounts, expected_accounts
from tests.bench.workload import OPENING_POINTS, users

CONNECTIONS = 20  # as in pgledger's own performance check
_FILES = (
    "vendor/scoville-pgsql-ulid/ulid-to-uuid.sql",
    "vendor/scoville-pgsql-ulid/uuid-to-ulid.sql",
    "pgledger.sql",
)
_SOURCE = "opening"  # the account that gives all users their first points

_OPEN = """
SELECT name, (pgledger_create_account(name, 'POINTS', allow_negative_balance => name = %(source)s)).id
FROM unnest(%(names)s::text[]) AS name"""

_FILL = """
SELECT count(*)
FROM unnest(%(ids)s::text[]) AS id, pgledger_create_transfer(%(source)s, id, %(points)s)"""

_TRANSFER = "SELECT id FROM pgledger_create_transfer(%s, %s, %s)"

_TRANSFERS = """
SELECT count(*) FROM pgledger_create_transfers((
    SELECT array_agg((source, destination, amount)::transfer_request)
    FROM unnest(%s::text[], %s::text[], %s::numeric[]) AS move (source, destination, amount)))"""

_ACCOUNTS = """
SELECT a.name, a.balance::bigint, a.version, count(e.id), sum(e.amount)::bigint
FROM pgledger_accounts_view a JOIN pgledger_entries_view e ON e.account_id = a.id
GROUP BY a.id, a.name, a.balance, a.version"""


@contextmanager
def accounts(
    environment: BenchmarkEnvironment, checkout: Path, user_count: int
) -> Iterator[tuple[str, dict[str, str]]]:
    """Create a database with pgledger and an account with points for each user. Yield their ids by user."""
    with environment.database() as database_url:
        with psycopg.connect(database_url, autocommit=True) as connection:
            for name in _FILES:
                connection.execute((checkout / name).read_bytes())
            names = [_SOURCE, *users(user_count)]
            ids: dict[str, str] = dict(
                connection.execute(_OPEN, {"names": names, "source": _SOURCE}).fetchall()
            )
            source = ids.pop(_SOURCE)
            values = {"ids": list(ids.values()), "source": source, "points": OPENING_POINTS}
            connection.execute(_FILL, values)
            connection.execute("VACUUM (ANALYZE)")
        yield database_url, ids


def transfers_per_second(
    database_url: str,
    ids: dict[str, str],
    made: Sequence[PlannedTransfer],
    seconds: float,
    batch_size: int = 1,
) -> float:
    """Apply the transfers. Measure from the first call to the last reply."""
    shares = [made[start::CONNECTIONS] for start in range(CONNECTIONS)]
    failures: list[Exception] = []
    ready = threading.Barrier(CONNECTIONS + 1)

    def work(share: Sequence[PlannedTransfer]) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            ready.wait()
            try:
                _apply(connection, ids, share, batch_size)
            except psycopg.Error as error:
                failures.append(error)

    threads = [threading.Thread(target=work, args=(share,), daemon=True) for share in shares]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join(max(began + seconds - time.perf_counter(), 0))
        if thread.is_alive() or failures:
            raise BenchmarkStuck(f"pgledger: {failures or f'not done after {seconds:.0f} s'}")
    return len(made) / (time.perf_counter() - began)


def _apply(
    connection: psycopg.Connection, ids: dict[str, str], share: Sequence[PlannedTransfer], batch_size: int
) -> None:
    if batch_size == 1:
        for transfer in share:
            connection.execute(_TRANSFER, (ids[transfer.source], ids[transfer.destination], transfer.amount))
        return
    for start in range(0, len(share), batch_size):
        part = share[start : start + batch_size]
        sources = [ids[transfer.source] for transfer in part]
        destinations = [ids[transfer.destination] for transfer in part]
        connection.execute(_TRANSFERS, (sources, destinations, [transfer.amount for transfer in part]))


def verify(database_url: str, user_ids: list[str], made: Sequence[PlannedTransfer]) -> None:
    """Check that each user has the expected balance and entries. Raises DifferentWork."""
    found = {}
    with psycopg.connect(database_url) as connection:
        for name, balance, version, entries, entered in connection.execute(_ACCOUNTS):
            if name != _SOURCE:
                found[name] = ExpectedAccount(
                    balance, entries if (version, entered) == (entries, balance) else -1
                )
    compare_accounts(expected_accounts(user_ids, made), found)
