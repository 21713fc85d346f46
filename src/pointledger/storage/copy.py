"""Inserts many rows with COPY."""

from typing import Any

import sqlalchemy as sa

from pointledger.storage.database import driver, rows


def copy(
    connection: sa.Connection, table: str, columns: tuple[str, ...], lines: list[tuple[Any, ...]]
) -> None:
    """Insert many rows in the connection's transaction.

    COPY is twice as fast as arrays. It is binary because a row of twenty columns then takes 1.3 microseconds
    to write instead of 7.4 as text. Postgres reads it in 2.5 microseconds instead of 4.0 (measured).
    """
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


_TYPES: dict[str, dict[str, int]] = {}  # by table and column

# The caller passes JSON as text.
_COLUMN_TYPES = """
SELECT attname, CASE atttypid WHEN 'json'::regtype THEN 'text'::regtype ELSE atttypid END::oid AS type
FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped"""


def _types_of(connection: sa.Connection, table: str) -> dict[str, int]:
    """Return the types of a table's columns, cached because every migration restarts the process."""
    if table not in _TYPES:
        _TYPES[table] = dict(rows(connection, _COLUMN_TYPES, table=table))
    return _TYPES[table]
