"""Explanations of entries, and the export of one user."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pointledger import ApplyRule, Earn, Spend, Transfer
from tests.ledger import Ledger

LATER = datetime.now(UTC) + timedelta(days=30)


def test_an_explanation_names_command_rule_version_and_the_limit_that_capped_the_points(
    ledger: Ledger,
) -> None:
    ledger.rule(name="basket", event_type="basket.paid", points=5)
    ledger.rule(name="basket", event_type="basket.paid", points=15, daily_limit=10)
    (outcome,) = ledger.apply(
        ApplyRule(tenant_id="shop", user_id="anna", event_type="basket.paid", event_id="b-17")
    )
    (entry,) = ledger.entries("anna")

    explanation = ledger.client.explain_entry("shop", entry["id"])

    text = "\n".join(explanation.sentences)
    assert "(earn/rule) earned 10 points" in text
    assert f"Command apply-rule {outcome.task_id} of service created it: accepted " in text
    assert "Its event id: b-17." in text
    assert "Rule “basket”, version 2" in text
    assert "The rule would grant 15 points, but the limit user/day/points capped them at 10." in text
    assert explanation.grant is not None
    assert (explanation.grant["wanted"], explanation.grant["granted"]) == (15, 10)
    assert explanation.rule is not None
    assert explanation.rule["version"] == 2
    (lot,) = explanation.lots_arrived
    assert (lot["amount"], explanation.lots_moved) == (10, ())


def test_an_explanation_says_until_when_points_are_pending(ledger: Ledger) -> None:
    ledger.rule(name="order", event_type="order.paid", points=15, pending_days=14)
    order: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "event_type": "order.paid"}
    ledger.apply(ApplyRule(**order, occurred_at=LATER - timedelta(days=100)))
    ledger.apply(ApplyRule(**order))
    assert ledger.client.user_statistics("shop", "anna")["by_rule"][0]["pending"] == 15

    pending, activation, _ = (
        ledger.client.explain_entry("shop", entry["id"]) for entry in ledger.entries("anna")
    )

    assert pending.grant is not None
    text = "\n".join(pending.sentences)
    assert "Of these, 15 points are pending and become available later." in text
    assert f"The points are pending until {pending.grant['activates_at']}; their expiry" in text
    assert f"pending until {pending.lots_arrived[0]['activates_at']}, never expires" in text
    assert "Of these, 15 points are no longer pending." in "\n".join(activation.sentences)


def test_an_explanation_names_the_lots_that_paid(ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="ben", amount=1))
    ledger.apply(
        Earn(tenant_id="shop", user_id="anna", amount=10, expires_at=LATER),
        Earn(tenant_id="shop", user_id="anna", amount=10),
        Transfer(tenant_id="shop", user_id="anna", to_user_id="ben", amount=12),
        Spend(tenant_id="shop", user_id="anna", amount=3),
    )
    spent, given = ledger.entries("anna")[:2]
    (paid,) = ledger.client.explain_entry("shop", spent["id"]).lots_moved
    assert (paid["amount"], paid["kind"], paid["expires_at"]) == (3, "spend", None)

    explanation = ledger.client.explain_entry("shop", given["id"])
    assert [lot["amount"] for lot in explanation.lots_moved] == [10, 2]
    assert f"It belongs to entry {given['related_id']}." in explanation.sentences

    received = ledger.client.explain_entry("shop", given["related_id"])
    assert [lot["amount"] for lot in received.lots_arrived] == [10, 2]
    assert "on behalf of user anna" in " ".join(received.sentences)


def test_an_explanation_says_that_a_refused_command_expired_due_points(ledger: Ledger) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    ledger.apply(
        Earn(
            tenant_id="shop",
            user_id="anna",
            amount=10,
            occurred_at=long_ago,
            expires_at=long_ago + timedelta(1),
        ),
        Spend(tenant_id="shop", user_id="anna", amount=3),
    )
    (expired, _) = ledger.entries("anna")
    text = " ".join(ledger.client.explain_entry("shop", expired["id"]).sentences)
    assert "expired 10 points" in text
    assert "The command was refused" in text


def test_an_export_has_everything_about_the_user_and_nothing_about_others(ledger: Ledger) -> None:
    outcomes = ledger.apply(
        Earn(tenant_id="shop", user_id="anna", amount=10, description="for Anna"),
        Spend(tenant_id="shop", user_id="anna", amount=10),
        Spend(tenant_id="shop", user_id="anna", amount=10),
        Earn(tenant_id="shop", user_id="ben", amount=10, description="for Ben"),
    )
    pending = ledger.client.enqueue(Spend(tenant_id="shop", user_id="anna", amount=1))

    export = ledger.client.export_user("shop", "anna")

    assert export["account"] | ledger.account("anna") == export["account"]
    assert [entry["seq"] for entry in export["entries"]] == [2, 1]
    assert [(lot["amount"], lot["state"]) for lot in export["lots"]] == [(10, "consumed")]
    commands = [(command["task_id"], command["state"], command["reason"]) for command in export["commands"]]
    assert commands == [
        (outcomes[0].task_id, "applied", None),
        (outcomes[1].task_id, "applied", None),
        (outcomes[2].task_id, "refused", "INSUFFICIENT_BALANCE"),
        (pending, "pending", None),
    ]
    assert export["commands"][0]["payload"] == {"amount": 10, "description": "for Anna"}
    assert "Ben" not in str(export)


def test_a_user_with_refused_commands_only_has_an_export(ledger: Ledger) -> None:
    ledger.apply(Spend(tenant_id="shop", user_id="anna", amount=10))
    export = ledger.client.export_user("shop", "anna")
    assert (export["account"], len(export["commands"])) == (None, 1)
