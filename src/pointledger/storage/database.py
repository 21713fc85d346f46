"""Opens connections, and transactions with their timeouts."""

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

from pointledger.errors import QueryTimeout
from pointledger.settings import Settings
from pointledger.storage.deadlines import BoundedConnection, answers_within, statements_within
from pointledger.storage.errors import RAW_ERRORS, TIMED_OUT, failure_of, sqlstate
from pointledger.storage.sessions import drop_ended_sessions, is_limited, prepare_sessions
from pointledger.storage.urls import connection_parameters, parse

_POOL_SIZE = 15  # bounds concurrent threads; connections open on demand and stay, because opening costs 5 ms
_POOL_TIMEOUT_SECONDS = 5  # then the caller gets an error instead of a connection
_IDLE_SECONDS = 0.1  # Postgres cannot restart within that
_PING_SECONDS = 2.0  # for a round trip; after it the pool opens another connection
_DATABASE_URL = "POINTLEDGER_DATABASE_URL"


def limited_engine_for(settings: Settings) -> sa.Engine:
    """Return a pool for a worker's `transaction`s, whose sessions have its limits from the start.

    This saves a statement per transaction. Behind a pooler clients share sessions, so there each transaction
    sets its limits. Raises NotConfigured.
    """
    limits = {**_limits(settings), **dict.fromkeys(_NOT_BY_INDEX, "off")}
    return engine_for(settings.database, pgbouncer=settings.pgbouncer, ping=False, limits=limits)


def bounded_engine_for(settings: Settings, kind: type[BoundedConnection] = BoundedConnection) -> sa.Engine:
    """Return a pool for callers, each of whose statements has the settings' limit. Raises NotConfigured."""
    statement_ms = settings.statement_timeout_ms
    return engine_for(settings.database, pgbouncer=settings.pgbouncer, statement_ms=statement_ms, kind=kind)


def engine_for(
    database_url: str,
    *,
    pgbouncer: bool = False,
    ping: bool = True,
    limits: Mapping[str, str] | None = None,
    statement_ms: int = 0,
    setting: str = _DATABASE_URL,
    kind: type[BoundedConnection] = BoundedConnection,
) -> sa.Engine:
    """Return a pool of connections. `pgbouncer`: a pooler is in front, even if none can be recognized.

    `ping` tests an idle connection before use, so after a restart of Postgres callers reconnect without an
    error. Workers skip it because they retry failures anyway. `limits` are settings for sessions that no
    pooler shares. `statement_ms` limits each statement without a limit of its own, also if Postgres hangs; 0
    is no limit. `setting` names the URL in NotConfigured, which connecting raises if its service is unknown.
    `kind` is how the connections wait for Postgres.
    """
    engine = sa.create_engine(
        f"postgresql+{kind.dialect}://",  # the parameters are libpq's, because SQLAlchemy's URLs can say less
        isolation_level="READ COMMITTED",  # each statement sees the commits that it waited for
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        connect_args=parse(database_url, setting),
    )

    def connect(_dialect: Any, _record: Any, _args: Any, given: dict[str, Any]) -> BoundedConnection | None:
        # now, because a service file and variables may change until then
        given.update(connection_parameters(database_url, setting))
        return kind.within(statement_ms, given) if statement_ms else None

    sa.event.listen(engine, "do_connect", connect)
    prepare_sessions(engine, pooled=pgbouncer, limits=limits, statement_ms=statement_ms)
    if ping:
        _ping_idle(engine)
    drop_ended_sessions(engine)
    return engine


def _ping_idle(engine: sa.Engine) -> None:
    """Ping connections that were idle. The pool's own ping adds a round trip to every checkout."""

    def note(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    def ping(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("idle_since", math.inf) < _IDLE_SECONDS:
            return
        try:
            with answers_within(_PING_SECONDS):
                engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            raise sa.exc.DisconnectionError from error

    sa.event.listen(engine, "checkin", note)
    sa.event.listen(engine, "checkout", ping)


AnyConnection = sa.Connection | psycopg.Connection[Any]  # callers may pass either kind


def execute(connection: AnyConnection, sql: str, values: Mapping[str, Any] | None = None) -> Any:
    """Run a statement in the driver's style on either kind of connection.

    Rows are tuples, even if the caller's psycopg connection has another row factory.
    """
    if isinstance(connection, sa.Connection):
        return connection.exec_driver_sql(sql, dict(values) if values else None)
    return connection.cursor(row_factory=psycopg.rows.tuple_row).execute(sql, values)


# Statements go straight to the driver because SQLAlchemy's work per statement cost a batch of a hundred
# commands an eighth of its time (measured). SQLAlchemy provides connections, pools and transactions.


def rows(connection: sa.Connection, sql: str, **values: Any) -> list[Any]:
    """Run a statement in the driver's style (`%(name)s`) and return named tuples."""
    return cursor_of(connection, named).execute(sql, values).fetchall()


def streamed(connection: sa.Connection, sql: str, size: int, **values: Any) -> Iterator[list[Any]]:
    """Yield rows in chunks of `size`, for results that may not fit into memory."""
    with driver(connection).cursor("streamed", row_factory=named) as cursor:
        cursor.execute(sql, values)
        while found := cursor.fetchmany(size):
            yield found


def run(connection: sa.Connection, sql: str, **values: Any) -> int:
    """Run a statement and return the number of affected rows."""
    cursor = cursor_of(connection, psycopg.rows.tuple_row).execute(sql, values)
    if driver(connection).info.pipeline_status:
        with driver(connection).pipeline() as pipeline:
            pipeline.sync()
    return cursor.rowcount


def named(cursor: psycopg.Cursor[Any]) -> psycopg.rows.RowMaker[Any]:
    """Make rows named tuples. If columns share a name, as in a join, the first one gets it."""
    result = cursor.pgresult
    assert result is not None, "psycopg makes rows only of a result"
    row = _row_class(tuple(result.fname(index) for index in range(result.nfields)))
    maker: psycopg.rows.RowMaker[Any] = row._make
    return maker


@lru_cache(maxsize=1000)  # more than the number of statements
def _row_class(names: tuple[bytes | None, ...]) -> Any:
    return namedtuple("Row", [name.decode() if name else "_" for name in names], rename=True)


def cursor_of(connection: sa.Connection, row_factory: Any = named) -> psycopg.Cursor[Any]:
    """Return a new cursor of the driver, in the connection's transaction."""
    if not connection.in_transaction():
        connection.begin()  # the transaction ends when the caller closes the connection
    return driver(connection).cursor(row_factory=row_factory)


def driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    """Return the psycopg connection under a SQLAlchemy one."""
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection), "the dialect is postgresql+psycopg"
    return found


@contextmanager
def transaction(engine: sa.Engine, settings: Settings) -> Iterator[sa.Connection]:
    """Open a transaction with timeouts, so a stalled process cannot keep its locks, and index plans only.

    It uses SET LOCAL because only that works behind a pooler. It forces index plans because the worker reads
    by key. While tables are still small, the statistics sometimes favor a scan of the whole journal.
    """
    with engine.begin() as connection:
        if not is_limited(connection):
            run(connection, _SET_LOCAL, **_limits(settings))
        yield connection


@contextmanager
def autocommit(engine: sa.Engine, settings: Settings) -> Iterator[sa.Connection]:
    """Open a `transaction` for one statement, without BEGIN and COMMIT if the session has its limits."""
    with _cached_autocommit_engine(engine).connect() as connection:
        if is_limited(connection):
            yield connection
            return
    with transaction(engine, settings) as connection:
        yield connection


def autocommit_engine(engine: sa.Engine) -> sa.Engine:
    """Return the same pool in autocommit mode. Keep the result: creating it costs as much as a statement."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


_cached_autocommit_engine = lru_cache(maxsize=10)(autocommit_engine)  # a worker keeps its engine


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


IDLE_TIMEOUT_MS = 5_000  # the default of the settings, for callers without settings


_BOUNDED = """
SELECT set_config('idle_in_transaction_session_timeout', %(idle)s, true),
       set_config('statement_timeout', %(statement)s, true)"""


@contextmanager
def bounded_transaction(
    engine: sa.Engine, idle_timeout_ms: int = IDLE_TIMEOUT_MS, *, statement_ms: int = 0
) -> Iterator[sa.Connection]:
    """Open a transaction that Postgres ends if the process stalls between statements, freeing its locks.

    Each of its statements has `statement_ms`, also if the login has another limit; 0 is no limit.
    """
    with engine.begin() as connection, statements_within(statement_ms):
        rows(connection, _BOUNDED, idle=str(idle_timeout_ms), statement=str(statement_ms))
        yield connection


_QUERY_TIMEOUT_MS = 30_000  # people wait no longer, and it bounds the age of a snapshot

_QUERY_MS = "pointledger_query_ms"  # marks an engine whose queries have a time limit of their own

_BEGIN_READ_ONLY = f"""
    SELECT set_config('statement_timeout', %(statement)s, true),
           {INDEX_PLANS_ONLY}"""
_BEGIN_LIMITED = f"{_BEGIN_READ_ONLY}, set_config('max_parallel_workers_per_gather', '0', true)"


def limited_queries(engine: sa.Engine, seconds: float) -> sa.Engine:
    """Return the same pool for `read_only` queries of a server that many callers share.

    A statement has so many seconds, on one core.
    """
    return engine.execution_options(**{_QUERY_MS: round(seconds * 1000)})


@contextmanager
def read_only(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a read-only transaction whose statements all see one snapshot of the ledger.

    It forces index plans for the reason given at `transaction`. Raises QueryTimeout, DatabaseAway and
    DatabaseFailed.
    """
    own_limit_ms = engine.get_execution_options().get(_QUERY_MS)
    limit_ms = own_limit_ms or _QUERY_TIMEOUT_MS
    begin = _BEGIN_LIMITED if own_limit_ms else _BEGIN_READ_ONLY
    try:
        with engine.connect() as plain, statements_within(limit_ms):
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                run(connection, begin, statement=str(limit_ms))
                yield connection
    except RAW_ERRORS as error:
        if sqlstate(error) == TIMED_OUT:
            raise QueryTimeout from error
        raise failure_of(error) from error
