"""Fixtures: an empty ledger, and one with a full history."""

from collections.abc import Iterator

import pytest

from pointledger.embedded import ServerUrls
from pointledger.settings import Settings
from tests.databases import Clones, settings_of
from tests.ledger import Ledger, prepared
from tests.observability.verify.history import create_history


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def full_history(servers: ServerUrls, clones: Clones) -> Iterator[Clones]:
    """Databases with a full history, which is created once."""
    with prepared(servers, clones, create_history) as (copies, _):
        yield copies


@pytest.fixture
def eventful(servers: ServerUrls, full_history: Clones, redis_url: str) -> Iterator[Ledger]:
    """A ledger with commands of every kind and state."""
    with full_history.one() as url, Ledger(settings_of(servers, url, redis_url)) as opened:
        yield opened
