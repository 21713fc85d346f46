"""A command with a known id or key is a duplicate, and gets the outcome of the first one."""

from typing import Any
from uuid import uuid4

import pytest

from pointledger import ApplyRule, Earn, Spend
from pointledger.errors import IdempotencyKeyReused
from pointledger.ids import show_id
from tests.client.accepting import earn, in_journal, rings
from tests.ledger import Ledger


def test_a_command_that_is_sent_again_is_accepted_once(ledger: Ledger) -> None:
    ledger.tenant()
    command = earn()
    first = ledger.client.accept([command])
    again = ledger.client.accept([command])
    assert (first.new, again.new) == (1, 0)
    assert first.task_ids == again.task_ids
    ledger.drain()
    after = ledger.client.accept([command])
    ledger.drain()
    assert (after.new, ledger.balance("anna")) == (0, 5)
    assert list(ledger.counts("journal", "outcomes", "entries", "pending")) == [1, 1, 1, 0]


def test_t5_a_known_key_with_a_new_id_gets_the_first_outcome(ledger: Ledger) -> None:
    ledger.tenant()
    first, before, after = (earn(idempotency_key="k") for _ in range(3))
    task_ids = [ledger.client.enqueue(first), ledger.client.enqueue(before)]
    assert len(set(task_ids)) == 2
    assert [outcome.state for outcome in ledger.client.outcomes(task_ids)] == ["pending", "pending"]
    ledger.drain()
    task_ids.append(ledger.client.enqueue(after))
    outcomes = ledger.client.outcomes(task_ids)
    assert [outcome.state for outcome in outcomes] == ["applied"] * 3
    assert outcomes[0].data == outcomes[1].data == outcomes[2].data
    assert list(ledger.counts("journal", "entries", "pending")) == [1, 1, 0]


def test_a_duplicate_with_its_own_id_can_be_sent_again(ledger: Ledger) -> None:
    ledger.tenant()
    first, second = earn(idempotency_key="k"), earn(idempotency_key="k")
    for command in (first, second, second, first, second):
        ledger.client.enqueue(command)
    ledger.drain()
    assert list(ledger.counts("journal", "aliases", "entries")) == [1, 1, 1]
    assert ledger.client.outcome(show_id(second.id)).state == "applied"


def test_the_id_of_a_duplicate_with_other_content_is_rejected(ledger: Ledger) -> None:
    second = earn(idempotency_key="k")
    ledger.client.enqueue_many([earn(idempotency_key="k"), second])
    with pytest.raises(IdempotencyKeyReused):
        ledger.client.enqueue(earn(6, id=second.id))


def test_t5_a_duplicate_of_a_refused_command_gets_its_refusal(ledger: Ledger) -> None:
    ledger.tenant()
    spends = [Spend(tenant_id="shop", user_id="anna", amount=5, idempotency_key="k") for _ in range(2)]
    [first] = ledger.apply(spends[0])
    ledger.apply(earn(100))
    [again] = ledger.apply(spends[1])
    assert (first.reason, again.reason) == ("ACCOUNT_NOT_FOUND", "ACCOUNT_NOT_FOUND")
    assert ledger.balance("anna") == 100


@pytest.mark.parametrize(
    "change", [{"amount": 6}, {"user_id": "ben"}, {"reason": "gift"}, {"occurred_at": "2026-01-01T00:00:00Z"}]
)
@pytest.mark.parametrize("by", ["id", "key"])
def test_t5_other_content_with_a_known_id_or_key_rejects_the_whole_call(
    ledger: Ledger, by: str, change: dict[str, Any]
) -> None:
    first = earn(idempotency_key="k")
    ledger.client.enqueue(first)
    fields = {"tenant_id": "shop", "user_id": "anna", "amount": 5, **change}
    other = Earn.model_validate(
        {**fields, "id": first.id} if by == "id" else {**fields, "idempotency_key": "k"}
    )
    neighbors = [earn(user_id=f"user-{number}") for number in range(5)]
    with pytest.raises(IdempotencyKeyReused, match="k" if by == "key" else show_id(first.id)):
        ledger.client.enqueue_many([*neighbors[:3], other, *neighbors[3:]])
    assert in_journal(ledger) == [show_id(first.id)]
    assert list(ledger.counts("pending", "aliases")) == [1, 0]


def test_t5_a_key_belongs_to_its_tenant_actor_and_kind(ledger: Ledger) -> None:
    fields: dict[str, Any] = {"user_id": "anna", "amount": 5, "idempotency_key": "k"}
    receipt = ledger.client.accept(
        [
            Earn(tenant_id="shop", **fields),
            Earn(tenant_id="other", **fields),
            Earn(tenant_id="shop", actor="till", **fields),
            Spend(tenant_id="shop", **fields),
            Earn(tenant_id="shop", **{**fields, "idempotency_key": "K"}),
            Earn(tenant_id="shop", **{**fields, "idempotency_key": "k "}),
        ]
    )
    assert receipt.new == 6


def test_commands_without_a_key_are_all_different(ledger: Ledger) -> None:
    assert ledger.client.accept([earn() for _ in range(3)]).new == 3


def test_an_events_id_is_its_key(ledger: Ledger) -> None:
    event: dict[str, Any] = {
        "tenant_id": "shop",
        "user_id": "anna",
        "event_type": "visit",
        "event_id": "order-1",
    }
    assert ledger.client.accept([ApplyRule(**event)]).new == 1
    assert ledger.client.accept([ApplyRule(**event)]).new == 0
    with pytest.raises(IdempotencyKeyReused, match="order-1"):
        ledger.client.enqueue(ApplyRule(**{**event, "event_type": "order"}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": {"x": 1, "y": 2}}, {"b": {"y": 2, "x": 1}, "a": 1}),
        ({"order": {"x": 1, "y": 2}}, {"order": {"y": 2, "x": 1}}),
    ],
    ids=["two keys", "one key with two inside"],
)
def test_the_order_of_keys_in_metadata_does_not_matter(
    ledger: Ledger, one: dict[str, Any], other: dict[str, Any]
) -> None:
    event: dict[str, Any] = {
        "tenant_id": "shop",
        "user_id": "anna",
        "event_type": "visit",
        "event_id": "order-1",
    }
    news = [ledger.client.accept([ApplyRule(**event, metadata=metadata)]).new for metadata in (one, other)]
    assert news == [1, 0]


def test_duplicates_within_one_call_are_one_command(ledger: Ledger) -> None:
    ledger.tenant()
    same, first, second = earn(1), earn(2, idempotency_key="k"), earn(2, idempotency_key="k")
    receipt = ledger.client.accept([same, first, same, second, same])
    assert receipt.new == 2
    assert receipt.task_ids == [show_id(command.id) for command in (same, first, same, second, same)]
    ledger.drain()
    assert {outcome.state for outcome in ledger.client.outcomes(receipt.task_ids)} == {"applied"}
    assert ledger.balance("anna") == 3


@pytest.mark.parametrize("by", ["id", "key"])
def test_two_contents_with_one_id_or_key_within_one_call_are_rejected(ledger: Ledger, by: str) -> None:
    shared: dict[str, Any] = {"id": uuid4()} if by == "id" else {"idempotency_key": "k"}
    with pytest.raises(IdempotencyKeyReused):
        ledger.client.enqueue_many([earn(1), earn(2, **shared), earn(3, **shared)])
    assert in_journal(ledger) == []


def test_an_empty_call_accepts_nothing(ledger: Ledger) -> None:
    assert ledger.client.accept([]).task_ids == []
    assert rings(ledger) == 0
