"""A pending command can be canceled: it is applied or canceled, never both."""

import threading
from datetime import UTC, datetime

import pytest

from pointledger import Earn, Spend
from pointledger.errors import InvalidCommand, NotWaiting
from pointledger.ids import new_id, parse_id, show_id
from pointledger.observability.verify import verify
from pointledger.storage.queue import failures
from tests.ledger import Ledger


def test_a_pending_command_is_canceled_and_never_applied(ledger: Ledger) -> None:
    task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    kept = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=7))

    outcome = ledger.client.cancel(task_id)

    assert (outcome.state, outcome.reason, outcome.is_final) == ("refused", "CANCELLED", True)
    ledger.drain()
    assert ledger.client.outcome(task_id) == outcome
    assert ledger.client.outcome(kept).state == "applied"
    assert ledger.balance("anna") == 7
    assert verify(ledger.database).violations == 0


def test_canceling_too_late_raises(ledger: Ledger) -> None:
    (applied,) = ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=5))
    pending = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    ledger.client.cancel(pending)
    for task_id in (applied.task_id, pending, show_id(new_id())):
        with pytest.raises(NotWaiting):
            ledger.client.cancel(task_id)
    with pytest.raises(InvalidCommand):
        ledger.client.cancel("x")
    assert ledger.client.outcome(applied.task_id) == applied


def test_a_canceled_command_that_is_sent_again_stays_canceled(ledger: Ledger) -> None:
    command = Earn(tenant_id="shop", user_id="anna", amount=5, idempotency_key="k")
    ledger.client.enqueue(command)
    again = command.model_copy(update={"id": new_id()})
    alias = ledger.client.enqueue(again)
    assert ledger.client.cancel(alias).reason == "CANCELLED", "by either of its ids"
    (outcome,) = ledger.apply(command)
    assert outcome.reason == "CANCELLED"


def test_canceling_a_failed_command_unblocks_later_commands_of_its_user(ledger: Ledger) -> None:
    failing = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    later = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=7))
    (lane,) = ledger.waiting_lanes()
    with ledger.database.begin() as connection:
        failures.record_failure(connection, lane, parse_id(failing), "Boom")
        failures.back_off(connection, parse_id(failing), 3600)
    assert ledger.drain() == 0

    ledger.client.cancel(failing)

    assert ledger.drain() == 1
    assert ledger.client.outcome(later).state == "applied"
    assert ledger.counts("failures") == [0]
    assert verify(ledger.database).violations == 0


def test_each_command_is_applied_or_canceled_while_workers_apply(ledger: Ledger) -> None:
    commands = [Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(150)]
    task_ids = ledger.client.enqueue_many(commands)
    worker = threading.Thread(target=ledger.drain)
    worker.start()
    canceled = 0
    for task_id in reversed(task_ids):
        try:
            ledger.client.cancel(task_id)
            canceled += 1
        except NotWaiting:
            continue
    worker.join(60)
    ledger.drain()
    reasons = [outcome.reason or outcome.state for outcome in ledger.client.outcomes(task_ids)]
    assert reasons.count("CANCELLED") == canceled
    assert reasons.count("applied") == 150 - canceled
    assert ledger.counts("entries") == [150 - canceled]
    assert verify(ledger.database).violations == 0


def test_a_caller_that_waits_for_a_command_gets_its_cancellation(ledger: Ledger) -> None:
    task_id = ledger.client.enqueue(
        Spend(tenant_id="shop", user_id="anna", amount=5, occurred_at=datetime.now(UTC))
    )
    canceler = threading.Timer(0.1, ledger.client.cancel, [task_id])
    canceler.start()
    assert ledger.client.wait(task_id, timeout=60).reason == "CANCELLED"
    canceler.join()
