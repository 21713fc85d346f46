"""The system as real processes, to be killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pointledger.settings import Settings
from pointledger_demo.programme import RULES, TENANT, TENANT_CONFIG
from pointledger_demo.system import System
from tests.faults.striking import HURRY
from tests.ledger import Ledger

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The demonstration's programme on the test's own database."""
    with Ledger(settings) as opened:
        opened.tenant(**TENANT_CONFIG)
        for rule in RULES:
            opened.rule(TENANT, **rule)
        yield opened


@pytest.fixture
def system(ledger: Ledger, tmp_path: Path) -> Iterator[System]:
    """Two workers and beat on that database."""
    running = System(ROOT, data=tmp_path, settings=ledger.settings)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def hurried(settings: Settings) -> Settings:
    """Whoever is frozen loses what it holds soon."""
    return settings.model_copy(update=HURRY)
