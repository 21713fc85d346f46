"""Runs the system as real processes, once per module; each test has its own users."""

import secrets
from collections.abc import Iterator

import pytest

from pointledger.embedded import ServerUrls
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import RULES, TENANT_CONFIG
from tests.databases import Clones, settings_of
from tests.faults.conftest import ROOT
from tests.ledger import Ledger


@pytest.fixture(scope="module")
def ledger(servers: ServerUrls, clones: Clones) -> Iterator[Ledger]:
    """A ledger with the demo's program."""
    own = f"workers-{secrets.token_hex(4)}"
    with (
        clones.one() as url,
        Ledger(settings_of(servers, url, servers.redis_url, redis_prefix=own)) as opened,
    ):
        opened.set_program(TENANT_CONFIG, RULES)
        yield opened


@pytest.fixture(scope="module")
def system(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessGroup]:
    """Two workers and beat on that database."""
    running = ProcessGroup(ROOT, data=tmp_path_factory.mktemp("system"), settings=ledger.settings)
    running.start()
    yield running
    running.stop()
