"""Real servers for the tests that ask for them, and none for those that do not.

Each test process (each xdist worker) starts its own pair at the first fixture that needs it: half a second
instead of any sharing between processes. A test gets a database of its own, cloned from one that is migrated
once, and a flushed Valkey.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from redis import Redis

from pointledger.embedded import EmbeddedServers, ServerUrls
from pointledger.settings import Settings
from tests.databases import Clones, as_worker, fresh_database, settings_of
from tests.order import rank
from tests.slow import Slow

if TYPE_CHECKING:
    from tests.rabbitmq import RabbitMQ

# Our Postgres does not sync: no test switches the machine off. Processes that a test starts hear it, too.
os.environ.setdefault("POINTLEDGER_ALLOW_UNSAFE", '["postgres-durability"]')

_ENOUGH_BYTES = 1 << 30  # a container's default /dev/shm of 64 MiB is too small for Postgres
_PREFIX = "pointledger-test-"
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also the tests marked long, as CI does")
    parser.addoption("--slow", action="store_true", help="end with what took most of the time")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--slow"):
        config.pluginmanager.register(Slow())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --long its tests are not there, rather than skipped: nobody reads a hundred skips."""
    items.sort(key=rank)
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture
def server_home() -> Iterator[Path]:
    """An empty folder for servers that a test starts itself."""
    with _temporary_home() as home:
        yield home


@pytest.fixture(scope="session")
def servers() -> Iterator[ServerUrls]:
    """This process' Postgres and Valkey, or those that POINTLEDGER_TEST_* name: the latter may be shared,
    and every Valkey database from 1 up may be flushed."""
    database_url = os.environ.get("POINTLEDGER_TEST_DATABASE_URL")
    redis_url = os.environ.get("POINTLEDGER_TEST_REDIS_URL")
    if database_url and redis_url:
        yield ServerUrls(database_url, redis_url, _workers(database_url))
        return
    with _temporary_home() as home, EmbeddedServers(home, durable=False) as urls:
        worker_url = _workers(database_url) if database_url else urls.worker_url
        yield ServerUrls(database_url or urls.database_url, redis_url or urls.redis_url, worker_url)


def _workers(database_url: str) -> str:
    """How workers and clients connect to a server that is not ours; `migrate` makes that login."""
    url = sa.make_url(database_url).set(username="pointledger_worker", password="only for tests")
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def clones(servers: ServerUrls) -> Iterator[Clones]:
    """Migrated databases in which there is nothing."""
    from pointledger.storage.migrate import migrate  # noqa: PLC0415  tests of pure code run without storage

    with fresh_database(servers, f"template_{secrets.token_hex(4)}") as url:
        migrate(url, app_url=servers.worker_url)
        with Clones(servers, url) as opened:
            yield opened


@pytest.fixture
def owner_url(clones: Clones) -> Iterator[str]:
    """A fresh, migrated database: with real commits, and as many connections as the test likes. By this URL a
    test may do to it whatever it likes."""
    with clones.one() as url:
        yield url


@pytest.fixture
def database_url(servers: ServerUrls, owner_url: str) -> str:
    """The same database as workers and clients reach it: with the privileges that they have anywhere."""
    return as_worker(servers, owner_url)


@pytest.fixture
def redis_url(servers: ServerUrls) -> str:
    """A Valkey database that is this worker's alone, flushed."""
    url = f"{servers.redis_url.rpartition('/')[0]}/{1 + int(_WORKER.removeprefix('gw'))}"
    with Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def settings(servers: ServerUrls, owner_url: str, redis_url: str) -> Settings:
    """Settings of a fresh, empty system."""
    return settings_of(servers, owner_url, redis_url)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator["RabbitMQ"]:
    """A RabbitMQ of this process, for tests marked long; what is in its queues is whoever's came before."""
    from tests.rabbitmq import rabbitmq  # noqa: PLC0415  tests of pure code run without kombu

    with rabbitmq() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_url(rabbitmq: "RabbitMQ") -> str:
    return rabbitmq.url


@contextmanager
def _temporary_home() -> Iterator[Path]:
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _ENOUGH_BYTES
    parent = memory if roomy else Path(tempfile.gettempdir())
    _sweep(parent)
    home = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """What killed test runs left behind would fill the memory."""
    for home in parent.glob(f"{_PREFIX}*-*"):
        pid = home.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(home, ignore_errors=True)
