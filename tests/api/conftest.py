"""Fixtures: one API per module, whose tests each have their own users."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pointledger.embedded import ServerUrls
from pointledger.settings import Settings
from tests.api.environment import ApiEnvironment, http_settings, open_api
from tests.api.issuer import Issuer
from tests.databases import Clones, as_worker

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def module_settings(
    servers: ServerUrls, clones: Clones, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """The settings of an API whose database is the module's."""
    with clones.one() as url:
        prefix = f"http-{secrets.token_hex(4)}"
        urls: dict[str, Any] = {"database_url": as_worker(servers, url), "owner_url": url}
        plain = Settings(**urls, redis_url=servers.redis_url, redis_prefix=prefix, broker_url=None)
        yield http_settings(plain, issuer, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def api(module_settings: Settings, issuer: Issuer) -> Iterator[ApiEnvironment]:
    """The API with two tenants: `shop`, with transfers and rules for `visit` and `welcome`, and `other`."""
    with open_api(module_settings, issuer) as opened:
        opened.ledger.tenant("shop", transfer_enabled=True, points_type="cash_equivalent")
        opened.ledger.tenant("other")
        opened.ledger.rule("shop", name="visit", event_type="visit", points=1)
        opened.ledger.rule("shop", name="welcome", event_type="welcome", points=100, priority=5)
        yield opened


@pytest.fixture
def user() -> Callable[[], str]:
    """A function that returns a new user id."""
    return lambda: f"user-{next(_NUMBERS)}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def opened(settings: Settings, issuer: Issuer, folder: Path) -> Callable[..., Any]:
    """A function that opens an API of its own with settings, and with the tenants `shop` and `other`."""

    @contextmanager
    def open_with(**changes: Any) -> Iterator[ApiEnvironment]:
        with open_api(http_settings(settings, issuer, folder, **changes), issuer) as api:
            api.ledger.tenant("shop")
            api.ledger.tenant("other")
            yield api

    return open_with
