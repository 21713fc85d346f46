"""Lets the functions of storage serve asyncio: where a thread would wait for Postgres, a task awaits it.

Storage's functions are written for threads. `in_loop` runs one in a greenlet, on the event loop's own thread.
Wherever it would wait, `wait_for` leaves the greenlet and lets the loop run other tasks until the answer is
there. So cursors, pipelines and COPY need no second version.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import psycopg
from psycopg.rows import AsyncRowFactory
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.util import await_only as wait_for
from sqlalchemy.util import greenlet_spawn as in_loop

from pointledger.storage.deadlines import Answer, BoundedConnection

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy import orm

__all__ = ["AwaitedConnection", "AwaitedDialect", "CallersConnection", "in_loop", "synchronous", "wait_for"]


class AwaitedConnection(BoundedConnection):
    """A connection of psycopg's async driver, which opens it and waits for it, behind the methods of the
    other one. Use it within `in_loop`. A canceled statement is canceled in Postgres, too."""

    dialect: ClassVar[str] = "pointledger"
    _driver: psycopg.AsyncConnection[Any]

    @classmethod
    def connect(cls, conninfo: str = "", **parameters: Any) -> Self:
        """Connect as psycopg does in asyncio: it looks up names without blocking the loop."""
        opened = wait_for(psycopg.AsyncConnection.connect(conninfo, **parameters))
        connection = cls(opened.pgconn)
        connection._driver = opened
        connection._adapters = opened._adapters
        connection.prepare_threshold = opened.prepare_threshold
        return connection

    def _answer(self, steps: Generator[Any, Any, Answer], interval: float, **more: Any) -> Answer:
        return wait_for(self._driver.wait(steps, interval, **more))


class AwaitedCursor:
    """A cursor of psycopg's async driver. It has the methods that `execute` and its callers use."""

    def __init__(self, cursor: psycopg.AsyncCursor[Any]) -> None:
        self._cursor = cursor

    def execute(self, sql: str, values: Mapping[str, Any] | None = None) -> Self:
        """Run a statement."""
        wait_for(self._cursor.execute(sql, values))
        return self

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return wait_for(self._cursor.fetchone())

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return wait_for(self._cursor.fetchall())

    @property
    def rowcount(self) -> int:
        """The number of affected rows."""
        return self._cursor.rowcount


class CallersConnection:
    """A caller's own connection of psycopg's async driver, for `execute`."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    def cursor(self, row_factory: AsyncRowFactory[Any]) -> AwaitedCursor:
        """Return a new cursor in the caller's transaction."""
        return AwaitedCursor(self._connection.cursor(row_factory=row_factory))


def synchronous(connection: Any) -> sa.Connection | orm.Session | CallersConnection:
    """Return what the functions of storage use, within a greenlet, for a caller's own connection."""
    if isinstance(connection, psycopg.AsyncConnection):
        return CallersConnection(connection)
    for name in ("sync_session", "sync_connection"):
        if (found := getattr(connection, name, None)) is not None:
            opened: sa.Connection | orm.Session = found
            return opened
    raise TypeError(f"connection: an open AsyncConnection or AsyncSession, not {connection!r}")


class AwaitedDialect(PGDialect_psycopg):
    """psycopg for a pool that tasks use instead of threads."""

    is_async = True
    supports_statement_cache = True
    has_terminate = True  # a connection that was freed without a checkin: close it, and send nothing

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Close the connection without a word to Postgres, outside of any greenlet."""
        dbapi_connection.pgconn.finish()


registry.register(f"postgresql.{AwaitedConnection.dialect}", __name__, AwaitedDialect.__name__)
