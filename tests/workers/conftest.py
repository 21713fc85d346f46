"""The system as real processes: one for all tests of a module, each with users of its own."""

import secrets
from collections.abc import Iterator

import pytest

from pointledger.embedded import ServerUrls
from pointledger_demo.programme import RULES, TENANT, TENANT_CONFIG
from pointledger_demo.system import System
from tests.databases import Clones, settings_of
from tests.faults.conftest import ROOT
from tests.ledger import Ledger


@pytest.fixture(scope="module")
def ledger(servers: ServerUrls, clones: Clones) -> Iterator[Ledger]:
    """The demonstration's programme."""
    own = f"workers-{secrets.token_hex(4)}"
    with (
        clones.one() as url,
        Ledger(settings_of(servers, url, servers.redis_url, redis_prefix=own)) as opened,
    ):
        opened.tenant(**TENANT_CONFIG)
        for rule in RULES:
            opened.rule(TENANT, **rule)
        yield opened


@pytest.fixture(scope="module")
def system(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Two workers and beat on that database."""
    running = System(ROOT, data=tmp_path_factory.mktemp("system"), settings=ledger.settings)
    running.start()
    yield running
    running.stop()
