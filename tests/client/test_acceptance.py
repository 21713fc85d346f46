"""An accepted command is in the journal once and in order, also with concurrent calls."""

from uuid import UUID, uuid4

import pytest

from pointledger.errors import AcceptanceBusy, IdempotencyKeyReused
from pointledger.ids import parse_id, show_id
from tests.client.accepting import accept_both, at_once, earn, in_journal
from tests.ledger import Ledger

# --------------------------------------------------------------------------------------- order and ids


def test_the_order_of_the_input_is_the_order_of_application(ledger: Ledger) -> None:
    commands = [
        earn(number + 1, user_id=f"user-{number * 7 % 50}", idempotency_key=f"k-{number * 13 % 1200}")
        for number in range(1200)  # more than go into one statement
    ]
    task_ids = ledger.client.enqueue_many(commands)
    assert in_journal(ledger) == task_ids == [show_id(command.id) for command in commands]
    pending = ledger.rows("SELECT p.id FROM pending p ORDER BY p.seq")
    assert [show_id(row[0]) for row in pending] == task_ids


def test_consecutive_calls_keep_their_order(ledger: Ledger) -> None:
    task_ids = [ledger.client.enqueue(earn(number + 1)) for number in range(20)]
    assert in_journal(ledger) == task_ids


def test_a_task_id_is_valid_as_ulid_and_as_uuid(ledger: Ledger) -> None:
    ledger.tenant()
    command = earn(id=uuid4())
    task_id = ledger.client.enqueue(command)
    ledger.drain()
    for spelling in (task_id, task_id.lower(), str(command.id), str(command.id).upper()):
        outcome = ledger.client.outcome(spelling)
        assert (outcome.state, outcome.task_id) == ("applied", task_id)


def test_an_unused_id_is_unknown_and_not_pending(ledger: Ledger) -> None:
    outcome = ledger.client.outcome(str(uuid4()))
    assert (outcome.state, outcome.is_final) == ("unknown", False)


def test_outcomes_have_the_order_of_their_ids(ledger: Ledger) -> None:
    ledger.tenant()
    task_ids = [ledger.client.enqueue(earn(number + 1)) for number in range(5)]
    ledger.drain()
    wanted = [*task_ids[::-1], show_id(UUID(int=7)), task_ids[2], str(parse_id(task_ids[2]))]
    found = ledger.client.outcomes(wanted)
    assert [outcome.task_id for outcome in found] == [show_id(parse_id(task_id)) for task_id in wanted]


# ------------------------------------------------------------------------------------ concurrent calls


def test_one_key_in_concurrent_calls_is_one_command(ledger: Ledger) -> None:
    ledger.tenant()
    commands = [earn(idempotency_key="k") for _ in range(5)]
    receipts = at_once(*(lambda command=command: ledger.client.accept([command]) for command in commands))
    assert sorted(receipt.new for receipt in receipts) == [0, 0, 0, 0, 1]
    ledger.drain()
    outcomes = [ledger.client.outcome(receipt.task_ids[0]) for receipt in receipts]
    assert [outcome.state for outcome in outcomes] == ["applied"] * 5
    assert ledger.balance("anna") == 5


def test_one_key_with_two_contents_in_concurrent_calls_is_accepted_once(ledger: Ledger) -> None:
    for number in range(5):
        one, other = (earn(amount, idempotency_key=f"k-{number}") for amount in (1, 2))
        results = accept_both(ledger, [one], [other])
        refused = [result for result in results if isinstance(result, IdempotencyKeyReused)]
        assert (len(refused), len(in_journal(ledger))) == (1, number + 1)


@pytest.mark.parametrize("by", ["id", "key"])
def test_overlapping_calls_in_opposite_order_never_deadlock(ledger: Ledger, by: str) -> None:
    for round_number in range(10):
        keys = [f"{round_number}-{number}" for number in range(100)]
        if by == "id":
            one = [earn() for _ in keys]
            other = one[::-1]
        else:
            one = [earn(idempotency_key=key) for key in keys]
            other = [earn(idempotency_key=key) for key in reversed(keys)]
        receipts = accept_both(ledger, one, other)
        assert sum(receipt.new for receipt in receipts) == 100
    assert list(ledger.counts("journal", "pending")) == [1000, 1000]


def test_overlapping_calls_of_several_statements_are_all_accepted(ledger: Ledger) -> None:
    one = [earn(idempotency_key=f"k-{number}") for number in range(1100)]
    other = [earn(idempotency_key=f"k-{number}") for number in reversed(range(1100))]
    results = accept_both(ledger, one, other)
    for commands, result in zip((one, other), results, strict=True):
        if isinstance(result, AcceptanceBusy):  # each had locked keys of the other, so one is sent again
            ledger.client.accept(commands)
        else:
            assert result.task_ids == [show_id(command.id) for command in commands]
    assert list(ledger.counts("journal", "pending", "aliases")) == [1100, 1100, 1100]
