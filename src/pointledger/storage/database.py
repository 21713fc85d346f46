"""Connections, transactions with their time-outs, and which errors are nobody's fault."""

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

DATABASE_ERRORS = (
    sa.exc.DBAPIError,
    psycopg.Error,
)  # SQLAlchemy's own of a connection, the driver's of a statement

# What befalls a transaction without anybody's fault: it is tried again, and no command is charged.
# Class 08: connection; 53: disk, memory, connections; 57P: shutdowns. 40001, 40P01: serialization,
# deadlock; 55P03: lock time-out; 25P03: idle time-out. Not 57014, the statement time-out: the same
# statement would run into it again.
_TRANSIENT_CLASSES = ("08", "53", "57P")
_TRANSIENT_STATES = ("40001", "40P01", "55P03", "25P03")


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


def copy(
    connection: sa.Connection, table: str, columns: tuple[str, ...], lines: list[tuple[Any, ...]]
) -> None:
    """Inserts many rows by COPY, twice as fast as arrays, in the connection's transaction. In binary: a row
    of twenty columns takes us 1.3 microseconds to write instead of 7.4 as text, and Postgres 2.5 to read
    instead of 4.0 (measured)."""
    if not lines:
        return
    types = _types_of(connection, table)
    with (
        driver(connection).cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as stream,
    ):
        stream.set_types([types[column] for column in columns])
        for line in lines:
            stream.write_row(line)


_TYPES: dict[
    str, dict[str, int]
] = {}  # by table and column, as this program's version of the schema has them

# JSON is handed over as the text that it is.
_COLUMN_TYPES = """
SELECT attname, CASE atttypid WHEN 'json'::regtype THEN 'text'::regtype ELSE atttypid END::oid AS type
FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped"""


def _types_of(connection: sa.Connection, table: str) -> dict[str, int]:
    """The types of a table's columns; asked once by each process, for a migration ends it."""
    if table not in _TYPES:
        _TYPES[table] = dict(rows(connection, _COLUMN_TYPES, table=table))
    return _TYPES[table]


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
    with committing_each(engine).connect() as connection:
        yield connection


@lru_cache(maxsize=10)  # making it costs as much as a statement
def committing_each(engine: sa.Engine) -> sa.Engine:
    """The same pool, where each statement is its own transaction."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


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
_TIMED_OUT = "57014"

_BEGIN_LOOKING = f"""
    SELECT set_config('statement_timeout', %(statement)s, true),
           {INDEX_PLANS_ONLY}"""


@contextmanager
def looking(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One moment of the ledger, read only: what its statements find fits together. By index plans, for
    the reason given at `transaction`. Raises AnswerTooLate."""
    try:
        with engine.connect() as plain:
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                run(connection, _BEGIN_LOOKING, statement=str(_LOOK_UP_MS))
                yield connection
    except DATABASE_ERRORS as error:
        if sqlstate(error) != _TIMED_OUT:
            raise
        raise AnswerTooLate from None


def sqlstate(error: BaseException) -> str:
    """Postgres's five letters for an error; empty where it gave none, as when a connection is lost."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return getattr(cause, "sqlstate", None) or ""


def is_transient(error: BaseException) -> bool:
    """True where the same transaction may well succeed when it is tried again."""
    if isinstance(error, sa.exc.TimeoutError):  # no connection was free in the pool
        return True
    if not isinstance(error, DATABASE_ERRORS):
        return False
    state = sqlstate(error)
    if not state:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    return state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES
