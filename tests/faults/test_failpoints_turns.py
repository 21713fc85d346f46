"""Kills and stops a worker while it notes that a tenant is busy, or that the worker itself is idle or busy.

In the end every command is applied once, also those that wait behind the other tenant's backlog.
"""

from pathlib import Path

import pytest

from pointledger import Earn
from pointledger.settings import Settings
from tests.faults.injection import faults_at, finish, inject, resume, violations
from tests.lanes import user_in
from tests.ledger import Ledger

pytestmark = pytest.mark.fault

PLACES = ("note-busy",)
IDLE_PLACES = ("become-idle", "become-busy")
BATCH = 5
BACKLOG = 30


def serve_turns(ledger: Ledger, user_id: str) -> None:
    """Find out that `big` is busy, and drain its lane while a command of `shop` waits in another one."""
    ledger.engine._peek({0: BATCH})
    ledger.client.enqueue(Earn(tenant_id="shop", user_id=user_id, amount=7))
    ledger.engine.drain(0)


@pytest.mark.parametrize("word", faults_at(PLACES))
def test_a_command_is_applied_once_when_the_worker_that_serves_it_first_fails(
    short_timeouts: Settings, tmp_path: Path, word: str
) -> None:
    settings = short_timeouts.model_copy(update={"batch_size": BATCH})
    big, small = (user_in(lane, name, settings.lanes) for lane, name in ((0, "big"), (1, "shop")))
    with Ledger(settings) as ledger:
        ledger.tenant("big")
        ledger.tenant("shop")
        ledger.client.enqueue_many([Earn(tenant_id="big", user_id=big, amount=1) for _ in range(BACKLOG)])
        process = inject(settings, serve_turns, small, word, tmp_path / "injected")
        finish(ledger)
        resume(process)
        finish(ledger)

        sent = ledger.counts("journal")[0] - BACKLOG  # the process may have failed before it sent one
        assert ledger.counts("outcomes") == [BACKLOG + sent]
        assert ledger.balance(big, "big") == BACKLOG
        assert sent == 0 or ledger.balance(small) == 7
        assert ledger.rows("SELECT id FROM failures WHERE attempts > 0") == []
        assert violations(ledger) == []


def wait_and_begin(ledger: Ledger, user_id: str) -> None:
    """Become idle, then busy although a ring has come meanwhile."""
    locks = ledger.engine._locks
    locks.become_idle()
    ledger.client.enqueue(Earn(tenant_id="shop", user_id=user_id, amount=7))
    if (lane := locks.become_busy()) is not None:
        ledger.engine.drain(lane)


@pytest.mark.parametrize("word", faults_at(IDLE_PLACES))
def test_a_command_is_applied_once_when_an_idle_worker_fails(
    short_timeouts: Settings, tmp_path: Path, word: str
) -> None:
    with Ledger(short_timeouts) as ledger:
        ledger.tenant()
        process = inject(short_timeouts, wait_and_begin, "anna", word, tmp_path / "injected")
        ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
        finish(ledger)
        resume(process)
        finish(ledger)

        sent = ledger.counts("journal")[0] - 1  # the process may have failed before it sent one
        assert ledger.counts("outcomes") == [1 + sent]
        assert ledger.balance("anna") == 5 + 7 * sent
        assert violations(ledger) == []
