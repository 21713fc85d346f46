"""Settings, database and client for the length of one command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from pointledger.cli.output import note
from pointledger.client.acceptor import Acceptance
from pointledger.client.backlog import Backlog
from pointledger.client.client import PointsClient
from pointledger.client.queries.ledger import Lookups
from pointledger.errors import LedgerError, SettingsInvalid
from pointledger.messaging import redis_client
from pointledger.messaging.celery_app import producer_app
from pointledger.messaging.doorbell import Doorbells
from pointledger.settings import Settings, from_environment
from pointledger.storage.database import engine_for
from pointledger.storage.migrate import require_current

HOME = Path(".data")  # of the embedded servers, in the current folder; ./dev run has its own there, too


@contextmanager
def opened_settings() -> Iterator[Settings]:
    """The environment's settings; where they name no server, those of the embedded pair under `.data/`,
    which is attached to, or started until the command ends. Raises SettingsInvalid, ServersUnavailable."""
    settings = from_environment()
    if settings.database_url or settings.redis_url:  # a half of it is not completed by other servers
        yield settings
        return
    from pointledger.embedded import EmbeddedServers  # noqa: PLC0415  not needed where servers are given

    note(f"POINTLEDGER_DATABASE_URL is not set: using the servers of {HOME}/", "dim")
    with EmbeddedServers(HOME) as urls:
        yield settings.model_copy(update=urls.as_settings())


@contextmanager
def opened_database(settings: Settings) -> Iterator[sa.Engine]:
    """The database, if it fits this program. Raises DatabaseNotMigrated and LaneCountDiffers."""
    with malformed_urls_named():
        engine = engine_for(settings.database, pgbouncer=settings.pgbouncer)
    try:
        require_current(engine, settings.lanes)
        yield engine
    finally:
        engine.dispose()


@contextmanager
def opened_client(settings: Settings) -> Iterator[PointsClient]:
    """A client of that database."""
    with malformed_urls_named():
        client = PointsClient.connect(settings)
    with client:
        yield client


@contextmanager
def opened_acceptance(
    database: sa.Engine, settings: Settings, backlog: Backlog | None = None
) -> Iterator[Acceptance]:
    """The door into the journal of that database, with its doorbells. `backlog`: what closes it."""
    doorbells = Doorbells(redis_client.connect(settings), producer_app(settings), settings)
    try:
        yield Acceptance(database, doorbells, settings, backlog)
    finally:
        doorbells.close()


@contextmanager
def looking_up() -> Iterator[Lookups]:
    """What may be asked; Redis is not needed for it."""
    with opened_settings() as settings, opened_database(settings) as database:
        yield Lookups(database)


@contextmanager
def reading() -> Iterator[sa.Connection]:
    """A connection to look things up."""
    with opened_settings() as settings, opened_database(settings) as database, database.connect() as opened:
        yield opened


@contextmanager
def writing() -> Iterator[sa.Connection]:
    """One transaction, committed if the block ends well."""
    with opened_settings() as settings, opened_database(settings) as database, database.begin() as opened:
        yield opened


@contextmanager
def malformed_urls_named() -> Iterator[None]:
    """Lets a URL that cannot be read be a clear error. Raises SettingsInvalid."""
    try:
        yield
    except LedgerError:
        raise
    except ValueError as error:  # what URL parsers raise
        raise SettingsInvalid(f"POINTLEDGER_DATABASE_URL or POINTLEDGER_REDIS_URL: {error}") from None
