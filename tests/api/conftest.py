"""One gateway for all tests of a module, each test with users of its own; and others for those that want
other settings."""

import secrets
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pointledger.embedded import ServerUrls
from pointledger.settings import Settings
from tests.api.issuer import Issuer
from tests.api.served import Served, http_settings, serving
from tests.databases import Clones, as_worker

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def served(
    servers: ServerUrls, clones: Clones, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The tenant `shop` with transfers, and `other`; a point per event `visit` and 100 for `welcome`."""
    with clones.one() as url:
        own = f"http-{secrets.token_hex(4)}"
        given: dict[str, Any] = {"database_url": as_worker(servers, url), "owner_url": url}
        plain = Settings(**given, redis_url=servers.redis_url, redis_prefix=own, broker_url=None)
        settings = http_settings(plain, issuer, tmp_path_factory.mktemp("keys"))
        with serving(settings, issuer) as opened:
            opened.ledger.tenant("shop", transfer_enabled=True, points_type="cash_equivalent")
            opened.ledger.tenant("other")
            opened.ledger.rule("shop", name="visit", event_type="visit", points=1)
            opened.ledger.rule("shop", name="welcome", event_type="welcome", points=100, priority=5)
            yield opened


@pytest.fixture
def user() -> Callable[[], str]:
    """User ids that nobody has yet."""
    return lambda: f"user-{next(_NUMBERS)}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
