"""The ledger behind the client under test, on the test's own database; and how that client is made."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pointledger import PointsClient
from pointledger.settings import Settings
from tests.client.bridged import Bridged
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened


@pytest.fixture(params=[PointsClient.connect, Bridged], ids=["threads", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Callable[[Settings], Any]:
    """How to make a client: each of the two kinds."""
    made: Callable[[Settings], Any] = request.param
    return made
