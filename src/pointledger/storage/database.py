"""Connections, transactions with their time-outs, and which errors are nobody's fault."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import psycopg.rows
import sqlalchemy as sa

from pointledger.errors import AnswerTooLate, NotConfigured
from pointledger.settings import Settings

_POOL_SIZE = 5  # one for the drain, one to look around, some for threads that accept
_POOL_TIMEOUT_SECONDS = 5  # a caller waits no longer for a free connection, it hears of it
_CONNECT_TIMEOUT_SECONDS = 4
APPLICATION_NAME = "pointledger"

# What befalls a transaction without anybody's fault: it is tried again, and no command is charged.
# Class 08: connection; 53: disk, memory, connections; 57P: shutdowns. 40001, 40P01: serialization,
# deadlock; 55P03: lock time-out; 25P03: idle time-out. Not 57014, the statement time-out: the same
# statement would run into it again.
_TRANSIENT_CLASSES = ("08", "53", "57P")
_TRANSIENT_STATES = ("40001", "40P01", "55P03", "25P03")


def engine_for(database_url: str, *, pgbouncer: bool = False, ping: bool = True) -> sa.Engine:
    """A pool of connections. Behind pgbouncer in transaction mode nothing may be prepared.

    `ping`: each is tried before it is lent, so that a restart of Postgres costs a caller a reconnection and
    no error. Workers do without: what fails there is tried again anyway.
    """
    try:
        url = sa.make_url(database_url)
    except (sa.exc.ArgumentError, ValueError):
        raise NotConfigured("POINTLEDGER_DATABASE_URL is not like postgresql://user@host/name") from None
    arguments: dict[str, Any] = {
        "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
        "fallback_application_name": APPLICATION_NAME,
    }
    if pgbouncer:
        arguments["prepare_threshold"] = None
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="READ COMMITTED",  # each statement sees what those it waited for have committed
        pool_size=_POOL_SIZE,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        pool_pre_ping=ping,
        connect_args=arguments,
    )


AnyConnection = sa.Connection | psycopg.Connection[Any]  # a caller's own may be either


def execute(connection: AnyConnection, sql: str, values: Mapping[str, Any] | None = None) -> Any:
    """Runs a statement in the driver's own style on either kind; rows come as tuples whatever a caller's
    psycopg connection is set to."""
    if isinstance(connection, sa.Connection):
        return connection.exec_driver_sql(sql, dict(values) if values else None)
    return connection.cursor(row_factory=psycopg.rows.tuple_row).execute(sql, values)


def rows(connection: sa.Connection, sql: str, **values: Any) -> list[Any]:
    """What a statement in the driver's own style (`%(name)s`) gives."""
    return list(connection.exec_driver_sql(sql, values).all())


def run(connection: sa.Connection, sql: str, **values: Any) -> int:
    """Runs a statement; how many rows it touched."""
    return connection.exec_driver_sql(sql, values).rowcount


def copy(
    connection: sa.Connection, table: str, columns: tuple[str, ...], lines: list[tuple[Any, ...]]
) -> None:
    """Inserts many rows by COPY, twice as fast as arrays (measured), in the connection's transaction."""
    if not lines:
        return
    with (
        driver(connection).cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as stream,
    ):
        for line in lines:
            stream.write_row(line)


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
        run(connection, _SET_LOCAL, **_limits(settings))
        yield connection


_SET_LOCAL = """
    SELECT set_config('lock_timeout', %(lock)s, true),
           set_config('statement_timeout', %(statement)s, true),
           set_config('idle_in_transaction_session_timeout', %(idle)s, true),
           set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true),
           set_config('enable_seqscan', 'off', true)"""


def _limits(settings: Settings) -> Mapping[str, str]:
    return {
        "lock": str(settings.lock_timeout_ms),
        "statement": str(settings.statement_timeout_ms),
        "idle": str(settings.idle_timeout_ms),
    }


_END_FROZEN = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = %(name)s
  AND pid <> pg_backend_pid() AND state = 'active' AND wait_event = 'ClientRead'
  AND xact_start < clock_timestamp() - %(ms)s * interval '1 millisecond'"""


def end_frozen(connection: sa.Connection, older_than_ms: int) -> int:
    """Ends transactions of processes that froze in the middle of a COPY: no time-out of Postgres' does,
    while it waits for the client's next rows. How many there were."""
    return int(rows(connection, _END_FROZEN, name=APPLICATION_NAME, ms=older_than_ms)[0][0])


_LOOK_UP_MS = 30_000  # a person waits no longer; and a snapshot grows no older
_TIMED_OUT = "57014"

_BEGIN_LOOKING = """
    SELECT set_config('statement_timeout', %(statement)s, true),
           set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true),
           set_config('enable_seqscan', 'off', true)"""


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
    except sa.exc.DBAPIError as error:
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
    if not isinstance(error, sa.exc.DBAPIError | psycopg.Error):
        return False
    state = sqlstate(error)
    if not state:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    return state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES
