"""Fixtures: the command line, and a ledger with a tenant."""

from collections.abc import Iterator

import pytest

from pointledger.settings import Settings
from tests.cli.conftest import environment, run, working
from tests.ledger import Ledger

__all__ = ["environment", "run", "working"]


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant()
        yield opened
