"""Why an entry is there, in words; and everything about one user."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pointledger import ApplyRule, Earn, Spend, Transfer
from tests.ledger import Ledger

LATER = datetime.now(UTC) + timedelta(days=30)


def test_why_names_command_rule_version_and_the_limit_that_held_points_back(ledger: Ledger) -> None:
    ledger.rule(name="basket", event_type="basket.paid", points=5)
    ledger.rule(name="basket", event_type="basket.paid", points=15, daily_limit=10)
    (outcome,) = ledger.apply(
        ApplyRule(tenant_id="shop", user_id="anna", event_type="basket.paid", event_id="b-17")
    )
    (entry,) = ledger.entries("anna")

    why = ledger.client.why("shop", entry["id"])

    told = "\n".join(why.told)
    assert "(earn/rule) brought 10 points" in told
    assert f"The command apply-rule {outcome.task_id} of service made it: accepted " in told
    assert "Its event id: b-17." in told
    assert "Rule “basket”, version 2" in told
    assert "wanted 15 points; 10 were granted: the limit" in told
    assert why.grant is not None
    assert (why.grant["wanted"], why.grant["granted"]) == (15, 10)
    assert why.rule is not None
    assert why.rule["version"] == 2
    (lot,) = why.lots_arrived
    assert (lot["amount"], why.lots_moved) == (10, ())


def test_why_tells_that_points_wait_and_when_they_have_become_available(ledger: Ledger) -> None:
    ledger.rule(name="order", event_type="order.paid", points=15, pending_days=14)
    order: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "event_type": "order.paid"}
    ledger.apply(ApplyRule(**order, occurred_at=LATER - timedelta(days=100)))
    ledger.apply(ApplyRule(**order))
    assert ledger.client.user_statistics("shop", "anna")["by_rule"][0]["pending"] == 15

    waits, activation, _ = (ledger.client.why("shop", entry["id"]) for entry in ledger.entries("anna"))

    assert waits.grant is not None
    told = "\n".join(waits.told)
    assert "Of these, 15 points are pending, and available later." in told
    assert f"The rule lets its points wait until {waits.grant['activates_at']}; their expiry" in told
    assert f"pending until {waits.lots_arrived[0]['activates_at']}, never expires" in told
    assert "Of these, 15 points are pending no longer." in "\n".join(activation.told)


def test_why_tells_which_lots_paid(ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="ben", amount=1))
    ledger.apply(
        Earn(tenant_id="shop", user_id="anna", amount=10, expires_at=LATER),
        Earn(tenant_id="shop", user_id="anna", amount=10),
        Transfer(tenant_id="shop", user_id="anna", to_user_id="ben", amount=12),
        Spend(tenant_id="shop", user_id="anna", amount=3),
    )
    spent, given = ledger.entries("anna")[:2]
    (paid,) = ledger.client.why("shop", spent["id"]).lots_moved
    assert (paid["amount"], paid["kind"], paid["expires_at"]) == (3, "spend", None)

    why = ledger.client.why("shop", given["id"])
    assert [lot["amount"] for lot in why.lots_moved] == [10, 2]
    assert f"It belongs to entry {given['related_id']}." in why.told

    received = ledger.client.why("shop", given["related_id"])
    assert [lot["amount"] for lot in received.lots_arrived] == [10, 2]
    assert "on behalf of user anna" in " ".join(received.told)


def test_why_tells_of_points_that_somebodys_touch_let_expire(ledger: Ledger) -> None:
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
    told = " ".join(ledger.client.why("shop", expired["id"]).told)
    assert "let 10 points expire" in told
    assert "The command itself was refused" in told


def test_an_export_has_everything_about_the_user_and_nothing_about_others(ledger: Ledger) -> None:
    outcomes = ledger.apply(
        Earn(tenant_id="shop", user_id="anna", amount=10, description="for Anna"),
        Spend(tenant_id="shop", user_id="anna", amount=10),
        Spend(tenant_id="shop", user_id="anna", amount=10),
        Earn(tenant_id="shop", user_id="ben", amount=10, description="for Ben"),
    )
    waiting = ledger.client.enqueue(Spend(tenant_id="shop", user_id="anna", amount=1))

    export = ledger.client.export_user("shop", "anna")

    assert export["account"] | ledger.account("anna") == export["account"]
    assert [entry["seq"] for entry in export["entries"]] == [2, 1]
    assert [(lot["amount"], lot["state"]) for lot in export["lots"]] == [(10, "consumed")]
    told = [(command["task_id"], command["state"], command["reason"]) for command in export["commands"]]
    assert told == [
        (outcomes[0].task_id, "applied", None),
        (outcomes[1].task_id, "applied", None),
        (outcomes[2].task_id, "refused", "INSUFFICIENT_BALANCE"),
        (waiting, "pending", None),
    ]
    assert export["commands"][0]["payload"] == {"amount": 10, "description": "for Anna"}
    assert "Ben" not in str(export)


def test_who_was_only_ever_refused_has_an_export_too(ledger: Ledger) -> None:
    ledger.apply(Spend(tenant_id="shop", user_id="anna", amount=10))
    export = ledger.client.export_user("shop", "anna")
    assert (export["account"], len(export["commands"])) == (None, 1)
