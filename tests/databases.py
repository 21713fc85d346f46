"""Creates databases for tests as clones of a template. A thread clones them in advance and drops used ones,
so that no test waits for either."""

import secrets
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from pydantic import SecretStr

from pointledger.embedded import ServerUrls
from pointledger.settings import Settings

_AHEAD = 2  # a test needs one, and takes longer than a clone
_SECONDS = 60  # bound of any wait


class Clones:
    """Clones of one database, which accepts no connections from now on, so that it can be copied at any time.

    A thread creates and drops them over one connection. Its errors are raised in `one`.
    """

    def __init__(self, servers: ServerUrls, template_url: str) -> None:
        self._servers = servers
        self._template = template = template_url.rpartition("/")[2]
        self._ready: deque[str] = deque()
        self._used: deque[str] = deque()
        self._closing = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"clones of {template}", daemon=True)

    def __enter__(self) -> "Clones":
        administer(self._servers, _statement("ALTER DATABASE {} ALLOW_CONNECTIONS false", self._template))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Drop the remaining clones."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(_SECONDS)

    @contextmanager
    def one(self) -> Iterator[str]:
        """Yield the owner's URL of a clone that exists until the block ends."""
        name = self._take()
        try:
            yield url_of(self._servers, name)
        finally:
            with self._changed:
                self._used.append(name)
                self._changed.notify_all()

    def _take(self) -> str:
        with self._changed:
            there = self._changed.wait_for(lambda: self._ready or self._failure, _SECONDS)
            if self._failure:
                raise self._failure
            assert there, f"a clone of {self._template} within {_SECONDS} s"
            name = self._ready.popleft()
            self._changed.notify_all()
            return name

    def _work(self) -> None:
        try:
            with psycopg.connect(self._servers.database_url, autocommit=True) as connection:
                while self._step(connection):
                    pass
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _step(self, connection: psycopg.Connection) -> bool:
        """Create or drop one clone. Return False when none is left after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._used or len(self._ready) < _AHEAD)
            if self._closing:
                self._used += self._ready
                self._ready.clear()
            wanted = not self._closing and len(self._ready) < _AHEAD
            if not wanted and not self._used:
                return False
            name = f"test_{secrets.token_hex(4)}" if wanted else self._used.popleft()
        if not wanted:
            connection.execute(_dropped(name))
            return True
        connection.execute(_copied(name, self._template))
        with self._changed:
            self._ready.append(name)
            self._changed.notify_all()
        return True


@contextmanager
def fresh_database(servers: ServerUrls, name: str, template: str | None = None) -> Iterator[str]:
    """Yield the owner's URL of a database that is dropped after the block."""
    administer(servers, _copied(name, template) if template else _statement("CREATE DATABASE {}", name))
    try:
        yield url_of(servers, name)
    finally:
        administer(servers, _dropped(name))


def url_of(servers: ServerUrls, name: str) -> str:
    return f"{servers.database_url.rpartition('/')[0]}/{name}"


def as_worker(servers: ServerUrls, owner_url: str) -> str:
    """Return the URL for workers and clients of this database."""
    return f"{servers.worker_url.rpartition('/')[0]}/{owner_url.rpartition('/')[2]}"


def settings_of(servers: ServerUrls, owner_url: str, redis_url: str, **more: Any) -> Settings:
    """Return the settings of a system on this database and this Redis."""
    return Settings(
        database_url=as_worker(servers, owner_url),
        owner_url=owner_url,
        redis_url=redis_url,
        broker_url=None,
        erasure_key=SecretStr("k" * 32),
        **more,
    )


def administer(servers: ServerUrls, statement: sql.Composed) -> None:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(statement)


def _copied(name: str, template: str) -> sql.Composed:
    """Copy files, which is faster here than the write-ahead log: fsync is off and the template is small."""
    return _statement("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)


def _dropped(name: str) -> sql.Composed:
    return _statement("DROP DATABASE {} WITH (FORCE)", name)


def _statement(text: str, *names: str) -> sql.Composed:
    return sql.SQL(text).format(*map(sql.Identifier, names))
