"""A ledger to ask: on a database of the test's own."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pointledger.settings import Settings
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant(transfer_enabled=True)
        yield opened


def clock(ledger: Ledger) -> datetime:
    """The database's clock, which stamps what is recorded."""
    moment: datetime = ledger.rows("SELECT clock_timestamp()")[0][0]
    return moment.astimezone(UTC)
