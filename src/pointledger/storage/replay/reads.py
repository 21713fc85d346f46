"""What a replay reads: which commands were applied in which order, and what the ledger keeps of them.

Rows that never change are read in short snapshots, up to a batch number behind which nothing is under way any
more: so nobody waits for a replay, and no snapshot grows old.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import sqlalchemy as sa

from pointledger.storage.database import driver, rows
from pointledger.storage.invariants.base import snapshot

reading = snapshot  # a moment of the ledger, for one piece

# ------------------------------------------------------------------------------------------- the order

_DRAWN = "SELECT coalesce(pg_sequence_last_value('batch_numbers'::regclass), 0), clock_timestamp()"

# A batch has written something, and so has a transaction number, before it draws its place in the order.
_WRITING = """
SELECT l.transactionid::text AS xid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'transactionid' AND l.granted AND a.datname = current_database()"""


class Horizon(NamedTuple):
    """The last batch number that was drawn, when that was read, and which transactions that had written were
    open then."""

    batch: int
    moment: datetime
    writing: frozenset[str]


def horizon(engine: sa.Engine) -> Horizon:
    """As of now."""
    with snapshot(engine) as connection:
        batch, moment = rows(connection, _DRAWN)[0]
        return Horizon(int(batch), moment, frozenset(row.xid for row in rows(connection, _WRITING)))


def is_settled(engine: sa.Engine, horizon: Horizon) -> bool:
    """Whether all of those transactions have ended."""
    with snapshot(engine) as connection:
        return horizon.writing.isdisjoint(row.xid for row in rows(connection, _WRITING))


# A tenant's id has no blank.
_ORDER = """
SELECT concat_ws(' ', tenant_id, coalesce(batch::text, '-'), id) FROM outcomes
WHERE (batch <= %(batch)s OR batch IS NULL AND reason IS DISTINCT FROM 'CANCELLED')
  AND tenant_id > %(after)s AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
ORDER BY tenant_id, batch NULLS FIRST, place"""
_FETCHED = 10_000  # lines in one answer: half a megabyte

_SORTING = """
SELECT set_config('enable_seqscan', 'on', true), set_config('work_mem', '64MB', true),
       set_config('statement_timeout', '0', true), set_config('cursor_tuple_fraction', '1', true)"""


def order(engine: sa.Engine, batch: int, *, tenant_id: str | None, after: str) -> Iterator[list[str]]:
    """Every decided command in the order of application, tenant by tenant: lines of tenant, batch and id,
    many at once. Those of a tenant whose order was not recorded come first, with `-`.

    One statement, which reads all outcomes; what it gives is to be put aside at once.
    """
    with snapshot(engine) as connection:
        rows(connection, _SORTING)
        plain = psycopg.rows.tuple_row
        with driver(connection).cursor("order_of_application", row_factory=plain) as cursor:
            cursor.execute(_ORDER, {"batch": batch, "after": after, "tenant": tenant_id})
            while found := cursor.fetchmany(_FETCHED):
                yield [line for (line,) in found]


# --------------------------------------------------------------------------------------------- commands


class Recorded(NamedTuple):
    """A command as the journal has it, and its outcome. `kind` is None where it is in no journal."""

    batch: int
    applied_at: datetime
    tenant_version: int | None
    rule_versions: int | None
    state: str
    reason: str | None
    message: str | None
    data: str | None
    id: UUID
    tenant_id: str
    seq: int
    kind: str | None
    version: int
    user_id: str
    actor: str
    key: str | None
    occurred_at: datetime | None
    accepted_at: datetime
    payload: str
    is_erased: bool  # its words and its event's facts are gone, with a person


_RECORDED = """
SELECT o.batch, o.applied_at, o.tenant_version, o.rule_versions, o.state, o.reason, o.message, o.data::text,
       o.id, o.tenant_id, j.seq, j.kind, j.version, j.user_id, j.actor, j.idempotency_key, j.occurred_at,
       j.accepted_at,
       j.payload::text, j.fingerprint = decode(repeat('00', 16), 'hex') AS is_erased
FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS asked (id, place)
JOIN outcomes o ON o.id = asked.id
LEFT JOIN journal j ON j.id = o.id AND j.tenant_id = o.tenant_id
ORDER BY asked.place"""


def recorded(connection: sa.Connection, ids: list[str]) -> list[Recorded]:
    """These commands with their outcomes, in the order in which they are asked for."""
    return list(map(Recorded._make, _tuples(connection, _RECORDED, ids=f"{{{','.join(ids)}}}")))


class Erased(NamedTuple):
    """Somebody whom the search of an erasure may still find by name."""

    user_id: str
    pseudonym: str


def being_erased(connection: sa.Connection, tenant_id: str) -> list[Erased]:
    """Whose commands are partly under the name and partly under the pseudonym."""
    found = rows(
        connection,
        """SELECT j.user_id, e.pseudonym FROM erasures e JOIN journal j ON j.id = e.command_id
           WHERE e.tenant_id = %(tenant)s AND e.finished_at IS NULL""",
        tenant=tenant_id,
    )
    return [Erased(*row) for row in found]


_CONFIGS = "SELECT version, config FROM tenant_versions WHERE tenant_id = %(tenant)s"


def configurations(connection: sa.Connection, tenant_id: str) -> dict[int, dict[str, Any]]:
    """Every version of the tenant's configuration."""
    return {row.version: row.config for row in rows(connection, _CONFIGS, tenant=tenant_id)}


# ------------------------------------------------------------------------------- what is kept of them

# Rows that never change, by the id that begins with the moment of their batch.
_BY_MOMENT = """
SELECT {columns} FROM {table}
WHERE tenant_id = %(tenant)s AND {id} > %(after)s AND {id} <= %(to)s"""

# Rows of commands of some kinds only.
_BY_COMMAND = """
SELECT {columns} FROM {table} WHERE command_id = ANY(%(ids)s) AND tenant_id = %(tenant)s"""

_BY_ID = "SELECT {columns} FROM {table} WHERE tenant_id = %(tenant)s AND id = ANY(%(ids)s)"

_LIVING = """
SELECT {columns} FROM lots
WHERE tenant_id = %(tenant)s AND account_id = ANY(%(accounts)s) AND state = 'active'
UNION ALL
SELECT {columns} FROM lots
WHERE tenant_id = %(tenant)s AND account_id = ANY(%(accounts)s) AND state = 'pending'"""

# Rows that change: as they stand in the end, in the order of their keys.
_IN_ORDER = """
SELECT {columns} FROM {table}
WHERE tenant_id = %(tenant)s AND ({key}) > ({after}) ORDER BY {key} LIMIT %(most)s"""


def by_moment(
    connection: sa.Connection, table: str, columns: tuple[str, ...], id_column: str, **bounds: Any
) -> list[tuple[Any, ...]]:
    """Rows whose id lies above `after` and up to `to`."""
    asked = _BY_MOMENT.format(columns=", ".join(columns), table=table, id=id_column)
    return _tuples(connection, asked, **bounds)


def by_command(
    connection: sa.Connection, table: str, columns: tuple[str, ...], tenant_id: str, ids: list[UUID]
) -> list[tuple[Any, ...]]:
    """Rows that these commands have written."""
    if not ids:
        return []
    asked = _BY_COMMAND.format(columns=", ".join(columns), table=table)
    return _tuples(connection, asked, tenant=tenant_id, ids=ids)


def in_order(
    engine: sa.Engine, table: str, columns: tuple[str, ...], tenant_id: str, first: tuple[Any, ...], most: int
) -> Iterator[tuple[Any, ...]]:
    """All of the tenant's rows in the order of the key, which is the first columns; `first` lies below all.
    Page by page, each in a snapshot of its own."""
    size = len(first)
    names = ", ".join(f"%(after_{index})s" for index in range(size))
    asked = _IN_ORDER.format(
        columns=", ".join(columns), table=table, key=", ".join(columns[:size]), after=names
    )
    after = first
    while True:
        with snapshot(engine) as connection:
            bounds = {f"after_{index}": value for index, value in enumerate(after)}
            page = _tuples(connection, asked, tenant=tenant_id, most=most, **bounds)
        yield from page
        if len(page) < most:
            return
        after = page[-1][:size]


def by_id(
    connection: sa.Connection, table: str, columns: tuple[str, ...], tenant_id: str, ids: list[UUID]
) -> list[tuple[Any, ...]]:
    """The rows of these ids."""
    return _tuples(
        connection, _BY_ID.format(columns=", ".join(columns), table=table), tenant=tenant_id, ids=ids
    )


def accounts_in_order(
    engine: sa.Engine, columns: tuple[str, ...], lot_columns: tuple[str, ...], tenant_id: str, most: int
) -> Iterator[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]:
    """All accounts by user, the first column, each with its lots that are not at their end; page by page."""
    asked = _IN_ORDER.format(columns=", ".join(columns), table="accounts", key=columns[0], after="%(after)s")
    asked_lots = _LIVING.format(columns=", ".join(lot_columns))
    account_id, owner, after = columns.index("id"), lot_columns.index("account_id"), ""
    while True:
        with snapshot(engine) as connection:
            page = _tuples(connection, asked, tenant=tenant_id, most=most, after=after)
            ids = [row[account_id] for row in page]
            lots: dict[UUID, list[tuple[Any, ...]]] = defaultdict(list)
            for lot in _tuples(connection, asked_lots, tenant=tenant_id, accounts=ids):
                lots[lot[owner]].append(lot)
        for row in page:
            yield row, lots[row[account_id]]
        if len(page) < most:
            return
        after = page[-1][0]


_LATER = """
SELECT e.id FROM entries e JOIN outcomes o ON o.id = e.command_id
WHERE e.tenant_id = %(tenant)s AND e.id = ANY(%(ids)s) AND o.batch > %(batch)s
UNION ALL
SELECT e.id FROM wallet_entries e JOIN outcomes o ON o.id = e.command_id
WHERE e.tenant_id = %(tenant)s AND e.id = ANY(%(ids)s) AND o.batch > %(batch)s"""


def later_entries(connection: sa.Connection, tenant_id: str, batch: int, ids: list[UUID]) -> set[UUID]:
    """Those of these entries that a later batch has written."""
    return {row.id for row in rows(connection, _LATER, tenant=tenant_id, batch=batch, ids=ids)}


_MOVED_ON = """
WITH moved AS (SELECT unnest(ARRAY[j.user_id, j.payload ->> 'to_user_id']) AS user_id
               FROM outcomes o JOIN journal j ON j.id = o.id
               WHERE o.tenant_id = %(tenant)s AND o.batch > %(batch)s)
SELECT DISTINCT moved.user_id, a.id
FROM moved LEFT JOIN accounts a ON a.tenant_id = %(tenant)s AND a.user_id = moved.user_id
WHERE moved.user_id IS NOT NULL"""


def moved_on(engine: sa.Engine, tenant_id: str, batch: int) -> tuple[set[str], set[UUID]]:
    """Users whom a later batch has touched, and their accounts. Reads all outcomes."""
    with snapshot(engine) as connection:
        rows(connection, "SELECT set_config('enable_seqscan', 'on', true)")
        found = rows(connection, _MOVED_ON, tenant=tenant_id, batch=batch)
    return {row.user_id for row in found}, {row.id for row in found if row.id}


_LAST_CLOSED = "SELECT max(local_date) FROM closed_windows WHERE tenant_id = %(tenant)s"


def last_closed(connection: sa.Connection, tenant_id: str) -> Any:
    """The last day whose windows were closed, and may have been forgotten since; None: none was."""
    return rows(connection, _LAST_CLOSED, tenant=tenant_id)[0][0]


def _tuples(connection: sa.Connection, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """Rows as the driver makes them, in binary: a third of the time of reading them as text."""
    with driver(connection).cursor(binary=True, row_factory=psycopg.rows.tuple_row) as cursor:
        return cursor.execute(sql, values).fetchall()
