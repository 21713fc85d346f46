"""Fixtures: a ledger with all its processes, and the parts that receive commands by name.

The processes run on Valkey and, in the long check, on RabbitMQ.
"""

from collections.abc import Iterator

import pytest
from celery import Celery
from pydantic import SecretStr
from redis import Redis

from pointledger.client.acceptor import Acceptance
from pointledger.embedded import ServerUrls
from pointledger.events.ingest_queue import IngestQueue
from pointledger.integrations.celery_commands import CommandsByName, open_commands
from pointledger.settings import Settings
from tests.databases import Clones, as_worker
from tests.integrations.running import RunningLedger, running_ledger
from tests.ledger import Ledger

_DATABASE = 7  # the Valkey database that no other test uses


@pytest.fixture(scope="module", params=["valkey", pytest.param("rabbitmq", marks=pytest.mark.long)])
def running_settings(
    request: pytest.FixtureRequest, servers: ServerUrls, clones: Clones
) -> Iterator[Settings]:
    redis_url = f"{servers.redis_url.rpartition('/')[0]}/{_DATABASE}"
    with Redis.from_url(redis_url) as client:
        client.flushdb()
    broker_url = None if request.param == "valkey" else request.getfixturevalue("rabbitmq_url")
    with clones.one() as url:
        yield Settings(
            database_url=as_worker(servers, url),
            owner_url=url,
            redis_url=redis_url,
            broker_url=broker_url,
            result_url=redis_url,
            erasure_key=SecretStr("k" * 32),
        )


@pytest.fixture(scope="module")
def running(running_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running_ledger(running_settings, tmp_path_factory.mktemp("running")) as opened:
        yield opened


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"result_url": settings.redis_url, "backoff_seconds": ()})


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant("shop")
        yield opened


@pytest.fixture
def commands(ledger: Ledger) -> CommandsByName:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    return CommandsByName(ledger.database, acceptance, ledger.settings)


@pytest.fixture
def ingest_queue(settings: Settings) -> Iterator[IngestQueue]:
    opened = open_commands(settings)
    yield opened
    opened.close()


@pytest.fixture
def redis(settings: Settings) -> Iterator[Redis]:
    """A client that returns bytes."""
    with Redis.from_url(settings.redis) as opened:
        yield opened


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    with Celery(broker=settings.broker, set_as_current=False) as opened:
        yield opened
