"""Records what real code sends to Postgres, and how Postgres reads its tables for each statement."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

_TESTS = Path(__file__).parents[1]
_PLANNED = re.compile(r"(?:\s|--[^\n]*\n)*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_BY_INDEX = "SELECT current_setting('enable_seqscan')"
_NOT_BY_INDEX = ("enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_bitmapscan")


class Sent(NamedTuple):
    """A statement, the values of its first call, and whether its session permits index plans only."""

    text: str
    values: Any
    by_index: bool


@contextmanager
def recorded() -> Iterator[dict[str, Sent]]:
    """Record each different statement that any psycopg cursor executes in the block."""
    found: dict[str, Sent] = {}
    execute = psycopg.Cursor.execute

    def record(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        done = execute(cursor, query, params, **options)
        if isinstance(query, str) and query not in found and _PLANNED.match(query) and _is_ours():
            setting = cursor.connection.cursor(row_factory=psycopg.rows.scalar_row)
            found[query] = Sent(query, params, execute(setting, _BY_INDEX).fetchone() == "off")
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", record)
        yield found


def _is_ours() -> bool:
    """Return whether the statement is not of a test: the caller of the storage floor is in the package."""
    frame = sys._getframe(2)
    while frame.f_back and _is_between(Path(frame.f_code.co_filename)):
        frame = frame.f_back
    return _TESTS not in Path(frame.f_code.co_filename).parents


def _is_between(file: Path) -> bool:
    return file.name in ("database.py", "pipelines.py") or "site-packages" in file.parts


# --------------------------------------------------------------------------------------------- growing

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique
                                        AND a.attnum = ANY (i.indkey::int2[])) AS is_unique
FROM pg_attribute a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum"""

_NEW_VALUES = {
    "uuid": "gen_random_uuid()",
    "bigint": "t.{name} + 1000000 + n",
    "text": "t.{name} || n",
    "bytea": "decode(md5(n::text), 'hex')",
}
_SHARED = ("tenant_id", "lane", "kind", "actor", "entry_point")  # by all copies, as in a large tenant


def grow(connection: psycopg.Connection[Any], table: str, count: int) -> None:
    """Copy the table's first row `count` times, with other values in its unique columns."""
    columns = connection.execute(_COLUMNS, [table]).fetchall()
    values = [
        sql.SQL(
            f"CASE WHEN t.{{name}} IS NOT NULL THEN {_NEW_VALUES.get(kind, 't.{name}')} END"
            if is_unique and name not in _SHARED
            else "t.{name}"
        ).format(name=sql.Identifier(name))
        for name, kind, is_unique in columns
    ]
    statement = sql.SQL(
        "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE "
        "SELECT {values} FROM (SELECT * FROM {table} LIMIT 1) t, generate_series(1, {count}) n"
    )
    connection.execute(
        statement.format(
            table=sql.Identifier(table),
            names=sql.SQL(", ").join(sql.Identifier(name) for name, *_ in columns),
            values=sql.SQL(", ").join(values),
            count=count,
        )
    )


# ------------------------------------------------------------------------------------------ statistics


def forget_statistics(connection: psycopg.Connection[Any], tables: Sequence[str]) -> None:
    """Make the tables look as if no one had ever analyzed them."""
    names = [list(tables)]
    connection.execute("DELETE FROM pg_statistic WHERE starelid = ANY (%s::text[]::regclass[])", names)
    connection.execute(
        "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = ANY (%s::text[]::regclass[])", names
    )


def remember_as_empty(connection: psycopg.Connection[Any], tables: Sequence[str]) -> None:
    """Make the tables look as if they were vacuumed while all their pages were empty, like queues after a
    backlog. However many rows come then, Postgres expects one."""
    connection.execute(
        "UPDATE pg_class SET reltuples = 0, relpages = pg_relation_size(oid) / 8192 "
        "WHERE oid = ANY (%s::text[]::regclass[])",
        [list(tables)],
    )


# --------------------------------------------------------------------------------------------- reading


class Read(NamedTuple):
    """How a plan reads a table.

    `condition` is that of the index or of the rows' places, `is_limited` whether a LIMIT ends the scan, and
    `rows` how many rows it looked at, or None if the plan did not execute this node. `skips`: the condition
    leaves out a column of the index, so it searches once for each value of that column. Before version 18,
    Postgres reads all of the index instead.
    """

    table: str
    node: str
    condition: str | None
    is_limited: bool
    rows: float | None
    skips: bool = False

    def is_within(self, most: int) -> bool:
        """Whether it reads by index and few rows, however large the table is."""
        if self.node == "Seq Scan" or (self.rows or 0) > most or self.skips:
            return False
        is_first_row = self.rows is not None and self.rows <= 1  # EXISTS ends a scan without a LIMIT
        return self.condition is not None or self.is_limited or is_first_row


class Plans:
    """Runs statements on a connection of the owner, rolls them back, and tells how each one reads."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._plans: list[Any] = []
        connection.add_notice_handler(self._notice)
        connection.execute("LOAD 'auto_explain'")
        for name, value in {
            "auto_explain.log_min_duration": "0",
            "auto_explain.log_analyze": "on",
            "auto_explain.log_timing": "off",
            "auto_explain.log_format": "json",
            "auto_explain.log_level": "notice",
            "client_min_messages": "notice",
        }.items():
            connection.execute(sql.SQL("SET {} = {}").format(sql.Identifier(*name.split(".")), value))

    def reads(self, sent: Sent, *, generic: bool) -> list[Read]:
        """Return how the statement reads each table. `generic`: with the plan for any values.

        A statement that would write the same row again is planned only, so its numbers of rows are 0.
        """
        try:
            self._run(sent, generic=generic)
            plans = self._plans
        except psycopg.errors.IntegrityError:
            found = self._connection.execute(f"EXPLAIN (FORMAT JSON) {sent.text}", sent.values).fetchone()
            plans = found[0] if found else []
        return [read for plan in plans for read in _reads(plan["Plan"])]

    def _run(self, sent: Sent, *, generic: bool) -> None:
        with self._connection.transaction(force_rollback=True):
            mode = "force_generic_plan" if generic else "force_custom_plan"
            self._connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            if sent.by_index:
                for name in _NOT_BY_INDEX:
                    self._connection.execute(f"SET LOCAL {name} = off")
            self._plans.clear()
            self._connection.execute(sent.text, sent.values, prepare=True)

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        _, found, plan = (diagnostic.message_primary or "").partition("plan:\n")
        if found:
            self._plans.append(json.loads(plan))


def _reads(node: dict[str, Any], *, is_limited: bool = False) -> Iterator[Read]:
    is_limited |= node["Node Type"] == "Limit"
    if (table := node.get("Relation Name")) and "Scan" in node["Node Type"]:
        loops = node.get("Actual Loops", 0)
        looked_at = node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)
        condition = node.get("Index Cond") or node.get("Recheck Cond") or node.get("TID Cond")
        skips = node.get("Index Searches", 0) > loops and "ANY (" not in (condition or "")
        rows = looked_at * loops if loops else None
        yield Read(table, node["Node Type"], condition, is_limited, rows, skips)
    for child in node.get("Plans", ()):
        yield from _reads(child, is_limited=is_limited)
