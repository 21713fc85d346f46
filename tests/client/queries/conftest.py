"""A ledger to query, on the test's own database."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pointledger.client.queries.console import ConsoleQueries
from pointledger.settings import Settings
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant(transfer_enabled=True)
        yield opened


@pytest.fixture
def console(ledger: Ledger) -> ConsoleQueries:
    return ConsoleQueries(ledger.database)


def clock(ledger: Ledger) -> datetime:
    """Return the database's time, which is the time of records."""
    moment: datetime = ledger.rows("SELECT clock_timestamp()")[0][0]
    return moment.astimezone(UTC)
