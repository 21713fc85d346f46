"""A tenant of New York, and its scheduler."""

from collections.abc import Iterator

import pytest

from pointledger.client.acceptor import Acceptance
from pointledger.jobs.scheduler import JobScheduler
from pointledger.settings import Settings
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant(timezone="America/New_York")
        yield opened


@pytest.fixture
def scheduler(ledger: Ledger) -> JobScheduler:
    return JobScheduler(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
