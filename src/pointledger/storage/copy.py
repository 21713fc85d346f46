"""Inserts rows: many with COPY, few in a pipeline with INSERT, which COPY cannot join."""

from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from pointledger.storage.database import driver, rows
from pointledger.storage.pipelines import is_pipelined, send


def copy(
    connection: sa.Connection, table: str, columns: tuple[str, ...], lines: list[tuple[Any, ...]]
) -> None:
    """Insert rows in the connection's transaction.

    With many rows, COPY is twice as fast as arrays. It is binary because a row of twenty columns then takes
    1.3 microseconds to write instead of 7.4 as text. Postgres reads it in 2.5 microseconds instead of 4.0
    (measured).
    """
    if not lines:
        return
    types = _types_of(connection, table)
    if is_pipelined(connection):
        _insert(connection, table, types, columns, lines)
        return
    with (
        driver(connection).cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as stream,
    ):
        stream.set_types([types[column].oid for column in columns])
        for line in lines:
            stream.write_row(line)


class _ColumnType(NamedTuple):
    """The type in which a column is sent. The caller passes JSON as text."""

    oid: int
    is_json: bool


_TYPES: dict[str, dict[str, _ColumnType]] = {}  # by table and column

_COLUMN_TYPES = """
SELECT attname, CASE atttypid WHEN 'json'::regtype THEN 'text'::regtype ELSE atttypid END::oid AS type,
       atttypid = 'json'::regtype AS is_json
FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped"""

_BEYOND_64_BITS = 2**63


def _types_of(connection: sa.Connection, table: str) -> dict[str, _ColumnType]:
    """Return the types of a table's columns, cached because every migration restarts the process."""
    if table not in _TYPES:
        found = rows(connection, _COLUMN_TYPES, table=table)
        _TYPES[table] = {name: _ColumnType(oid, is_json) for name, oid, is_json in found}
    return _TYPES[table]


def _insert(
    connection: sa.Connection,
    table: str,
    types: dict[str, _ColumnType],
    columns: tuple[str, ...],
    lines: list[tuple[Any, ...]],
) -> None:
    """Send the rows as JSON: a single row takes a tenth of the time that an array for each column takes."""
    names = ", ".join(columns)
    sql = f"""
INSERT INTO {table} ({names})
SELECT {names} FROM json_populate_recordset(NULL::{table}, %(lines)s::json)"""  # noqa: S608  (constants only)
    objects = [dict(zip(columns, line, strict=True)) for line in lines]
    for name in [column for column in columns if types[column].is_json]:
        for each in objects:
            each[name] = None if each[name] is None else orjson.Fragment(each[name])
    send(connection, sql, lines=orjson.dumps([_with_long_numbers(each) for each in objects]).decode())


def _with_long_numbers(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with integers beyond 64 bits as text, because orjson knows none and Postgres reads
    both."""
    if any(isinstance(value, int) and abs(value) >= _BEYOND_64_BITS for value in values.values()):
        return {name: str(value) if type(value) is int else value for name, value in values.items()}
    return values
