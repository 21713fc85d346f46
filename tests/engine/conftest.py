"""Fixtures for tests of the engine: a ledger with client and engine on its own database.

Each test runs twice: with Redis locks, and with every lock granted, as after a failover to an empty Redis.
Tests of the locks themselves have the marker `locks` and run once.
"""

from collections.abc import Iterator

import pytest

from pointledger.engine.locks import Locks
from pointledger.settings import Settings
from pointledger.storage.migrate import migrate
from tests.engine.many_workers import GrantAllLocks
from tests.ledger import Ledger


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "granted" not in metafunc.fixturenames:
        return
    both = [pytest.param(False, id="redis"), pytest.param(True, id="granted")]
    of_locks = metafunc.definition.get_closest_marker("locks")
    metafunc.parametrize("granted", both[:1] if of_locks else both, indirect=True)


@pytest.fixture(autouse=True)
def granted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether every lock is granted to every worker."""
    if request.param:
        for name in ("take_lanes", "next_lanes", "acquire_users"):
            monkeypatch.setattr(Locks, name, getattr(GrantAllLocks, name))
    return bool(request.param)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened


NO_WAITS = {"backoff_seconds": (0.0, 0.0), "lanes": 1}


@pytest.fixture
def one_lane_ledger(settings: Settings, one_lane: None) -> Iterator[Ledger]:
    """A ledger with one lane that tries a failing command three times without back-off."""
    with Ledger(settings.model_copy(update=NO_WAITS)) as ledger:
        ledger.tenant()
        yield ledger


@pytest.fixture
def one_lane(settings: Settings) -> None:
    migrate(settings.owner, lanes=1)
