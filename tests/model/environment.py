"""Creates servers and ledgers for `./dev model`, which end with the run."""

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


class ModelEnvironment(NamedTuple):
    """The servers of a run, and the name of the migrated database that each ledger copies."""

    urls: ServerUrls
    template: str


@contextmanager
def open_environment() -> Iterator[ModelEnvironment]:
    """Start servers for one run. Postgres does not sync, because no run needs to survive a power failure."""
    home = Path(tempfile.mkdtemp(prefix="pointledger-model-"))
    try:
        with EmbeddedServers(home, durable=False) as urls, fresh_database(urls, "model") as owner_url:
            migrate(owner_url, _LANES, urls.worker_url)
            yield ModelEnvironment(urls, "model")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def open_ledger(environment: ModelEnvironment) -> Iterator[Ledger]:
    """Open a ledger on a new database. One or more processes may open many at once."""
    os.environ.setdefault("POINTLEDGER_ALLOW_UNSAFE", '["postgres-durability"]')
    name = f"model_{secrets.token_hex(4)}"
    with fresh_database(environment.urls, name, environment.template) as owner_url:
        settings = Settings(
            database_url=as_worker(environment.urls, owner_url),
            owner_url=owner_url,
            redis_url=environment.urls.redis_url,
            redis_prefix=f"{{{name}}}",
            broker_url=None,
            lanes=_LANES,
            erasure_key=SecretStr("model" * 8),
        )
        with Ledger(settings) as ledger:
            yield ledger
