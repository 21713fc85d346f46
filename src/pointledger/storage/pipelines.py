"""Sends statements that need no answer from each other together, in one round trip.

It is psycopg's and libpq's pipeline mode. A small batch of commands has some ten statements, and waiting for
each of them took a third of its time (measured).
"""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen

from pointledger.storage.database import cursor_of, driver


def send(connection: sa.Connection, sql: str, **values: Any) -> psycopg.Cursor[Any]:
    """Run a statement and return the cursor of its rows. In a pipeline, only `fetchall` waits for them."""
    return cursor_of(connection).execute(sql, values)


def send_change(connection: sa.Connection, sql: str, expected: int, **values: Any) -> None:
    """Run a statement that must affect so many rows. In a pipeline, its end checks it."""
    cursor = cursor_of(connection).execute(sql, values)
    if is_pipelined(connection):
        connection.info[_CHANGES].append((cursor, expected))
    else:
        _check(cursor, expected)


_CHANGES = "pointledger_changes"  # of the pipeline: cursors, each with the rows that it must affect


@contextmanager
def pipelined(connection: sa.Connection) -> Iterator[None]:
    """Send the statements of the block without waiting for each result.

    Each still sees what earlier transactions have committed when it begins. Errors are raised when a result
    is read, or at the end of the block.
    """
    if not psycopg.Pipeline.is_supported():  # a libpq of before 2021
        yield
        return
    _require_open(connection)
    with driver(connection).pipeline() as pipeline:
        pipeline._exit_gen = partial(_end, pipeline)  # type: ignore[method-assign]
        changes: list[tuple[psycopg.Cursor[Any], int]] = []
        connection.info[_CHANGES] = changes
        try:
            yield
        finally:
            del connection.info[_CHANGES]
    for cursor, expected in changes:
        _check(cursor, expected)


def _require_open(connection: sa.Connection) -> None:
    """Raise Postgres' own error if it has ended the session meanwhile; a pipeline would lose its reason.

    Between statements Postgres sends nothing else, so this takes a look at the socket and no round trip.
    """
    arrived = select.poll()
    arrived.register(driver(connection).fileno(), select.POLLIN)
    if arrived.poll(0):
        driver(connection).execute("SELECT")


def _end(pipeline: psycopg.Pipeline) -> PQGen[None]:
    """End as psycopg does, but send no Flush after the Sync.

    It would switch off Postgres' `idle_in_transaction_session_timeout`, which ends stalled transactions.
    """
    try:
        pipeline._enqueue_sync()
        yield from pipeline._communicate_gen()
    finally:
        yield from pipeline._fetch_gen(flush=False)


def is_pipelined(connection: sa.Connection) -> bool:
    """Return whether the connection is in a `pipelined` block."""
    return _CHANGES in connection.info


def _check(cursor: psycopg.Cursor[Any], expected: int) -> None:
    assert cursor.rowcount == expected, (
        f"{cursor.rowcount} rows instead of {expected}: {cursor._last_query!r}"
    )
