"""A command that still waits may be withdrawn: it is applied or cancelled, never both."""

import threading
from datetime import UTC, datetime

import pytest

from pointledger import Earn, Spend
from pointledger.errors import InvalidCommand, NotWaiting
from pointledger.ids import new_id, parse_id, show_id
from pointledger.observability.verify import audit
from pointledger.storage.queue import failures
from tests.ledger import Ledger


def test_a_command_that_waits_is_cancelled_and_never_applied(ledger: Ledger) -> None:
    task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    kept = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=7))

    outcome = ledger.client.cancel(task_id)

    assert (outcome.state, outcome.reason, outcome.is_final) == ("refused", "CANCELLED", True)
    ledger.drain()
    assert ledger.client.outcome(task_id) == outcome
    assert ledger.client.outcome(kept).state == "applied"
    assert ledger.balance("anna") == 7
    assert audit(ledger.database).violations == 0


def test_too_late_is_said(ledger: Ledger) -> None:
    (applied,) = ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=5))
    waiting = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    ledger.client.cancel(waiting)
    for task_id in (applied.task_id, waiting, show_id(new_id())):
        with pytest.raises(NotWaiting):
            ledger.client.cancel(task_id)
    with pytest.raises(InvalidCommand):
        ledger.client.cancel("x")
    assert ledger.client.outcome(applied.task_id) == applied


def test_a_cancelled_command_that_is_sent_again_stays_cancelled(ledger: Ledger) -> None:
    command = Earn(tenant_id="shop", user_id="anna", amount=5, idempotency_key="k")
    ledger.client.enqueue(command)
    again = command.model_copy(update={"id": new_id()})
    alias = ledger.client.enqueue(again)
    assert ledger.client.cancel(alias).reason == "CANCELLED", "by either of its ids"
    (outcome,) = ledger.apply(command)
    assert outcome.reason == "CANCELLED"


def test_cancelling_a_command_that_fails_lets_its_users_followers_go(ledger: Ledger) -> None:
    failing = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    follower = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=7))
    (lane,) = ledger.waiting_lanes()
    with ledger.database.begin() as connection:
        failures.charge(connection, lane, parse_id(failing), "Boom")
        failures.back_off(connection, parse_id(failing), 3600)
    assert ledger.drain() == 0

    ledger.client.cancel(failing)

    assert ledger.drain() == 1
    assert ledger.client.outcome(follower).state == "applied"
    assert ledger.counts("failures") == [0]
    assert audit(ledger.database).violations == 0


def test_who_cancels_while_workers_apply_gets_one_answer_and_it_is_true(ledger: Ledger) -> None:
    commands = [Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(150)]
    task_ids = ledger.client.enqueue_many(commands)
    worker = threading.Thread(target=ledger.drain)
    worker.start()
    cancelled = 0
    for task_id in reversed(task_ids):
        try:
            ledger.client.cancel(task_id)
            cancelled += 1
        except NotWaiting:
            continue
    worker.join(60)
    ledger.drain()
    reasons = [outcome.reason or outcome.state for outcome in ledger.client.outcomes(task_ids)]
    assert reasons.count("CANCELLED") == cancelled
    assert reasons.count("applied") == 150 - cancelled
    assert ledger.counts("entries") == [150 - cancelled]
    assert audit(ledger.database).violations == 0


def test_who_waits_for_a_command_hears_that_it_is_cancelled(ledger: Ledger) -> None:
    task_id = ledger.client.enqueue(
        Spend(tenant_id="shop", user_id="anna", amount=5, occurred_at=datetime.now(UTC))
    )
    canceller = threading.Timer(0.1, ledger.client.cancel, [task_id])
    canceller.start()
    assert ledger.client.wait(task_id, timeout=10).reason == "CANCELLED"
    canceller.join()
