"""What administrators do is kept with who, why, before and after; in the transaction that does it."""

from typing import Any

import pytest

from pointledger import (
    Adjust,
    By,
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
from pointledger.observability.verify import audit
from pointledger.storage.ledger import audit_log as acts_storage
from pointledger.storage.queue import failures
from tests.ledger import Ledger

ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
BOSS: dict[str, Any] = {**ANNA, "actor": "boss"}


@pytest.fixture
def shop(ledger: Ledger) -> Ledger:
    ledger.tenant()
    ledger.apply(Earn(**ANNA, amount=100))
    return ledger


def acts(ledger: Ledger, **asked: Any) -> list[dict[str, Any]]:
    """Without the tenant's own."""
    return [act for act in ledger.client.acts("shop", **asked) if act["kind"] != "tenant-put"]


def test_an_adjustment_is_kept_with_who_why_before_and_after(shop: Ledger) -> None:
    (outcome,) = shop.apply(Adjust(**BOSS, amount=-30, reason="booked twice"))
    (act,) = acts(shop)
    assert (act["kind"], act["actor"], act["reason"], act["user_id"]) == (
        "adjust",
        "boss",
        "booked twice",
        "anna",
    )
    assert (act["state"], act["refusal"], act["command_id"]) == ("applied", None, outcome.task_id)
    assert act["before"]["account"]["balance"] == 100
    assert act["after"]["account"]["balance"] == 70
    assert (act["before"]["account"]["version"], act["after"]["account"]["version"]) == (1, 2)
    (fingerprint,) = shop.rows("SELECT encode(fingerprint, 'hex') FROM journal WHERE kind = 'adjust'")[0]
    assert act["request_hash"] == fingerprint


def test_w_69_a_refused_act_is_kept_too_with_nothing_changed(shop: Ledger) -> None:
    shop.apply(WalletAdjust(**BOSS, type="deposit", amount="5", reason="won"))
    shop.apply(WalletAdjust(**BOSS, type="withdraw", amount="9", reason="paid out"))
    refused, applied = acts(shop)
    assert (refused["state"], refused["refusal"], refused["reason"]) == (
        "refused",
        "INSUFFICIENT_BALANCE",
        "paid out",
    )
    assert refused["before"] == refused["after"]
    assert applied["before"]["wallet"] is None
    assert applied["after"]["wallet"]["balance"] == "5.00"


def test_these_kinds_of_command_are_acts_and_others_are_not(shop: Ledger) -> None:
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
    kept = [
        "refund",
        "unfreeze",
        "freeze",
        "import-opening-balance",
        "expire",
        "wallet-adjust",
        "set-status",
        "adjust",
    ]
    assert [act["kind"] for act in acts(shop)] == kept
    shop.apply(Earn(**BOSS, amount=1), Spend(**BOSS, amount=1), Freeze(**ANNA, amount=1))
    shop.apply(Freeze(**ANNA, actor="anna", amount=1), Unfreeze(**ANNA, actor="svc:till", amount=1))
    assert len(acts(shop)) == len(kept)
    assert set(KINDS) >= ALWAYS


def test_an_act_is_there_exactly_if_its_effect_is(shop: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("the moon is full")

    with monkeypatch.context() as patched:
        patched.setattr("pointledger.engine.batch.save_acts", fail)
        shop.client.enqueue(Adjust(**BOSS, amount=1, reason="a"))
        shop.drain()
    assert (shop.balance("anna"), acts(shop)) == (100, [])


def test_what_is_done_to_programmes_is_kept_with_what_was_before(shop: Ledger) -> None:
    shop.rule(name="visits", event_type="visit", points=5)
    shop.rule(name="visits", event_type="visit", points=5)  # nothing changes
    shop.rule(name="visits", event_type="visit", points=7)
    shop.tenant(transfer_enabled=True)
    latest, second, first, made = shop.client.acts("shop")
    kinds = [act["kind"] for act in (latest, second, first, made)]
    assert kinds == ["tenant-put", "rule-put", "rule-put", "tenant-put"]
    assert (first["before"], made["before"]) == (None, None)
    assert second["before"]["award"]["base"]["points"] == 5
    assert second["after"]["award"]["base"]["points"] == 7
    assert (latest["before"]["transfer_enabled"], latest["after"]["transfer_enabled"]) == (False, True)
    assert latest["actor"] == "operator"


def test_who_holds_back_cancels_and_retries_is_kept(shop: Ledger) -> None:
    by = By("cli:eva", "the till is broken")
    shop.client.pause("shop", by)
    task_id = shop.client.enqueue(Spend(**ANNA, amount=1))
    shop.client.cancel(task_id, by)
    with pytest.raises(NotWaiting):
        shop.client.cancel(task_id, by)
    with pytest.raises(NotDead):
        shop.client.retry(task_id, by)
    shop.client.resume("shop", by)
    found = acts(shop)
    assert [(act["kind"], act["refusal"]) for act in found] == [
        ("resume", None), ("dead-retry", "NOT_DEAD"), ("cancel", "NOT_WAITING"), ("cancel", None),
        ("pause", None),
    ]  # fmt: skip
    assert {(act["actor"], act["reason"]) for act in found} == {by}
    assert [act["user_id"] for act in found] == [None, "anna", "anna", "anna", None]
    assert found[-1]["before"] == {"paused_since": None} == found[0]["after"]
    assert audit(shop.database).violations == 0


def test_a_dead_command_that_is_retried_is_kept(shop: Ledger) -> None:
    task_id = shop.client.enqueue(Spend(**ANNA, amount=1))
    with shop.database.begin() as connection:
        lane = shop.waiting_lanes()[0]
        command_id = shop.rows("SELECT id FROM pending")[0][0]
        failures.charge(connection, lane, command_id, "OSError: the moon is full")
        failures.bury(connection, lane, command_id, hold=False)
    assert shop.client.retry(task_id, By("eva")) == task_id
    (act,) = acts(shop, kind="dead-retry")
    assert (act["state"], act["command_id"]) == ("applied", task_id)
    shop.drain()
    assert shop.balance("anna") == 99


def test_acts_are_found_by_user_actor_kind_and_state_page_by_page(shop: Ledger) -> None:
    for number in range(5):
        shop.apply(Adjust(**BOSS, amount=number + 1, reason=f"reason {number}"))
    shop.apply(Adjust(tenant_id="shop", user_id="ben", actor="eva", amount=-1, reason="none"))
    assert len(acts(shop, user_id="anna")) == 5
    assert [act["user_id"] for act in acts(shop, actor="eva")] == ["ben"]
    assert [act["user_id"] for act in acts(shop, state="refused")] == ["ben"]
    first = acts(shop, kind="adjust", user_id="anna", limit=3)
    rest = acts(shop, kind="adjust", user_id="anna", limit=3, before=first[-1]["id"])
    assert [act["reason"] for act in first + rest] == [f"reason {number}" for number in (4, 3, 2, 1, 0)]
    assert shop.client.acts("shop", before=rest[-1]["id"], kind="adjust") == []


def test_a_batch_without_acts_does_nothing_for_them(shop: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(acts_storage, "run", lambda *_, **__: asked.append("written"))
    monkeypatch.setattr("pointledger.domain.decisions.audit._standing", lambda *_: asked.append("looked"))
    shop.apply(Earn(**ANNA, amount=1), Spend(**ANNA, amount=1))
    assert asked == []
