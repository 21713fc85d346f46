"""The audit log records what administrators do, with actor, reason, before and after, in its transaction."""

from typing import Any

import pytest

from pointledger import (
    Actor,
    Adjust,
    Earn,
    Expire,
    Freeze,
    ImportOpeningBalance,
    OpeningLot,
    Refund,
    SetStatus,
    Spend,
    Unfreeze,
    WalletAdjust,
)
from pointledger.domain.commands import KINDS
from pointledger.domain.decisions.audit import ALWAYS
from pointledger.errors import NotDead, NotWaiting
from pointledger.observability.verify import verify
from pointledger.storage.ledger import audit_log as audit_log_storage
from pointledger.storage.queue import failures
from tests.ledger import Ledger

ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
BOSS: dict[str, Any] = {**ANNA, "actor": "boss"}


@pytest.fixture
def shop(ledger: Ledger) -> Ledger:
    ledger.tenant()
    ledger.apply(Earn(**ANNA, amount=100))
    return ledger


def audit_log(ledger: Ledger, **filters: Any) -> list[dict[str, Any]]:
    """Return the audit log without the records of the tenant's configuration."""
    found = ledger.client.audit_log("shop", **filters)
    return [record for record in found if record["kind"] != "tenant-put"]


def test_an_adjustment_is_recorded_with_actor_reason_before_and_after(shop: Ledger) -> None:
    (outcome,) = shop.apply(Adjust(**BOSS, amount=-30, reason="booked twice"))
    (record,) = audit_log(shop)
    about = record["kind"], record["actor"], record["reason"], record["user_id"]
    assert about == ("adjust", "boss", "booked twice", "anna")
    assert (record["state"], record["refusal"], record["command_id"]) == ("applied", None, outcome.task_id)
    before, after = record["before"]["account"], record["after"]["account"]
    assert (before["balance"], after["balance"]) == (100, 70)
    assert (before["version"], after["version"]) == (1, 2)
    (fingerprint,) = shop.rows("SELECT encode(fingerprint, 'hex') FROM journal WHERE kind = 'adjust'")[0]
    assert record["request_hash"] == fingerprint


def test_w_69_a_refused_command_is_recorded_too_with_nothing_changed(shop: Ledger) -> None:
    shop.apply(WalletAdjust(**BOSS, type="deposit", amount="5", reason="won"))
    shop.apply(WalletAdjust(**BOSS, type="withdraw", amount="9", reason="paid out"))
    refused, applied = audit_log(shop)
    assert (refused["state"], refused["refusal"], refused["reason"]) == (
        "refused",
        "INSUFFICIENT_BALANCE",
        "paid out",
    )
    assert refused["before"] == refused["after"]
    assert applied["before"]["wallet"] is None
    assert applied["after"]["wallet"]["balance"] == "5.00"


def test_the_audit_log_records_these_command_kinds_and_no_others(shop: Ledger) -> None:
    lots = (OpeningLot(amount=5),)
    shop.apply(
        Adjust(**BOSS, amount=1, reason="a"),
        SetStatus(**BOSS, status="active", reason="b"),
        WalletAdjust(**BOSS, type="deposit", amount="1", reason="c"),
        Expire(**BOSS, amount=1),
        ImportOpeningBalance(**BOSS, lots=lots),
        Freeze(**BOSS, amount=2),
        Unfreeze(**BOSS, amount=2),
        Refund(**BOSS, amount=1),
    )
    recorded = [
        "refund",
        "unfreeze",
        "freeze",
        "import-opening-balance",
        "expire",
        "wallet-adjust",
        "set-status",
        "adjust",
    ]
    assert [record["kind"] for record in audit_log(shop)] == recorded
    shop.apply(Earn(**BOSS, amount=1), Spend(**BOSS, amount=1), Freeze(**ANNA, amount=1))
    shop.apply(Freeze(**ANNA, actor="anna", amount=1), Unfreeze(**ANNA, actor="svc:till", amount=1))
    assert len(audit_log(shop)) == len(recorded)
    assert set(KINDS) >= ALWAYS


def test_an_audit_record_exists_exactly_if_its_effect_does(
    shop: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the moon is full")

    with monkeypatch.context() as patched:
        patched.setattr("pointledger.engine.phases.save_audit_records", fail)
        shop.client.enqueue(Adjust(**BOSS, amount=1, reason="a"))
        shop.drain()
    assert (shop.balance("anna"), audit_log(shop)) == (100, [])


def test_changes_of_programs_are_recorded_with_the_state_before(shop: Ledger) -> None:
    shop.rule(name="visits", event_type="visit", points=5)
    shop.rule(name="visits", event_type="visit", points=5)  # nothing changes
    shop.rule(name="visits", event_type="visit", points=7)
    shop.tenant(transfer_enabled=True)
    latest, second, first, made = shop.client.audit_log("shop")
    kinds = [record["kind"] for record in (latest, second, first, made)]
    assert kinds == ["tenant-put", "rule-put", "rule-put", "tenant-put"]
    assert (first["before"], made["before"]) == (None, None)
    assert second["before"]["award"]["base"]["points"] == 5
    assert second["after"]["award"]["base"]["points"] == 7
    assert (latest["before"]["transfer_enabled"], latest["after"]["transfer_enabled"]) == (False, True)
    assert latest["actor"] == "operator"


def test_pauses_cancellations_and_retries_are_recorded_with_their_actor(shop: Ledger) -> None:
    by = Actor("cli:eva", "the till is broken")
    shop.client.pause("shop", by)
    task_id = shop.client.enqueue(Spend(**ANNA, amount=1))
    shop.client.cancel(task_id, by)
    with pytest.raises(NotWaiting):
        shop.client.cancel(task_id, by)
    with pytest.raises(NotDead):
        shop.client.retry(task_id, by)
    shop.client.resume("shop", by)
    found = audit_log(shop)
    assert [(record["kind"], record["refusal"]) for record in found] == [
        ("resume", None), ("dead-retry", "NOT_DEAD"), ("cancel", "NOT_WAITING"), ("cancel", None),
        ("pause", None),
    ]  # fmt: skip
    assert {(record["actor"], record["reason"]) for record in found} == {by}
    assert [record["user_id"] for record in found] == [None, "anna", "anna", "anna", None]
    assert found[-1]["before"] == {"paused_since": None} == found[0]["after"]
    assert verify(shop.database).violations == 0


def test_the_retry_of_a_dead_command_is_recorded(shop: Ledger) -> None:
    task_id = shop.client.enqueue(Spend(**ANNA, amount=1))
    with shop.database.begin() as connection:
        lane = shop.waiting_lanes()[0]
        command_id = shop.rows("SELECT id FROM pending")[0][0]
        failures.record_failure(connection, lane, command_id, "OSError: the moon is full")
        failures.mark_dead(connection, lane, command_id, block=False)
    assert shop.client.retry(task_id, Actor("eva")) == task_id
    (record,) = audit_log(shop, kind="dead-retry")
    assert (record["state"], record["command_id"]) == ("applied", task_id)
    shop.drain()
    assert shop.balance("anna") == 99


def test_audit_records_are_found_by_user_actor_kind_and_state_in_pages(shop: Ledger) -> None:
    for number in range(5):
        shop.apply(Adjust(**BOSS, amount=number + 1, reason=f"reason {number}"))
    shop.apply(Adjust(tenant_id="shop", user_id="ben", actor="eva", amount=-1, reason="none"))
    assert len(audit_log(shop, user_id="anna")) == 5
    assert [record["user_id"] for record in audit_log(shop, actor="eva")] == ["ben"]
    assert [record["user_id"] for record in audit_log(shop, state="refused")] == ["ben"]
    first = audit_log(shop, kind="adjust", user_id="anna", limit=3)
    rest = audit_log(shop, kind="adjust", user_id="anna", limit=3, before=first[-1]["id"])
    assert [record["reason"] for record in first + rest] == [f"reason {number}" for number in (4, 3, 2, 1, 0)]
    assert shop.client.audit_log("shop", before=rest[-1]["id"], kind="adjust") == []


def test_a_batch_without_audit_records_runs_no_query_for_them(
    shop: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(audit_log_storage, "send_change", lambda *_, **__: calls.append("written"))
    monkeypatch.setattr("pointledger.domain.decisions.audit._state_of", lambda *_: calls.append("read"))
    shop.apply(Earn(**ANNA, amount=1), Spend(**ANNA, amount=1))
    assert calls == []
