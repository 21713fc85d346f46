"""Reads what a replay needs: the commands in the order of application, and the rows that they wrote.

It reads immutable rows in short snapshots, up to a batch number before which every batch has ended. So no
worker waits for a replay, and no snapshot gets old.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import sqlalchemy as sa

from pointledger.storage.database import driver, rows
from pointledger.storage.invariants.base import snapshot
from pointledger.storage.queue.writers import writing


@contextmanager
def utc_snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a snapshot for one chunk. Timestamps are in UTC, with any setting of the server."""
    with snapshot(engine) as connection:
        rows(connection, "SELECT set_config('TimeZone', 'UTC', true)")
        yield connection


# ------------------------------------------------------------------------------------------- the order

_DRAWN = "SELECT coalesce(pg_sequence_last_value('batch_numbers'::regclass), 0), clock_timestamp()"


class ReplayHorizon(NamedTuple):
    """The last batch number drawn at a moment, and the writing transactions that were open then."""

    batch: int
    moment: datetime
    writing: frozenset[str]


def horizon(engine: sa.Engine) -> ReplayHorizon:
    """Return the horizon as of now."""
    with snapshot(engine) as connection:
        batch, moment = rows(connection, _DRAWN)[0]
        return ReplayHorizon(int(batch), moment, writing(connection))


def is_settled(engine: sa.Engine, horizon: ReplayHorizon) -> bool:
    """Return whether all transactions of the horizon have ended."""
    with snapshot(engine) as connection:
        return horizon.writing.isdisjoint(writing(connection))


# A tenant's id has no space, so the line splits into three fields.
_ORDER = """
SELECT concat_ws(' ', tenant_id, coalesce(batch::text, '-'), id) FROM outcomes
WHERE (batch <= %(batch)s OR batch IS NULL AND reason IS DISTINCT FROM 'CANCELLED')
  AND tenant_id > %(after)s AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
ORDER BY tenant_id, batch NULLS FIRST, place"""
_FETCHED = 10_000  # lines in one chunk: half a megabyte

_SORTING = """
SELECT set_config('enable_seqscan', 'on', true), set_config('work_mem', '64MB', true),
       set_config('statement_timeout', '0', true), set_config('cursor_tuple_fraction', '1', true)"""


def order(engine: sa.Engine, batch: int, *, tenant_id: str | None, after: str) -> Iterator[list[str]]:
    """Yield every decided command in the order of application, tenant by tenant, in chunks.

    A line has tenant, batch and id. Commands without a recorded order come first in their tenant, with `-`
    as the batch. One statement reads all outcomes, so the caller should store the chunks without delay.
    """
    with snapshot(engine) as connection:
        rows(connection, _SORTING)
        plain = psycopg.rows.tuple_row
        with driver(connection).cursor("order_of_application", row_factory=plain) as cursor:
            cursor.execute(_ORDER, {"batch": batch, "after": after, "tenant": tenant_id})
            while found := cursor.fetchmany(_FETCHED):
                yield [line for (line,) in found]


# --------------------------------------------------------------------------------------------- commands


class RecordedCommand(NamedTuple):
    """A command of the journal. `kind` is None if the journal has no such command."""

    id: UUID
    seq: int
    kind: str | None
    version: int
    user_id: str
    actor: str
    key: str | None
    occurred_at: datetime | None
    accepted_at: datetime
    payload: str
    is_erased: bool  # its texts and its event's facts were redacted with a person


_RECORDED = """
SELECT asked.id, j.seq, j.kind, j.version, j.user_id, j.actor, j.idempotency_key, j.occurred_at,
       j.accepted_at, j.payload::text, j.fingerprint = decode(repeat('00', 16), 'hex') AS is_erased
FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS asked (id, place)
LEFT JOIN journal j ON j.id = asked.id AND j.tenant_id = %(tenant)s
ORDER BY asked.place"""


def recorded_commands(connection: sa.Connection, tenant_id: str, ids: list[str]) -> list[RecordedCommand]:
    """Return these commands of the tenant in the given order."""
    found = tuples(connection, _RECORDED, ids=f"{{{','.join(ids)}}}", tenant=tenant_id)
    return list(map(RecordedCommand._make, found))


class StoredOutcome(NamedTuple):
    """A stored outcome."""

    id: UUID
    state: str
    reason: str | None
    message: str | None
    data: str | None


_OUTCOMES = "SELECT id, state, reason, message, data::text FROM outcomes WHERE id = ANY(%(ids)s)"


def outcomes(connection: sa.Connection, ids: list[UUID]) -> dict[UUID, StoredOutcome]:
    """Return the outcomes of these commands."""
    if not ids:
        return {}
    return {row[0]: StoredOutcome(*row) for row in tuples(connection, _OUTCOMES, ids=ids)}


class UnfinishedErasure(NamedTuple):
    """A user whose erasure has not finished, so some commands still have the user's id."""

    user_id: str
    pseudonym: str


def unfinished_erasures(connection: sa.Connection, tenant_id: str) -> list[UnfinishedErasure]:
    """Return the users whose commands are partly stored under the user's id, partly under the pseudonym."""
    found = rows(
        connection,
        """SELECT j.user_id, e.pseudonym FROM erasures e JOIN journal j ON j.id = e.command_id
           WHERE e.tenant_id = %(tenant)s AND e.finished_at IS NULL""",
        tenant=tenant_id,
    )
    return [UnfinishedErasure(*row) for row in found]


_CONFIGS = "SELECT version, config FROM tenant_versions WHERE tenant_id = %(tenant)s"


def configurations(connection: sa.Connection, tenant_id: str) -> dict[int, dict[str, Any]]:
    """Return every version of the tenant's configuration."""
    return {row.version: row.config for row in rows(connection, _CONFIGS, tenant=tenant_id)}


# --------------------------------------------------------------------------------------------- their rows

# Immutable rows, by their id, which begins with the millisecond of their batch.
_BY_ID_RANGE = """
SELECT {columns} FROM {table}
WHERE tenant_id = %(tenant)s AND {id} > %(after)s AND {id} <= %(to)s"""

# Rows that only some command kinds write.
_BY_COMMAND = """
SELECT {columns} FROM {table} WHERE command_id = ANY(%(ids)s) AND tenant_id = %(tenant)s"""

_BY_ID = "SELECT {columns} FROM {table} WHERE tenant_id = %(tenant)s AND id = ANY(%(ids)s)"

_OPEN_LOTS = """
SELECT {columns} FROM lots
WHERE tenant_id = %(tenant)s AND account_id = %(account)s AND state IN ('active', 'pending')"""

# Mutable rows, in their final state and in the order of their keys.
_BY_KEY = """
SELECT {columns} FROM {table}
WHERE tenant_id = %(tenant)s AND ({key}) > ({after}) ORDER BY {key} LIMIT %(most)s"""


def by_id_range(
    connection: sa.Connection, table: str, columns: tuple[str, ...], id_column: str, **bounds: Any
) -> list[tuple[Any, ...]]:
    """Return the rows whose id lies above `after` and up to `to`."""
    query = _BY_ID_RANGE.format(columns=", ".join(columns), table=table, id=id_column)
    return tuples(connection, query, **bounds)


def by_command(
    connection: sa.Connection, table: str, columns: tuple[str, ...], tenant_id: str, ids: list[UUID]
) -> list[tuple[Any, ...]]:
    """Return the rows that these commands have written."""
    if not ids:
        return []
    query = _BY_COMMAND.format(columns=", ".join(columns), table=table)
    return tuples(connection, query, tenant=tenant_id, ids=ids)


def page(
    connection: sa.Connection,
    table: str,
    columns: tuple[str, ...],
    tenant_id: str,
    after: tuple[Any, ...],
    most: int,
) -> list[tuple[Any, ...]]:
    """Return the tenant's next rows in key order. The key is the first `len(after)` columns."""
    size = len(after)
    names = ", ".join(f"%(after_{index})s" for index in range(size))
    query = _BY_KEY.format(
        columns=", ".join(columns), table=table, key=", ".join(columns[:size]), after=names
    )
    bounds = {f"after_{index}": value for index, value in enumerate(after)}
    return tuples(connection, query, tenant=tenant_id, most=most, **bounds)


def all_by_key(
    engine: sa.Engine, table: str, columns: tuple[str, ...], tenant_id: str, first: tuple[Any, ...], most: int
) -> Iterator[tuple[Any, ...]]:
    """Yield all of the tenant's rows in key order, page by page in snapshots. `first` is below every key."""
    after = first
    while True:
        with utc_snapshot(engine) as connection:
            found = page(connection, table, columns, tenant_id, after, most)
        yield from found
        if len(found) < most:
            return
        after = found[-1][: len(first)]


def by_id(
    connection: sa.Connection, table: str, columns: tuple[str, ...], tenant_id: str, ids: list[UUID]
) -> list[tuple[Any, ...]]:
    """Return the rows with these ids."""
    return tuples(
        connection, _BY_ID.format(columns=", ".join(columns), table=table), tenant=tenant_id, ids=ids
    )


def open_lots(
    connection: sa.Connection, columns: tuple[str, ...], tenant_id: str, account_id: UUID
) -> list[tuple[Any, ...]]:
    """Return the open lots of an account."""
    query = _OPEN_LOTS.format(columns=", ".join(columns))
    return tuples(connection, query, tenant=tenant_id, account=account_id)


_LATER = """
SELECT e.id FROM entries e JOIN outcomes o ON o.id = e.command_id
WHERE e.tenant_id = %(tenant)s AND e.id = ANY(%(ids)s) AND o.batch > %(batch)s
UNION ALL
SELECT e.id FROM wallet_entries e JOIN outcomes o ON o.id = e.command_id
WHERE e.tenant_id = %(tenant)s AND e.id = ANY(%(ids)s) AND o.batch > %(batch)s"""


def later_entries(connection: sa.Connection, tenant_id: str, batch: int, ids: list[UUID]) -> set[UUID]:
    """Return the entries among these that a batch after this one has written."""
    return {row.id for row in rows(connection, _LATER, tenant=tenant_id, batch=batch, ids=ids)}


_MOVED_ON = """
WITH moved AS (SELECT unnest(ARRAY[j.user_id, j.payload ->> 'to_user_id']) AS user_id
               FROM outcomes o JOIN journal j ON j.id = o.id
               WHERE o.tenant_id = %(tenant)s AND o.batch > %(batch)s)
SELECT DISTINCT moved.user_id, a.id
FROM moved LEFT JOIN accounts a ON a.tenant_id = %(tenant)s AND a.user_id = moved.user_id
WHERE moved.user_id IS NOT NULL"""


def moved_on(engine: sa.Engine, tenant_id: str, batch: int) -> tuple[set[str], set[UUID]]:
    """Return the users of later batches and their accounts. It reads all outcomes."""
    with snapshot(engine) as connection:
        rows(connection, "SELECT set_config('enable_seqscan', 'on', true)")
        found = rows(connection, _MOVED_ON, tenant=tenant_id, batch=batch)
    return {row.user_id for row in found}, {row.id for row in found if row.id}


_LAST_CLOSED = "SELECT max(local_date) FROM closed_windows WHERE tenant_id = %(tenant)s"


def last_closed(connection: sa.Connection, tenant_id: str) -> Any:
    """Return the last day whose windows are closed and may be pruned, or None if there is none."""
    return rows(connection, _LAST_CLOSED, tenant=tenant_id)[0][0]


def tuples(connection: sa.Connection, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return rows in the driver's binary format, which takes a third of the time of text."""
    with driver(connection).cursor(binary=True, row_factory=psycopg.rows.tuple_row) as cursor:
        return cursor.execute(sql, values).fetchall()
