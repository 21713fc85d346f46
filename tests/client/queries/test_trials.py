"""A trial says what applying the command now does, and changes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pointledger import (
    Adjust,
    ApplyRule,
    CancelPending,
    Clawback,
    ConfirmDeduction,
    Earn,
    EraseUser,
    Expire,
    ExtendExpiry,
    Freeze,
    OpenAccount,
    Refund,
    SetExpiryExemption,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
    WalletAdjust,
)
from pointledger.domain.commands import AnyCommand
from pointledger.ids import parse_id
from tests.ledger import Ledger, data_of
from tests.waiting import wait_until

ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
FIGURES = ("status", "balance", "frozen_balance", "pending_balance", "debt", "total_earned", "total_spent")


def _prepare(ledger: Ledger) -> dict[str, UUID]:
    """Give anna points that have expired, others that expire, pending ones, a spend and a hold."""
    now = datetime.now(UTC)
    soon = now + timedelta(milliseconds=300)
    ledger.tenant("shop", transfer_enabled=True)
    ledger.rule("shop", name="visit", event_type="visit", points=10)
    past = now - timedelta(days=2)
    *_, earned, pending, spent, held = ledger.apply(
        OpenAccount(tenant_id="shop", user_id="ben"),
        Earn(**ANNA, amount=40, occurred_at=past, expires_at=soon),
        Earn(**ANNA, amount=500, occurred_at=past, expires_at=now + timedelta(days=30)),
        Earn(**ANNA, amount=60, activates_at=now + timedelta(days=3)),
        Spend(**ANNA, amount=100),
        Freeze(**ANNA, amount=70),
    )
    ids = {"earned": earned, "pending": pending, "spent": spent}
    wait_until(lambda: datetime.now(UTC) > soon, "the first points have expired")
    entries = {name: parse_id(data_of(one)["transactions"][0]["id"]) for name, one in ids.items()}
    return entries | {"held": parse_id(data_of(held)["hold_id"])}


def _commands(ids: dict[str, UUID]) -> list[AnyCommand]:
    why: dict[str, Any] = {"reason": "a trial"}
    return [
        Adjust(**ANNA, amount=5, **why),
        Adjust(**ANNA, amount=-5, **why),
        Adjust(tenant_id="shop", user_id="new", amount=7, **why),
        Spend(**ANNA, amount=3),
        Spend(**ANNA, amount=30_000),
        Refund(**ANNA, related_id=ids["spent"], amount=10),
        Refund(**ANNA, amount=10),
        Clawback(**ANNA, related_id=ids["earned"], amount=20),
        CancelPending(**ANNA, related_id=ids["pending"]),
        ApplyRule(**ANNA, event_type="visit"),
        Transfer(**ANNA, to_user_id="ben", amount=4),
        Expire(**ANNA, amount=9),
        ExtendExpiry(**ANNA, lots=(ids["earned"],), days=3, **why),
        SetExpiryExemption(**ANNA, exempt=True, **why),
        Unfreeze(**ANNA, hold_id=ids["held"], amount=20),
        ConfirmDeduction(**ANNA, hold_id=ids["held"], amount=10),
        Clawback(**ANNA, related_id=ids["pending"]),
        SetStatus(**ANNA, status="suspended", **why),
        Spend(**ANNA, amount=1),
    ]


def test_a_trial_says_what_the_command_then_does_and_changes_nothing(ledger: Ledger) -> None:
    for command in _commands(_prepare(ledger)):
        tables = ("entries", "lots", "outcomes", "journal", "audit_log", "accounts")
        before = ledger.counts(*tables)
        trial = ledger.client.try_command(command)
        assert ledger.counts(*tables) == before

        (outcome,) = ledger.apply(command)
        if trial.refused:
            assert (outcome.state, outcome.reason) == ("refused", trial.refused.reason), command
            continue
        data = data_of(outcome)
        assert trial.after is not None
        assert {name: trial.after[name] for name in FIGURES} == {
            name: data["account"][name] for name in FIGURES
        }, command
        kinds = [(entry["type"], entry["subtype"], entry["amount"]) for entry in trial.entries]
        done = [(entry["type"], entry["subtype"], entry["amount"]) for entry in data["transactions"]]
        assert kinds == done, command


def test_a_trial_begins_with_the_account_as_it_is_now(ledger: Ledger) -> None:
    ledger.tenant("shop")
    past = datetime.now(UTC) - timedelta(days=2)
    ledger.apply(
        Earn(**ANNA, amount=40, occurred_at=past, expires_at=past + timedelta(days=1)),
        Earn(**ANNA, amount=10),
    )
    trial = ledger.client.try_command(Spend(**ANNA, amount=10))
    assert trial.before is not None and trial.after is not None
    assert (trial.before["balance"], trial.after["balance"]) == (10, 0)
    assert [entry["type"] for entry in trial.entries] == ["spend"], "what is due anyway is not its doing"


def test_without_a_tenant_or_an_account_a_trial_says_so(ledger: Ledger) -> None:
    nowhere = ledger.client.try_command(Spend(tenant_id="none", user_id="anna", amount=1))
    assert nowhere.refused and nowhere.refused.reason == "TENANT_UNKNOWN"
    ledger.tenant("shop")
    missing = ledger.client.try_command(Spend(**ANNA, amount=1))
    assert missing.refused and missing.refused.reason == "ACCOUNT_NOT_FOUND"
    assert (missing.before, missing.after) == (None, None)


def test_a_trial_about_money_shows_the_wallet_before_and_after(ledger: Ledger) -> None:
    ledger.tenant("shop")
    deposit = WalletAdjust(**ANNA, type="deposit", amount="12.5", reason="a complaint")
    first = ledger.client.try_command(deposit)
    assert first.wallet_before is None and first.wallet_after is not None
    assert (first.wallet_after["balance"], first.before, first.after) == ("12.50", None, None)
    ledger.apply(deposit)
    second = ledger.client.try_command(WalletAdjust(**ANNA, type="withdraw", amount="2", reason="a mistake"))
    assert second.wallet_before is not None and second.wallet_after is not None
    assert (second.wallet_before["balance"], second.wallet_after["balance"]) == ("12.50", "10.50")
    too_much = ledger.client.try_command(WalletAdjust(**ANNA, type="withdraw", amount="99", reason="x"))
    assert too_much.refused and too_much.refused.reason == "INSUFFICIENT_BALANCE"
    assert ledger.client.wallet("shop", "anna")["balance"] == "12.50"


def test_an_erasure_is_tried_without_the_key_of_the_workers(ledger: Ledger) -> None:
    ledger.tenant("shop")
    ledger.apply(Earn(**ANNA, amount=40))
    trial = ledger.client.try_command(EraseUser(**ANNA))
    assert trial.after is not None
    assert (trial.after["status"], trial.after["balance"], trial.figures) == (
        "erased",
        0,
        {"points_forfeited": 40},
    )
    assert ledger.balance("anna") == 40
    ledger.apply(WalletAdjust(**ANNA, type="deposit", amount="1", reason="x"))
    blocked = ledger.client.try_command(EraseUser(**ANNA))
    assert blocked.refused and "money is left in the wallet" in blocked.refused.message
