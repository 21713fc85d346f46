"""The ledger behind the client under test, on the test's own database."""

from collections.abc import Iterator

import pytest

from pointledger.settings import Settings
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened
