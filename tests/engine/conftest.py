"""A ledger to work with: client, engine and what they share, on a database of the test's own.

Each test runs twice: with Redis' locks, and with every lock granted to everybody, as after a failover to an
empty Redis. Tests that are about the locks themselves are marked `locks` and run once.
"""

from collections.abc import Iterator

import pytest

from pointledger.engine.locks import Locks
from pointledger.settings import Settings
from tests.engine.many_workers import NobodyWaits
from tests.ledger import Ledger


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "granted" not in metafunc.fixturenames:
        return
    either = [pytest.param(False, id="redis"), pytest.param(True, id="granted")]
    of_locks = metafunc.definition.get_closest_marker("locks")
    metafunc.parametrize("granted", either[:1] if of_locks else either, indirect=True)


@pytest.fixture(autouse=True)
def granted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether every lock is granted to everybody."""
    if request.param:
        for name in ("enter", "leave", "take_users"):
            monkeypatch.setattr(Locks, name, getattr(NobodyWaits, name))
    return bool(request.param)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened
