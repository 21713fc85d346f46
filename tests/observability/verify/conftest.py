"""A ledger in which every kind of thing has happened."""

from collections.abc import Iterator

import pytest

from pointledger.embedded import ServerUrls
from pointledger.settings import Settings
from tests.databases import Clones, settings_of
from tests.ledger import Ledger, prepared
from tests.observability.verify.story import tell


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def after_the_story(servers: ServerUrls, clones: Clones) -> Iterator[Clones]:
    """It is told once."""
    with prepared(servers, clones, tell) as (told, _):
        yield told


@pytest.fixture
def eventful(servers: ServerUrls, after_the_story: Clones, redis_url: str) -> Iterator[Ledger]:
    """After a story with commands of every kind and every state."""
    with after_the_story.one() as url, Ledger(settings_of(servers, url, redis_url)) as opened:
        yield opened
