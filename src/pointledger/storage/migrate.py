"""Migrates a database to this version and creates its lanes, while processes use it.

Each migration commits by itself, so a killed `migrate` continues where it stopped. A statement waits for a
table's lock only briefly, because everyone else queues behind it; then it gives way and tries again.
`migrations/steps.py` has what large tables need.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from pointledger.errors import LaneCountDiffers, MigrationBlocked, RoleNotMade
from pointledger.storage.database import driver, engine_for
from pointledger.storage.errors import DATABASE_ERRORS, LOCK_TIMED_OUT, sqlstate
from pointledger.storage.revision import lane_count
from pointledger.storage.roles import APP, grant_app, grant_login
from pointledger.storage.urls import effective

DEFAULT_LANES = 16
_MIGRATION_LOCK = 7_205_759_403  # an advisory lock, because two migrations must not race

# While a statement waits for a table, commands queue behind it. A migration locks a handful of tables.
_LOCK_TIMEOUT_MS = 300
_PAUSES_SECONDS = (0.2, 0.5, 1, 2, 5)  # then 5 again: commands that have queued are applied meanwhile
_MOST_ATTEMPTS = 120  # ten minutes: no transaction of the ledger is open for that long
_DEADLOCK = "40P01"
_NO_LIMITS = {"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}

Report = Callable[[str], object]


def migrate(
    owner_url: str,
    lanes: int = DEFAULT_LANES,
    app_url: str | None = None,
    report: Report = lambda _line: None,
    revision: str = "head",
) -> list[str]:
    """Create or upgrade the tables, and grant their use to the role of workers and clients.

    Returns the revisions that it has applied. `report` gets a line for each, and for each wait. Running it
    again changes nothing. Workers and clients connect with `app_url`, whose login is created if it is
    missing. Tests migrate to an older `revision`, which gets neither lanes nor rights.

    Raises RoleNotMade, MigrationBlocked, and LaneCountDiffers if the lane count would change while commands
    are pending.
    """
    engine = engine_for(owner_url, setting="POINTLEDGER_OWNER_URL", limits=_NO_LIMITS)
    sa.event.listen(engine, "begin", _wait_briefly)
    applied: list[str] = []

    def note(step: Any, **_: Any) -> None:
        applied.append(step.up_revision_id)
        report(f"{step.up_revision_id} {' '.join(step.up_revision.doc.split())}")

    def finish() -> None:
        with engine.begin() as connection:
            _create_lanes(connection, lanes)
            _grant(connection, owner_url, app_url)

    try:
        with _alone(engine):
            _until_unlocked(lambda: _upgrade(engine, revision, note), report)
            if revision == "head":
                _until_unlocked(finish, report)
    finally:
        engine.dispose()
    return applied


def _upgrade(engine: sa.Engine, revision: str, note: Callable[..., None]) -> None:
    config = _config()
    with engine.connect() as connection:
        config.attributes.update(connection=connection, on_version_apply=note)
        command.upgrade(config, revision)


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[None]:
    """Wait for other migrations, and keep them away.

    The lock belongs to a transaction that stands still, because a session's lock would fail behind a pooler.
    Its last statement has no parameters: Postgres keeps the snapshot of one that has some, and the build of
    an index would wait for that snapshot.
    """
    with engine.begin() as connection:
        unlimited = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _NO_LIMITS.items())
        connection.execute(sa.text(f"SELECT {unlimited}"))
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        yield


def _wait_briefly(connection: sa.Connection) -> None:
    """Bound what each transaction waits for a lock. The build of an index locks no writer out."""
    if not driver(connection).autocommit:
        driver(connection).execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
        driver(connection).execute("SET LOCAL statement_timeout = 0")


def _until_unlocked(step: Callable[[], None], report: Report) -> None:
    for attempt in range(_MOST_ATTEMPTS):
        try:
            return step()
        except DATABASE_ERRORS as error:
            if sqlstate(error) not in (LOCK_TIMED_OUT, _DEADLOCK):
                raise
        seconds = _PAUSES_SECONDS[min(attempt, len(_PAUSES_SECONDS) - 1)]
        report(f"another session uses a table; the next attempt is in {seconds:g} s")
        time.sleep(seconds)
    raise MigrationBlocked


def _grant(connection: sa.Connection, owner_url: str, app_url: str | None) -> None:
    owner = effective(owner_url, "POINTLEDGER_OWNER_URL")
    app = effective(app_url, "POINTLEDGER_DATABASE_URL") if app_url else owner
    has_role = grant_app(connection)
    if app["user"] == owner["user"]:
        return
    if not has_role:
        raise RoleNotMade(APP)
    grant_login(connection, app["user"], app.get("password"))


def _create_lanes(connection: sa.Connection, lanes: int) -> None:
    found = lane_count(connection)
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


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("pointledger.storage") / "migrations"))
    return config
