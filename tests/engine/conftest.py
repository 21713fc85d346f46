"""A ledger to work with: client, engine and what they share, on a database of the test's own.

`POINTLEDGER_TEST_LOCKS=granted` grants every Redis lock to everybody, as after a failover to an empty Redis;
tests that are about the locks themselves are marked `locks`.
"""

import os
from collections.abc import Iterator

import pytest

from pointledger.locks import Locks
from pointledger.settings import Settings
from tests.engine.many_workers import NobodyWaits
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened


@pytest.fixture(autouse=True)
def locks_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.environ.get("POINTLEDGER_TEST_LOCKS") == "granted":
        for name in ("enter", "leave", "take_users"):
            monkeypatch.setattr(Locks, name, getattr(NobodyWaits, name))
