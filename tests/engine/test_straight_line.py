"""A command goes from the client to its outcome."""

from pointledger import ApplyRule, Earn, Expire, Spend, Transfer
from tests.ledger import Ledger, data_of


def test_an_accepted_command_is_pending_and_then_applied_with_its_entry_and_lot(ledger: Ledger) -> None:
    ledger.tenant()
    task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=100))
    assert ledger.client.outcome(task_id).state == "pending"

    assert ledger.drain() == 1

    outcome = ledger.client.outcome(task_id)
    assert (outcome.state, data_of(outcome)["account"]["balance"]) == ("applied", 100)
    assert ledger.balance("anna") == 100
    assert list(ledger.counts("pending", "journal", "outcomes", "entries", "lots")) == [0, 1, 1, 1, 1]


def test_every_command_kind_takes_the_same_path(ledger: Ledger) -> None:
    ledger.tenant(transfer_enabled=True)
    ledger.rule(
        name="one per dollar",
        event_type="basket.paid",
        base={"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1},
        multiplier="1.5",
    )
    ledger.apply(Earn(tenant_id="shop", user_id="ben", amount=10))
    outcomes = ledger.apply(
        ApplyRule(
            tenant_id="shop", user_id="anna", event_type="basket.paid", metadata={"amount_minor": 1999}
        ),
        Transfer(tenant_id="shop", user_id="anna", to_user_id="ben", amount=8),
        Spend(tenant_id="shop", user_id="anna", amount=5),
        Expire(tenant_id="shop", user_id="anna", amount=30),
        Spend(tenant_id="shop", user_id="anna", amount=1),
    )
    assert [outcome.state for outcome in outcomes] == ["applied"] * 4 + ["refused"]
    assert data_of(outcomes[0])["points_earned"] == 28
    assert data_of(outcomes[3])["settled"] == 15
    assert outcomes[4].reason == "INSUFFICIENT_BALANCE"
    assert ledger.balance("anna") == 0
