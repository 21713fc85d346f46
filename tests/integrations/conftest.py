"""One house for all tests of a module; on Valkey and, in the long check, on RabbitMQ."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis

from pointledger.embedded import ServerUrls
from pointledger.settings import Settings
from tests.databases import Clones, as_worker
from tests.integrations.house import House, house

_DATABASE = 7  # of Valkey: nobody else's tests use it


@pytest.fixture(scope="module", params=["valkey", pytest.param("rabbitmq", marks=pytest.mark.long)])
def house_settings(request: pytest.FixtureRequest, servers: ServerUrls, clones: Clones) -> Iterator[Settings]:
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
def shop_house(house_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(house_settings, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
