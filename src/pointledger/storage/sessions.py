"""Prepares each new connection: what the driver needs, and what a pooler in front does not allow. Drops those
that have ended.

A session normally costs one statement here. Behind a pooler in transaction mode each transaction may have
another server session, so nothing may be kept in one: no prepared statement, and no limit.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
import sqlalchemy as sa

OWN_SESSION = "pointledger_own_session"  # in a connection's `info`: no pooler shares its server session
LIMITED = "pointledger_limited"  # in a connection's `info`: its session has the limits of `transaction`

# Postgres reports these at the start of each session, so they cost a statement only where they differ. A
# pooler keeps reported settings for each client. The driver reads timestamps only in the ISO style, and the
# ledger shows moments in UTC.
_REPORTED = {
    "DateStyle": ("ISO", "ISO, MDY"),
    "IntervalStyle": ("postgres", "postgres"),
    "TimeZone": ("UTC", "UTC"),
    "standard_conforming_strings": ("on", "on"),
}

# These change what a statement means or when it fails. Postgres does not report them.
QUIET = {
    "default_transaction_isolation": "read committed",
    "array_nulls": "on",
    "transform_null_equals": "off",
}

# A worker's statements and pauses have limits, and a batch ends by the clock; another limit would only waste
# its work. Postgres has had this one since version 17.
_QUIET_IF_LIMITED = {"transaction_timeout": "0"}


def prepare_sessions(
    engine: sa.Engine,
    *,
    pooled: bool = False,
    limits: Mapping[str, str] | None = None,
    statement_ms: int = 0,
) -> None:
    """Prepare each new connection of the engine. `pooled`: a pooler is in front, recognizable or not.

    `limits` are settings for its sessions, where they are not shared, and so is a limit of `statement_ms`.
    """
    quiet = QUIET | (_QUIET_IF_LIMITED if limits else {})
    if statement_ms:
        quiet["statement_timeout"] = f"{statement_ms}ms"

    def prepare(connection: psycopg.Connection[Any], record: Any) -> None:
        connection.autocommit = True  # what a session is given must survive a rollback
        _prepare(connection, record.info, pooled, quiet, limits or {})
        connection.autocommit = False

    sa.event.listen(engine, "connect", prepare)


def _prepare(
    connection: psycopg.Connection[Any],
    info: dict[str, Any],
    pooled: bool,
    wanted: Mapping[str, str],
    limits: Mapping[str, str],
) -> None:
    _set(connection, _reported_otherwise(connection))
    process, found = _look(connection, list(wanted))
    info[OWN_SESSION] = not pooled and process == connection.info.backend_pid
    if info[OWN_SESSION]:
        quiet = {name: value for name, value in wanted.items() if found[name] not in (None, value)}
        _set(connection, {**quiet, **limits})
        info[LIMITED] = bool(limits)
    else:
        connection.prepare_threshold = None


def _look(connection: psycopg.Connection[Any], names: list[str]) -> tuple[int, dict[str, str | None]]:
    """Return the id of the server's process, which a pooler reports wrongly, and the settings' values."""
    settings = ", ".join("current_setting(%s, true)" for _ in names)
    row = connection.execute(f"SELECT pg_backend_pid(), {settings}", names).fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    return row[0], dict(zip(names, row[1:], strict=True))


def _reported_otherwise(connection: psycopg.Connection[Any]) -> dict[str, str]:
    found = {}
    for name, (start, value) in _REPORTED.items():
        reported = connection.info.parameter_status(name)
        if reported is not None and not reported.startswith(start):
            found[name] = value
    return found


def _set(connection: psycopg.Connection[Any], values: Mapping[str, str]) -> None:
    if not values:
        return
    calls = ", ".join("set_config(%s, %s, false)" for _ in values)
    connection.execute(f"SELECT {calls}", [part for item in values.items() for part in item])


def is_own_session(connection: sa.Connection) -> bool:
    """Return whether the connection has its server session to itself, with no pooler in between."""
    return bool(connection.info.get(OWN_SESSION))


def is_limited(connection: sa.Connection) -> bool:
    """Return whether the connection's session has the limits of `transaction`."""
    return bool(connection.info.get(LIMITED))


# Postgres reports these settings of a session without a round trip (pgbouncer does not).
_READ_ONLY_SETTINGS = ("in_hot_standby", "default_transaction_read_only")


def drop_ended_sessions(engine: sa.Engine) -> None:
    """Drop connections that Postgres has closed, and those to a read-only server, instead of keeping them."""
    sa.event.listen(engine, "rollback", _drop_closed)
    sa.event.listen(engine, "checkin", _drop_read_only)


def _drop_closed(connection: sa.Connection) -> None:
    """Drop a closed connection before its rollback, whose error would hide why Postgres has closed it."""
    if connection.invalidated:
        return
    session = connection.connection.driver_connection
    if session is not None and session.closed:
        connection.invalidate()


def _drop_read_only(connection: psycopg.Connection[Any] | None, record: Any) -> None:
    """After a failover the pool would otherwise keep its connections to the former primary."""
    if connection is None:  # the pool has closed it already
        return
    if any(connection.info.parameter_status(name) == "on" for name in _READ_ONLY_SETTINGS):
        record.invalidate()
