"""Runs the system as real processes, which the tests kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pointledger.settings import Settings
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import RULES, TENANT_CONFIG
from tests.chaos.proxy import Link
from tests.faults.injection import SHORT_TIMEOUTS
from tests.ledger import Ledger
from tests.links import link_to

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """A ledger with the demo's program on the test's own database."""
    with Ledger(settings) as opened:
        opened.set_program(TENANT_CONFIG, RULES)
        yield opened


@pytest.fixture
def system(ledger: Ledger, tmp_path: Path) -> Iterator[ProcessGroup]:
    """Two workers and beat on that database."""
    running = ProcessGroup(ROOT, data=tmp_path, settings=ledger.settings)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def short_timeouts(settings: Settings) -> Settings:
    """Settings with which a stalled process loses its locks soon."""
    return settings.model_copy(update=SHORT_TIMEOUTS)


@pytest.fixture
def to_valkey(settings: Settings) -> Iterator[Link]:
    with link_to(settings.redis) as link:
        yield link


@pytest.fixture
def to_postgres(settings: Settings) -> Iterator[Link]:
    with link_to(settings.database) as link:
        yield link
