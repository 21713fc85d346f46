"""Opens settings, database and client for one command."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from pointledger.cli.output import note
from pointledger.client.acceptor import Acceptance
from pointledger.client.backlog import Backlog
from pointledger.client.client import PointsClient
from pointledger.client.queries.ledger import LedgerQueries
from pointledger.errors import LedgerError, SettingsInvalid
from pointledger.events.retry import retry_at_start
from pointledger.logs import Log
from pointledger.messaging import redis_client
from pointledger.messaging.celery_app import producer_app
from pointledger.messaging.doorbell import Doorbells
from pointledger.observability.doctor import require_safe
from pointledger.settings import Settings, from_environment
from pointledger.storage.database import bounded_engine_for, engine_for
from pointledger.storage.revision import require_current

HOME = Path(".data")  # of the embedded servers, in the current folder; ./dev run uses it too

_log = Log(__name__)


@contextmanager
def opened_settings() -> Iterator[Settings]:
    """Open the environment's settings. Raises SettingsInvalid and ServersUnavailable.

    If they name no server, use the embedded servers under `.data/`. They are started for this command unless
    they already run.
    """
    settings = from_environment()
    # Never mix a given server with an embedded one. Beat needs no more than a broker.
    if settings.database_url or settings.redis_url or settings.broker_url:
        yield settings
        return
    from pointledger.embedded import EmbeddedServers  # noqa: PLC0415  only needed without given servers

    note(f"POINTLEDGER_DATABASE_URL is not set; using the embedded servers in {HOME}/", "dim")
    with EmbeddedServers(HOME) as urls:
        yield settings.model_copy(update=urls.as_settings())


@contextmanager
def opened_database(
    settings: Settings, stop: threading.Event | None = None, *, safe: bool = False
) -> Iterator[sa.Engine]:
    """Open the database. Raises DatabaseNotMigrated, LaneCountDiffers, and with `safe` UnsafeConfiguration.

    With `stop`, for a process that runs until it is set: wait until the database answers.
    """
    with named_url_errors():
        engine = engine_for(settings.database, pgbouncer=settings.pgbouncer)

    def check() -> None:
        require_current(engine, settings.lanes)
        if safe:
            require_safe(engine, settings)

    try:
        if stop is None:
            check()
        else:
            retry_at_start(check, _log, stop.is_set, stop.wait)
        yield engine
    finally:
        engine.dispose()


@contextmanager
def opened_client(settings: Settings) -> Iterator[PointsClient]:
    """Open a client."""
    with named_url_errors():
        client = PointsClient.connect(settings)
    with client:
        yield client


@contextmanager
def opened_acceptance(settings: Settings, backlog: Backlog | None = None) -> Iterator[Acceptance]:
    """Open an acceptor with the callers' limits. `backlog` limits what it accepts."""
    database = bounded_engine_for(settings)
    doorbells = Doorbells(redis_client.connect(settings), producer_app(settings), settings)
    try:
        yield Acceptance(database, doorbells, settings, backlog)
    finally:
        doorbells.close()
        database.dispose()


@contextmanager
def opened_queries() -> Iterator[LedgerQueries]:
    """Open the ledger's queries, which do not need Redis."""
    with opened_settings() as settings, opened_database(settings) as database:
        yield LedgerQueries(database)


@contextmanager
def reading() -> Iterator[sa.Connection]:
    """Open a connection for reading."""
    with opened_settings() as settings, opened_database(settings) as database, database.connect() as opened:
        yield opened


@contextmanager
def writing() -> Iterator[sa.Connection]:
    """Open a transaction that commits if the block succeeds."""
    with opened_settings() as settings, opened_database(settings) as database, database.begin() as opened:
        yield opened


@contextmanager
def named_url_errors() -> Iterator[None]:
    """Raise SettingsInvalid, with the settings' names, for a malformed URL."""
    try:
        yield
    except LedgerError:
        raise
    except ValueError as error:  # raised by URL parsers
        raise SettingsInvalid(f"POINTLEDGER_DATABASE_URL or POINTLEDGER_REDIS_URL: {error}") from None
