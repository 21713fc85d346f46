"""Migrates a database to this version and creates its lanes."""

from functools import cache
from importlib.resources import files

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from pointledger.errors import DatabaseNotMigrated, LaneCountDiffers, RoleNotMade
from pointledger.storage.database import engine_for
from pointledger.storage.roles import APP, grant_app, grant_login
from pointledger.storage.urls import effective

DEFAULT_LANES = 16
_MIGRATION_LOCK = 7_205_759_403  # an advisory lock, because two migrations must not race


def migrate(owner_url: str, lanes: int = DEFAULT_LANES, app_url: str | None = None) -> None:
    """Create or upgrade the tables, and grant their use to the role of workers and clients.

    Running it again changes nothing. Workers and clients connect with `app_url`, whose login is created if it
    is missing. Raises RoleNotMade, and LaneCountDiffers if the lane count would change while commands are
    pending.
    """
    engine = engine_for(owner_url, setting="POINTLEDGER_OWNER_URL")
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            _create_lanes(connection, lanes)
            _grant(connection, owner_url, app_url)
    finally:
        engine.dispose()


def _grant(connection: sa.Connection, owner_url: str, app_url: str | None) -> None:
    owner = effective(owner_url, "POINTLEDGER_OWNER_URL")
    app = effective(app_url, "POINTLEDGER_DATABASE_URL") if app_url else owner
    has_role = grant_app(connection)
    if app["user"] == owner["user"]:
        return
    if not has_role:
        raise RoleNotMade(APP)
    grant_login(connection, app["user"], app.get("password"))


def require_current(engine: sa.Engine, lanes: int) -> None:
    """Raise DatabaseNotMigrated or LaneCountDiffers unless the database fits this process."""
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        head = _head()
        if revision != head:
            raise DatabaseNotMigrated(f"the database is at revision {revision}, this program needs {head}")
        found = _lane_count(connection)
    if found != lanes:
        raise LaneCountDiffers(f"the database has {found} lanes, this process is configured for {lanes}")


def _create_lanes(connection: sa.Connection, lanes: int) -> None:
    found = _lane_count(connection)
    if found == lanes:
        return
    connection.execute(sa.text("LOCK TABLE lanes, pending, failures"))
    waiting = connection.execute(
        sa.text("SELECT EXISTS (SELECT FROM pending) OR EXISTS (SELECT FROM failures)")
    ).scalar_one()
    if waiting:
        raise LaneCountDiffers(f"the database has {found} lanes, not {lanes}, and commands are pending")
    connection.execute(sa.text("DELETE FROM lanes"))
    connection.execute(
        sa.text("INSERT INTO lanes (lane) SELECT generate_series(0, :last)"), {"last": lanes - 1}
    )


def _lane_count(connection: sa.Connection) -> int:
    return int(connection.execute(sa.text("SELECT count(*) FROM lanes")).scalar_one())


@cache
def _head() -> str | None:
    """Return the revision that this program needs, cached because finding it reads every migration."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("pointledger.storage") / "migrations"))
    return config
