"""Connections, and transactions with their time-outs."""

import math
import time
from collections import namedtuple
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
import psycopg.rows
import sqlalchemy as sa

from pointledger.errors import AnswerTooLate, NotConfigured
from pointledger.settings import Settings
from pointledger.storage.errors import TIMED_OUT, UNTOLD, failure_of, sqlstate

_POOL_SIZE = 15  # as many threads accept or look at once; opened when needed, and kept: opening costs 5 ms


_POOL_TIMEOUT_SECONDS = 5  # a caller waits no longer for a free connection, it hears of it


_IDLE_SECONDS = 0.1  # no Postgres restarts within that


_CONNECT_TIMEOUT_SECONDS = 4


# A server that is gone without a word is noticed by the kernel alone: after 10 s of silence it asks, three
# times, and it waits no longer for what was sent to be received. By default it would take two hours.
_LIVENESS = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


APPLICATION_NAME = "pointledger"


_LIMITED = "pointledger_limited"  # an engine whose sessions have the limits of `transaction` from their start


def limited_engine_for(settings: Settings) -> sa.Engine:
    """A pool for a worker's `transaction`s alone, whose limits then cost no statement each. Raises
    NotConfigured.

    Behind pgbouncer, where a session is shared, each transaction still sets them.
    """
    if settings.pgbouncer:
        return engine_for(settings.database, pgbouncer=True, ping=False)
    limits = {**_limits(settings), **dict.fromkeys(_NOT_BY_INDEX, "off")}
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    engine = engine_for(settings.database, ping=False, options=options)
    return engine.execution_options(**{_LIMITED: True})


def engine_for(
    database_url: str, *, pgbouncer: bool = False, ping: bool = True, options: str | None = None
) -> sa.Engine:
    """A pool of connections. Behind pgbouncer in transaction mode nothing may be prepared.

    `ping`: one that has been idle is tried before it is lent, so that a restart of Postgres costs a caller a
    reconnection and no error. Workers do without: what fails there is tried again anyway.
    """
    try:
        url = sa.make_url(database_url)
    except (sa.exc.ArgumentError, ValueError):
        raise NotConfigured("POINTLEDGER_DATABASE_URL is not like postgresql://user@host/name") from None
    arguments: dict[str, Any] = {
        "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
        "fallback_application_name": APPLICATION_NAME,
        **_LIVENESS,
    }
    if pgbouncer:
        arguments["prepare_threshold"] = None
    if options:
        arguments["options"] = options
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="READ COMMITTED",  # each statement sees what those it waited for have committed
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        connect_args=arguments,
    )
    if ping:
        _ping_idle(engine)
    return engine


def _ping_idle(engine: sa.Engine) -> None:
    """The pool's own ping asks each time, which is a round trip more for each statement."""

    def note(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    def ping(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("idle_since", math.inf) < _IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            raise sa.exc.DisconnectionError from error

    sa.event.listen(engine, "checkin", note)
    sa.event.listen(engine, "checkout", ping)


AnyConnection = sa.Connection | psycopg.Connection[Any]  # a caller's own may be either


def execute(connection: AnyConnection, sql: str, values: Mapping[str, Any] | None = None) -> Any:
    """Runs a statement in the driver's own style on either kind; rows come as tuples whatever a caller's
    psycopg connection is set to."""
    if isinstance(connection, sa.Connection):
        return connection.exec_driver_sql(sql, dict(values) if values else None)
    return connection.cursor(row_factory=psycopg.rows.tuple_row).execute(sql, values)


# Straight to the driver: what SQLAlchemy does for each statement besides cost a batch of a hundred commands
# an eighth of its time (measured). Connections, pools and transactions are SQLAlchemy's.


def rows(connection: sa.Connection, sql: str, **values: Any) -> list[Any]:
    """What a statement in the driver's own style (`%(name)s`) gives, as named tuples."""
    return _cursor(connection, _named).execute(sql, values).fetchall()


def streamed(connection: sa.Connection, sql: str, size: int, **values: Any) -> Iterator[list[Any]]:
    """As `rows`, so many at a time, for what may be more than memory should hold."""
    with driver(connection).cursor("streamed", row_factory=_named) as cursor:
        cursor.execute(sql, values)
        while found := cursor.fetchmany(size):
            yield found


def run(connection: sa.Connection, sql: str, **values: Any) -> int:
    """Runs a statement; how many rows it touched."""
    return _cursor(connection, psycopg.rows.tuple_row).execute(sql, values).rowcount


def _named(cursor: psycopg.Cursor[Any]) -> psycopg.rows.RowMaker[Any]:
    """Rows as named tuples. Of columns that share a name, as in a join, the first one has it."""
    result = cursor.pgresult
    assert result is not None, "it is asked for a result's rows"
    row = _row_class(tuple(result.fname(index) for index in range(result.nfields)))
    maker: psycopg.rows.RowMaker[Any] = row._make
    return maker


@lru_cache(maxsize=1000)  # as many as there are statements, and more
def _row_class(names: tuple[bytes | None, ...]) -> Any:
    return namedtuple("Row", [name.decode() if name else "_" for name in names], rename=True)


def _cursor(connection: sa.Connection, row_factory: Any) -> psycopg.Cursor[Any]:
    if not connection.in_transaction():
        connection.begin()  # whoever opened the connection without one: it ends with the connection
    return driver(connection).cursor(row_factory=row_factory)


def driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    """psycopg's own connection under a SQLAlchemy one."""
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection), "the dialect is postgresql+psycopg"
    return found


@contextmanager
def transaction(engine: sa.Engine, settings: Settings) -> Iterator[sa.Connection]:
    """One transaction that a frozen process cannot hold for ever, with index plans only.

    SET LOCAL, for that alone survives pgbouncer. The worker's reads all go by keys; while tables grow
    from nothing, statistics would now and then suggest to read the whole journal instead.
    """
    with engine.begin() as connection:
        if not engine.get_execution_options().get(_LIMITED):
            run(connection, _SET_LOCAL, **_limits(settings))
        yield connection


@contextmanager
def single(engine: sa.Engine, settings: Settings) -> Iterator[sa.Connection]:
    """As `transaction`, for one statement: without BEGIN and COMMIT, where sessions have their limits."""
    if not engine.get_execution_options().get(_LIMITED):
        with transaction(engine, settings) as connection:
            yield connection
        return
    with _kept(engine).connect() as connection:
        yield connection


def committing_each(engine: sa.Engine) -> sa.Engine:
    """The same pool, where each statement is its own transaction. To be kept: making it costs as much as a
    statement."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


_kept = lru_cache(maxsize=10)(committing_each)  # of the engines of workers, which live as long as they do


_NOT_BY_INDEX = ("enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_bitmapscan")


INDEX_PLANS_ONLY = ", ".join(f"set_config('{plan}', 'off', true)" for plan in _NOT_BY_INDEX)


_SET_LOCAL = f"""
    SELECT set_config('lock_timeout', %(lock_timeout)s, true),
           set_config('statement_timeout', %(statement_timeout)s, true),
           set_config('idle_in_transaction_session_timeout', %(idle_in_transaction_session_timeout)s, true),
           {INDEX_PLANS_ONLY}"""


def _limits(settings: Settings) -> Mapping[str, str]:
    return {
        "lock_timeout": str(settings.lock_timeout_ms),
        "statement_timeout": str(settings.statement_timeout_ms),
        "idle_in_transaction_session_timeout": str(settings.idle_timeout_ms),
    }


IDLE_TIMEOUT_MS = 5_000  # as in the settings, which not everybody has


@contextmanager
def unfrozen(engine: sa.Engine, idle_timeout_ms: int = IDLE_TIMEOUT_MS) -> Iterator[sa.Connection]:
    """A transaction that Postgres ends when its process stands still: what it holds is free again. Its
    statements may take long."""
    with engine.begin() as connection:
        setting = "SELECT set_config('idle_in_transaction_session_timeout', %(timeout)s, true)"
        rows(connection, setting, timeout=str(idle_timeout_ms))
        yield connection


_LOOK_UP_MS = 30_000  # a person waits no longer; and a snapshot grows no older


_BEGIN_LOOKING = f"""
    SELECT set_config('statement_timeout', %(statement)s, true),
           {INDEX_PLANS_ONLY}"""


@contextmanager
def looking(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One moment of the ledger, read only: what its statements find fits together. By index plans, for
    the reason given at `transaction`. Raises AnswerTooLate, DatabaseAway and DatabaseFailed."""
    try:
        with engine.connect() as plain:
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                run(connection, _BEGIN_LOOKING, statement=str(_LOOK_UP_MS))
                yield connection
    except UNTOLD as error:
        if sqlstate(error) == TIMED_OUT:
            raise AnswerTooLate from error
        raise failure_of(error) from error


class Asking:
    """Something that asks one database."""

    def __init__(self, database: sa.Engine) -> None:
        self._asked = database

    @property
    def _database(self) -> sa.Engine:
        return self._asked
