"""Queries that must find nothing, and how they are asked of a ledger at work.

A table is walked by its key, chunk after chunk, each in a REPEATABLE READ, READ ONLY snapshot of its own:
what one chunk's queries compare is of one moment, nobody waits for them, and no snapshot grows so old that
dead index entries of `pending` pile up behind it. Every query names the chunk's bounds for each table that
it begins at and reaches all else by index, so that a chunk costs the same in a large ledger as in a small.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows, run

BEFORE_ANY_TENANT, AFTER_ANY_TENANT = "", "~"  # their ids begin with a letter or a digit
FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)

_STATEMENT_TIMEOUT_MS = 600_000  # one account with ten million entries; anything else takes a second
_RANDOM_BITS = (1 << 80) - 1  # of an id, below its millisecond

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Invariant:
    """A fact, and the query for the rows that belie it."""

    id: str
    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Walk:
    """A table in the order of a unique key, and what must be true of its rows and of what hangs on them.

    `first` and `last` lie outside all keys. `end` overrides where a chunk ends. `whole_milliseconds`: what
    was made in one millisecond, and so all that one batch has made, stays in one chunk.
    """

    table: str
    key: tuple[str, ...]
    first: Key
    last: Key
    rows_at_once: int
    invariants: tuple[Invariant, ...]
    end: str | None = None
    whole_milliseconds: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """The keys above `after`, up to and including `to`."""

    after: Key
    to: Key

    def as_values(self) -> dict[str, Any]:
        """The bounds under the names that `within` uses."""
        bounds = {"after": self.after, "to": self.to}
        return {f"{name}_{index}": part for name, key in bounds.items() for index, part in enumerate(key)}


@dataclass(frozen=True, slots=True)
class Offences:
    """The rows that belie an invariant in one chunk: how many, and the first of them."""

    count: int
    rows: list[dict[str, Any]]


def within(*columns: str) -> str:
    """The condition that a row of the chunk meets; one index range, given an index on these columns."""
    names = ", ".join(columns)
    after = ", ".join(f"%(after_{index})s" for index in range(len(columns)))
    to = ", ".join(f"%(to_{index})s" for index in range(len(columns)))
    return f"({names}) > ({after}) AND ({names}) <= ({to})"


ACCOUNTS_HERE = within("a.tenant_id", "a.id")  # of a chunk of accounts
ENTRIES_HERE = within("e.tenant_id", "e.account_id")  # their entries
ENTRIES_KEY = ("tenant_id", "account_id")  # what bounds these

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
    """A moment of the ledger; it sees nothing that commits later and holds up nobody.

    The plans go by indexes only: how many rows lie between two keys the planner cannot tell, and would now
    and then read a whole table for a chunk. One core at most: the workers need the others.
    """
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            run(connection, _BEGIN, statement=str(_STATEMENT_TIMEOUT_MS))
            yield connection


def next_chunk(connection: sa.Connection, walk: Walk, after: Key) -> Chunk:
    """The chunk that begins after this key; the one that ends at `walk.last` is the last."""
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
        f"SELECT {key} FROM {walk.table} WHERE {within(*walk.key)} "  # noqa: S608  (names of ours)
        f"ORDER BY {key} OFFSET %(most)s - 1 LIMIT 1"
    )


def offences(
    connection: sa.Connection, invariant: Invariant, chunk: Chunk, most: int, **values: Any
) -> Offences:
    """What belies the invariant in this chunk: the count of it all, and at most so many rows."""
    found = rows(
        connection,
        f"SELECT *, count(*) OVER () AS in_all FROM ({invariant.sql}) AS offence LIMIT %(most)s",  # noqa: S608
        most=max(most, 1),  # one carries the count
        **chunk.as_values(),
        **values,
    )
    shown = [row._asdict() for row in found]
    count = shown[0]["in_all"] if shown else 0
    for row in shown:
        del row["in_all"]
    return Offences(count, shown[:most])


def size(connection: sa.Connection, table: str, columns: tuple[str, ...], chunk: Chunk) -> int:
    """How many rows of the table the chunk has."""
    counting = f"SELECT count(*) FROM {table} WHERE {within(*columns)}"  # noqa: S608  (names of ours)
    return int(rows(connection, counting, **chunk.as_values())[0][0])
