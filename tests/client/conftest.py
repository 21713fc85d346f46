"""The client under test and what stands behind it, on a database of the test's own."""

from collections.abc import Iterator

import pytest

from pointledger.settings import Settings
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened
