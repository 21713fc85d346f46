"""A batch of earns has an outcome for each row and one for the whole, and can be sent again."""

import threading
from typing import Any

import pytest

from pointledger.errors import BatchMissing, IdempotencyKeyReused, InvalidCommand
from pointledger.ids import new_id, show_id
from pointledger.observability.verify import verify
from tests.ledger import Ledger


def test_q6_three_invalid_rows_of_ten_thousand_do_not_affect_the_others(
    ledger: Ledger,
) -> None:
    ledger.client.batch_earn("shop", [("closed", 1)], idempotency_key="opening")
    ledger.drain()
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET status = 'closed'")
    rows: list[Any] = [(f"u{number}", 5) for number in range(10_000)]
    rows[17], rows[4_000], rows[9_999] = ("closed", 5), ("no id\n", 5), ("u9999", -5)

    sent = ledger.client.batch_earn("shop", rows, idempotency_key="bonus-2026-03")
    assert ledger.client.batch_outcome(sent.batch_id).state == "pending"
    ledger.drain()

    whole = ledger.client.batch_outcome(sent.batch_id)
    assert (whole.state, whole.size, whole.applied, whole.dead, whole.pending) == (
        "done",
        10_000,
        9_997,
        0,
        0,
    )
    assert whole.refused == {"ACCOUNT_CLOSED": 1, "INVALID_COMMAND": 2}
    assert whole.points_earned == 9_997 * 5
    each = list(ledger.client.batch_outcomes(sent.batch_id))
    assert [place for place, outcome in enumerate(each) if outcome.state != "applied"] == [17, 4_000, 9_999]
    assert [outcome.task_id for outcome in each] == list(sent.task_ids)
    assert "amount" in (each[9_999].message or "")

    again = ledger.client.batch_earn("shop", rows, idempotency_key="bonus-2026-03")
    assert (again.batch_id, again.task_ids, again.new) == (sent.batch_id, sent.task_ids, 0)
    assert ledger.counts("pending", "dead_letters", "batches") == [0, 2, 2]
    assert verify(ledger.database).violations == 0


def test_a_key_with_other_rows_is_rejected_and_other_keys_are_other_batches(ledger: Ledger) -> None:
    first = ledger.client.batch_earn("shop", [("anna", 5)], idempotency_key="k")
    for rows in ([("anna", 6)], [("anna", 5), ("ben", 5)]):
        with pytest.raises(IdempotencyKeyReused):
            ledger.client.batch_earn("shop", rows, idempotency_key="k")
    second = ledger.client.batch_earn("shop", [("anna", 5)], idempotency_key="l")
    third = ledger.client.batch_earn("shop", [("anna", 5)], idempotency_key="k", actor="another-service")
    assert len({first.batch_id, second.batch_id, third.batch_id}) == 3
    ledger.drain()
    assert ledger.balance("anna") == 15


def test_a_row_can_be_an_object_with_only_an_earns_fields(ledger: Ledger) -> None:
    rows: list[Any] = [
        {"user_id": "anna", "amount": 5, "reason": "sorry"},
        {"user_id": "anna", "amount": 5, "tenant_id": "other"},
        {"user_id": "anna", "amount": 10**20},
        {"user_id": "anna", "amount": True},
        "no row",
        ("anna",),
    ]
    sent = ledger.client.batch_earn("shop", rows, idempotency_key="k")
    ledger.drain()
    states = [outcome.reason or outcome.state for outcome in ledger.client.batch_outcomes(sent.batch_id)]
    assert states == ["applied"] + ["INVALID_COMMAND"] * 5
    (entry,) = ledger.entries("anna")
    assert (entry["reason"], entry["source"]) == ("sorry", f"batch {sent.batch_id}")


def test_a_batch_can_have_only_invalid_rows(ledger: Ledger) -> None:
    sent = ledger.client.batch_earn("shop", [("", 5)], idempotency_key="k")
    assert (ledger.client.batch_outcome(sent.batch_id).state, sent.new) == ("done", 0)


def test_a_malformed_batch_is_rejected_as_a_whole(ledger: Ledger) -> None:
    for tenant, rows, key in (("shop", [], "k"), ("no shop\n", [("a", 1)], "k"), ("shop", [("a", 1)], "")):
        with pytest.raises(InvalidCommand):
            ledger.client.batch_earn(tenant, rows, idempotency_key=key)
    with pytest.raises(BatchMissing):
        ledger.client.batch_outcome(show_id(new_id()))
    with pytest.raises(InvalidCommand):
        ledger.client.batch_outcome("x")


def test_the_same_batch_in_five_concurrent_calls_is_accepted_once(ledger: Ledger) -> None:
    barrier, receipts = threading.Barrier(5), []

    def send() -> None:
        barrier.wait(30)
        rows = [(f"u{number}", 1) for number in range(500)]
        receipts.append(ledger.client.batch_earn("shop", rows, idempotency_key="k"))

    threads = [threading.Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({receipt.batch_id for receipt in receipts}) == 1
    assert sorted(receipt.new for receipt in receipts) == [0, 0, 0, 0, 500]
    assert ledger.counts("pending") == [500]
