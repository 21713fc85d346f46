"""Starts real servers for the tests that use them.

Each test process (each xdist worker) starts its own pair of servers for the first fixture that needs it. That
takes half a second, and processes share no server. Each test gets a database, cloned from one that is
migrated once, and a flushed Valkey.
"""

import gc
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
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

# The tests' Postgres does not sync. Processes that a test starts inherit this permission.
os.environ.setdefault("POINTLEDGER_ALLOW_UNSAFE", '["postgres-durability"]')

_ENOUGH_BYTES = 1 << 30  # a container's default /dev/shm of 64 MiB is too small for Postgres
_PREFIX = "pointledger-test-"
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also the tests marked long, as CI does")
    parser.addoption("--slow", action="store_true", help="list the slowest tests and fixtures at the end")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--slow"):
        config.pluginmanager.register(Slow())


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect the tests, and keep Python from looking for garbage among them and their modules, which stay.

    It would take five seconds of CPU in each process here, and again and again while the tests run.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect long tests without --long; as skipped tests they would hide other skips."""
    items.sort(key=rank)
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture
def server_home() -> Iterator[Path]:
    """An empty folder for servers that the test starts itself."""
    with _temporary_home() as home:
        yield home


@pytest.fixture(scope="session")
def servers() -> Iterator[ServerUrls]:
    """This process' Postgres and Valkey, or the shared ones in POINTLEDGER_TEST_*.

    With POINTLEDGER_TEST_POOLER, workers and clients reach Postgres through PgBouncer, as its users do.
    The tests flush every Valkey database from 1 up."""
    with _direct_servers() as urls:
        if not os.environ.get("POINTLEDGER_TEST_POOLER"):
            yield urls
            return
        from tests.debian import pgbouncer  # noqa: PLC0415  long tests only

        with _temporary_home() as home, pgbouncer(home, urls.worker_url, size=20) as (pooled,):
            yield replace(urls, worker_url=pooled)


@contextmanager
def _direct_servers() -> Iterator[ServerUrls]:
    database_url = os.environ.get("POINTLEDGER_TEST_DATABASE_URL")
    redis_url = os.environ.get("POINTLEDGER_TEST_REDIS_URL")
    if database_url and redis_url:
        yield ServerUrls(database_url, redis_url, _worker_url(database_url))
        return
    with _temporary_home() as home, EmbeddedServers(home, durable=False) as urls:
        worker_url = _worker_url(database_url) if database_url else urls.worker_url
        yield ServerUrls(database_url or urls.database_url, redis_url or urls.redis_url, worker_url)


def _worker_url(database_url: str) -> str:
    """Return the URL for workers and clients on a shared server; `migrate` creates that login."""
    url = sa.make_url(database_url).set(username="pointledger_worker", password="only for tests")
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def clones(servers: ServerUrls) -> Iterator[Clones]:
    """Empty, migrated databases."""
    from pointledger.storage.migrate import migrate  # noqa: PLC0415  tests of pure code run without storage

    with fresh_database(servers, f"template_{secrets.token_hex(4)}") as url:
        migrate(url, app_url=servers.worker_url)
        with Clones(servers, url) as opened:
            yield opened


@pytest.fixture
def owner_url(clones: Clones) -> Iterator[str]:
    """A new, migrated database with the owner's rights."""
    with clones.one() as url:
        yield url


@pytest.fixture
def database_url(servers: ServerUrls, owner_url: str) -> str:
    """The same database with the rights of workers and clients."""
    return as_worker(servers, owner_url)


@pytest.fixture(scope="session")
def own_valkey(servers: ServerUrls) -> Iterator[tuple[str, Redis]]:
    """The URL of this test process' Valkey database, and a client that stays open: a new one takes as much
    CPU as a short test."""
    url = f"{servers.redis_url.rpartition('/')[0]}/{1 + int(_WORKER.removeprefix('gw'))}"
    with Redis.from_url(url) as client:
        yield url, client


@pytest.fixture
def redis_url(own_valkey: tuple[str, Redis]) -> str:
    """The URL of a flushed Valkey database of this test process."""
    url, client = own_valkey
    client.flushdb()
    return url


@pytest.fixture
def settings(servers: ServerUrls, owner_url: str, redis_url: str) -> Settings:
    """Settings of a new, empty system."""
    return settings_of(servers, owner_url, redis_url)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator["RabbitMQ"]:
    """A RabbitMQ of this process for tests marked long; its queues keep messages of earlier tests."""
    from tests.rabbitmq import rabbitmq  # noqa: PLC0415  tests of pure code run without kombu

    with rabbitmq() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_url(rabbitmq: "RabbitMQ") -> str:
    return rabbitmq.url


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a `pointledger` that starts quickly, for a PATH."""
    from tests.preloaded import installed  # noqa: PLC0415  few tests run it

    folder = tmp_path_factory.mktemp("programs")
    with installed(folder):
        yield folder


@contextmanager
def _temporary_home() -> Iterator[Path]:
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _ENOUGH_BYTES
    parent = memory if roomy else Path(tempfile.gettempdir())
    _remove_leftovers(parent)
    home = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    """Remove the folders of killed test runs, which would fill the memory."""
    for home in parent.glob(f"{_PREFIX}*-*"):
        pid = home.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(home, ignore_errors=True)
