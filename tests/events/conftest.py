"""A ledger whose tenant wants every event, and a broker: Valkey and, in the long check, RabbitMQ."""

from collections.abc import Iterator
from typing import Any

import pytest

from pointledger.events.ingest import Ingest
from pointledger.events.ingest_queue import IngestQueue
from pointledger.settings import Settings
from tests.cli.conftest import Run, run_app
from tests.events.ingesting import ingest_of
from tests.events.listener import Listener
from tests.events.sender import Sender, opened_ingest_queue
from tests.ledger import Ledger

BROKERS = ["valkey", pytest.param("rabbitmq", marks=pytest.mark.long)]


@pytest.fixture(params=BROKERS)
def settings(request: pytest.FixtureRequest, database_url: str, redis_url: str) -> Settings:
    url = redis_url if request.param == "valkey" else request.getfixturevalue("rabbitmq_url")
    return Settings(database_url=database_url, redis_url=redis_url, broker_url=None, events_url=url)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant(events="all", transfer_enabled=True)
        yield opened


@pytest.fixture
def listener(settings: Settings) -> Iterator[Listener]:
    with Listener(settings) as opened:
        yield opened


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line with these servers."""
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", settings.database)
    monkeypatch.setenv("POINTLEDGER_REDIS_URL", settings.redis)
    monkeypatch.setenv("POINTLEDGER_EVENTS_URL", settings.events)

    return run_app


@pytest.fixture
def shop() -> dict[str, Any]:
    return {"tenant_id": "shop", "user_id": "anna"}


@pytest.fixture
def sender(settings: Settings) -> Iterator[Sender]:
    with Sender(settings) as opened:
        yield opened


@pytest.fixture
def ingest_queue(settings: Settings, sender: Sender) -> Iterator[IngestQueue]:
    opened = opened_ingest_queue(settings)
    yield opened
    opened.close()


@pytest.fixture
def ingest(ledger: Ledger) -> Ingest:
    ledger.rule(name="visits", event_type="visit", points=3)
    return ingest_of(ledger)
