"""Runs the invariants' queries on a ledger in use.

A walk reads a table by its key in chunks, each in its own REPEATABLE READ, READ ONLY snapshot. So the queries
of a chunk compare one moment and block no worker. No snapshot gets so old that dead index entries of
`pending` pile up. Every query bounds the tables that it starts from by the chunk, and reaches the others by
index. So a chunk costs the same in a large ledger as in a small one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows, run

BEFORE_ANY_TENANT, AFTER_ANY_TENANT = "", "~"  # their ids begin with a letter or a digit
FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)

_STATEMENT_TIMEOUT_MS = 600_000  # enough for an account with ten million entries; others take a second
_RANDOM_BITS = (1 << 80) - 1  # of an id, below its millisecond

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Invariant:
    """A statement that must be true, and the query for the rows that violate it."""

    id: str
    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Walk:
    """A table in the order of a unique key, with the invariants of its rows and of rows that refer to them.

    `first` and `last` lie outside all keys. `end` overrides the query for a chunk's end. With
    `whole_milliseconds`, rows of one millisecond, and so of one batch, stay in one chunk.
    """

    table: str
    key: tuple[str, ...]
    first: Key
    last: Key
    rows_at_once: int
    invariants: tuple[Invariant, ...]
    end: str | None = None
    whole_milliseconds: bool = False

    def of_tenant(self, tenant_id: str) -> "Walk | None":
        """Return the part of the walk that is about one tenant; None if its key does not begin with one."""
        if self.key[0] != "tenant_id":
            return None
        # No tenant's id has this character, so no key lies between the tenant's last one and this one.
        last = (f"{tenant_id}\x01", *self.first[1:])
        return replace(self, first=(tenant_id, *self.first[1:]), last=last)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The keys above `after`, up to `to` inclusive."""

    after: Key
    to: Key

    def as_values(self) -> dict[str, Any]:
        """Return the bounds under the names that `within` uses."""
        bounds = {"after": self.after, "to": self.to}
        return {f"{name}_{index}": part for name, key in bounds.items() for index, part in enumerate(key)}


@dataclass(frozen=True, slots=True)
class Violations:
    """The number of rows that violate an invariant in one chunk, and the first of them."""

    count: int
    rows: list[dict[str, Any]]


def within(*columns: str) -> str:
    """Return the condition for rows of the chunk, which is one range of an index on these columns."""
    names = ", ".join(columns)
    after = ", ".join(f"%(after_{index})s" for index in range(len(columns)))
    to = ", ".join(f"%(to_{index})s" for index in range(len(columns)))
    return f"({names}) > ({after}) AND ({names}) <= ({to})"


ACCOUNTS_HERE = within("a.tenant_id", "a.id")  # the accounts of a chunk
ENTRIES_HERE = within("e.tenant_id", "e.account_id")  # their entries
ENTRIES_KEY = ("tenant_id", "account_id")  # the columns that bound those

_BEGIN = """
SELECT set_config('statement_timeout', %(statement)s, true),
       set_config('jit', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true),
       set_config('enable_seqscan', 'off', true)"""


@contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a read-only snapshot, which sees no later commit and blocks no worker.

    It forces index plans because the planner cannot estimate the rows between two keys, and sometimes reads a
    whole table for a chunk. It uses one core because the workers need the others.
    """
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            run(connection, _BEGIN, statement=str(_STATEMENT_TIMEOUT_MS))
            yield connection


def next_chunk(connection: sa.Connection, walk: Walk, after: Key) -> Chunk:
    """Return the chunk after this key; the last one ends at `walk.last`."""
    end = walk.end or _end_of_chunk(walk)
    found = rows(connection, end, most=walk.rows_at_once, **Chunk(after, walk.last).as_values())
    if not found:
        return Chunk(after, walk.last)
    to = tuple(found[0])
    if walk.whole_milliseconds:
        to = (*to[:-1], UUID(int=to[-1].int | _RANDOM_BITS))
    return Chunk(after, to)


def _end_of_chunk(walk: Walk) -> str:
    key = ", ".join(walk.key)
    return (
        f"SELECT {key} FROM {walk.table} WHERE {within(*walk.key)} "  # noqa: S608  (constants only)
        f"ORDER BY {key} OFFSET %(most)s - 1 LIMIT 1"
    )


def violations(
    connection: sa.Connection, invariant: Invariant, chunk: Chunk, most: int, **values: Any
) -> Violations:
    """Count the violations of the invariant in this chunk, and return at most so many of the rows."""
    found = rows(
        connection,
        f"SELECT *, count(*) OVER () AS in_all FROM ({invariant.sql}) AS found LIMIT %(most)s",  # noqa: S608
        most=max(most, 1),  # one row carries the count
        **chunk.as_values(),
        **values,
    )
    shown = [row._asdict() for row in found]
    count = shown[0]["in_all"] if shown else 0
    for row in shown:
        del row["in_all"]
    return Violations(count, shown[:most])


def size(connection: sa.Connection, table: str, columns: tuple[str, ...], chunk: Chunk) -> int:
    """Count the table's rows in the chunk."""
    counting = f"SELECT count(*) FROM {table} WHERE {within(*columns)}"  # noqa: S608  (constants only)
    return int(rows(connection, counting, **chunk.as_values())[0][0])
