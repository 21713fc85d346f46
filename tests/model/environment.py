"""Servers and ledgers for `./dev model`: everything is made for the run and ends with it."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from pointledger.embedded import EmbeddedServers, ServerUrls
from pointledger.settings import Settings
from pointledger.storage.migrate import migrate
from tests.databases import as_worker, fresh_database
from tests.ledger import Ledger

_LANES = 4  # fewer make larger batches


class Place(NamedTuple):
    """Where ledgers are made: servers, and the name of a migrated database that each is a copy of."""

    urls: ServerUrls
    template: str


@contextmanager
def open_place() -> Iterator[Place]:
    """Servers of its own. Its Postgres does not sync: no run switches the machine off."""
    home = Path(tempfile.mkdtemp(prefix="pointledger-model-"))
    try:
        with EmbeddedServers(home, durable=False) as urls, fresh_database(urls, "model") as owner_url:
            migrate(owner_url, _LANES, urls.worker_url)
            yield Place(urls, "model")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def open_ledger(place: Place) -> Iterator[Ledger]:
    """A ledger on a new database. Many may be open at once, in one process or in several."""
    os.environ.setdefault("POINTLEDGER_ALLOW_UNSAFE", '["postgres-durability"]')
    name = f"model_{secrets.token_hex(4)}"
    with fresh_database(place.urls, name, place.template) as owner_url:
        settings = Settings(
            database_url=as_worker(place.urls, owner_url),
            owner_url=owner_url,
            redis_url=place.urls.redis_url,
            redis_prefix=f"{{{name}}}",
            broker_url=None,
            lanes=_LANES,
            erasure_key=SecretStr("model" * 8),
        )
        with Ledger(settings) as ledger:
            yield ledger
