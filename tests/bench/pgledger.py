"""pgledger's own SQL, from a checkout that the caller names: nothing of it is in this repository. Each
transfer is a call of its function from one of several connections, in a transaction of its own; or so many at
once, by its function for that, which makes all of them or none."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.bench.moves import Books, Move, books_after, compare_books
from tests.bench.stage import BenchmarkStuck, Stage
from tests.bench.workload import OPENING_POINTS, users

CONNECTIONS = 20  # as many as its own performance check has
_FILES = (
    "vendor/scoville-pgsql-ulid/ulid-to-uuid.sql",
    "vendor/scoville-pgsql-ulid/uuid-to-ulid.sql",
    "pgledger.sql",
)
_SOURCE = "opening"  # the account from which everybody has the first points

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

_BOOKS = """
SELECT a.name, a.balance::bigint, a.version, count(e.id), sum(e.amount)::bigint
FROM pgledger_accounts_view a JOIN pgledger_entries_view e ON e.account_id = a.id
GROUP BY a.id, a.name, a.balance, a.version"""


@contextmanager
def accounts(stage: Stage, checkout: Path, user_count: int) -> Iterator[tuple[str, dict[str, str]]]:
    """A database with pgledger and an account for each user, all with points; and their ids by user."""
    with stage.database() as database_url:
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
    database_url: str, ids: dict[str, str], made: Sequence[Move], seconds: float, at_once: int = 1
) -> float:
    """Makes the transfers; from the first call to the last answer."""
    shares = [made[start::CONNECTIONS] for start in range(CONNECTIONS)]
    failures: list[Exception] = []
    ready = threading.Barrier(CONNECTIONS + 1)

    def work(share: Sequence[Move]) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            ready.wait()
            try:
                _make(connection, ids, share, at_once)
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
            raise BenchmarkStuck(f"pgledger: {failures or f'not after {seconds:.0f} s'}")
    return len(made) / (time.perf_counter() - began)


def _make(connection: psycopg.Connection, ids: dict[str, str], share: Sequence[Move], at_once: int) -> None:
    if at_once == 1:
        for move in share:
            connection.execute(_TRANSFER, (ids[move.source], ids[move.destination], move.amount))
        return
    for start in range(0, len(share), at_once):
        part = share[start : start + at_once]
        sources = [ids[move.source] for move in part]
        destinations = [ids[move.destination] for move in part]
        connection.execute(_TRANSFERS, (sources, destinations, [move.amount for move in part]))


def verify(database_url: str, user_ids: list[str], made: Sequence[Move]) -> None:
    """Everybody has what is due to them, in the balance and in the entries. Raises DifferentWork."""
    found = {}
    with psycopg.connect(database_url) as connection:
        for name, balance, version, entries, entered in connection.execute(_BOOKS):
            if name != _SOURCE:
                found[name] = Books(balance, entries if (version, entered) == (entries, balance) else -1)
    compare_books(books_after(user_ids, made), found)
