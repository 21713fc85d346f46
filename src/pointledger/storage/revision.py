"""Checks that a database has the tables and lanes that this process needs.

Every process asks at its start, so this module does without Alembic, whose import takes a tenth of a second.
"""

from functools import cache
from importlib.resources import files

import sqlalchemy as sa

from pointledger.errors import DatabaseNotMigrated, LaneCountDiffers
from pointledger.storage.database import AnyConnection, execute


def require_current(engine: sa.Engine, lanes: int) -> None:
    """Raise DatabaseNotMigrated or LaneCountDiffers unless the database fits this process."""
    with engine.connect() as connection:
        revision, head = _revision(connection), newest()
        if revision != head:
            raise DatabaseNotMigrated(f"the database is at revision {revision}, this program needs {head}")
        if differs := lanes_differ(connection, lanes):
            raise differs


@cache
def newest() -> str:
    """Return the revision that this program needs: the number of the last file of migrations."""
    versions = files("pointledger.storage") / "migrations" / "versions"
    numbers = [name[:4] for file in versions.iterdir() if (name := file.name)[:4].isdigit()]
    return max(numbers)


def lane_count(connection: AnyConnection) -> int:
    """Return the number of lanes in the database."""
    return int(execute(connection, "SELECT count(*) FROM lanes").fetchone()[0])


def lanes_differ(connection: AnyConnection, lanes: int) -> LaneCountDiffers | None:
    """Return the error of a process with so many lanes, if the database has another number."""
    if (found := lane_count(connection)) == lanes:
        return None
    return LaneCountDiffers(f"the database has {found} lanes, this process is configured for {lanes}")


def _revision(connection: sa.Connection) -> str | None:
    """Return the database's revision, which Alembic keeps in a table; None before the first migration."""
    if connection.execute(sa.text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found if found is None else str(found)
