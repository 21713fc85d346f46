"""A ledger in which every kind of thing has happened."""

from collections.abc import Iterator

import pytest

from pointledger.settings import Settings
from tests.audit.story import tell
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened


@pytest.fixture
def eventful(ledger: Ledger) -> Ledger:
    """After a story with commands of every kind and every state."""
    tell(ledger)
    return ledger
