"""What a migration does with large tables of a live ledger, so that no command waits for it.

A statement that locks a table waits for the lock for a moment only (`storage/migrate.py`), because everyone
else queues behind it. So it must also be brief once it has the lock: it may not read or write rows. What
reads rows is here, in steps of its own that lock no writer out. `migrate` may be killed between any two of
them, so each finds out what is done already.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

_PAGE = 500  # rows that one transaction rewrites: some milliseconds

_IS_VALID = """
SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relname = :name AND c.relnamespace = current_schema()::regnamespace"""

_HAS_COLUMN = """
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attname = :column
                                          AND NOT attisdropped)"""


def build_index(name: str, definition: str, *, unique: bool = False) -> None:
    """Build an index while others write. `definition` begins with the table.

    A killed build leaves an invalid index, which is dropped and built again.
    """
    with outside_transactions() as connection:
        is_valid = connection.execute(sa.text(_IS_VALID), {"name": name}).scalar()
        if is_valid:
            return
        if is_valid is not None:
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {name}")
        kind = "UNIQUE INDEX" if unique else "INDEX"
        connection.exec_driver_sql(f"CREATE {kind} CONCURRENTLY {name} ON {definition}")


def validate(table: str, *constraints: str) -> None:
    """Check the rows against constraints that were added as NOT VALID, while others write."""
    with outside_transactions() as connection:
        for constraint in constraints:
            connection.exec_driver_sql(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")


def rewrite_rows(table: str, key: str, update: str, condition: str) -> None:
    """Change rows of an append-only table, page by page, each page in a transaction of its own.

    The table's guard is lifted for a page only, because that locks writers out. The owner may lift it.
    """
    with outside_transactions() as connection:
        ids = connection.execute(sa.text(f"SELECT {key} FROM {table} WHERE {condition}")).scalars().all()  # noqa: S608
    for start in range(0, len(ids), _PAGE):
        commit()
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_rows_stay")
        page = sa.text(f"UPDATE {table} SET {update} WHERE {key} = ANY(:ids) AND {condition}")  # noqa: S608
        op.get_bind().execute(page, {"ids": ids[start : start + _PAGE]})
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_rows_stay")
    commit()


def has_column(table: str, column: str) -> bool:
    """Return whether the table exists and has the column: what a killed migration has done is not redone."""
    found = op.get_bind().execute(sa.text(_HAS_COLUMN), {"table": table, "column": column})
    return bool(found.scalar())


def commit() -> None:
    """End the transaction, so that its locks go, and begin another one."""
    with outside_transactions():
        pass


@contextmanager
def outside_transactions() -> Iterator[sa.Connection]:
    """Commit what was done, and yield the connection in autocommit mode."""
    with op.get_context().autocommit_block():
        yield op.get_bind()
