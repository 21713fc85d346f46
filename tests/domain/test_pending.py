"""Pending points: granted, counted, not yet to be spent. E5, R6, H1, L12 and T7 are the acceptance cases'."""

from datetime import timedelta

import pytest

from pointledger.domain.commands import Earn
from tests.domain.books import NOON, SHOP, Shop, data_of, moment, reason_of

APRIL, MAY = moment("2026-04-01"), moment("2026-05-01")
INSTANT = timedelta(microseconds=1)


def hundred_in_april() -> Shop:
    shop = Shop(transfer_enabled=True)
    shop.earn("ben", 1)
    shop.earn("anna", 100, activates_at=APRIL)
    return shop


def test_pending_points_are_earned_and_cannot_be_spent_or_given_away() -> None:
    shop = hundred_in_april()
    account, entry = shop.account("anna"), shop.last_entry("anna")
    assert (account.balance, account.pending_balance, account.total_earned) == (0, 100, 100)
    assert (entry.delta, entry.delta_pending, shop.lots("anna")) == (0, 100, [])
    assert reason_of(shop.spend("anna", 1)) == "INSUFFICIENT_BALANCE"
    assert reason_of(shop.transfer("anna", "ben", 1)) == "INSUFFICIENT_BALANCE"
    assert data_of(shop.expire("anna", 1))["settled"] == 0


def test_whoever_touches_the_account_first_makes_them_available() -> None:
    shop = hundred_in_april()
    assert reason_of(shop.spend("anna", 1, at=APRIL - INSTANT)) == "INSUFFICIENT_BALANCE"
    data_of(shop.spend("anna", 30, at=APRIL))
    assert shop.told("anna") == [("manual", 0), ("activation", 100), ("purchase", -30)]
    account, entry = shop.account("anna"), shop.entries("anna")[1]
    assert (account.balance, account.pending_balance, account.next_activation_at) == (70, 0, None)
    assert (entry.type, entry.related_id, entry.delta_pending) == ("adjust", shop.entries("anna")[0].id, -100)


def test_activation_happens_once_and_lot_by_lot() -> None:
    shop = hundred_in_april()
    shop.earn("anna", 7, activates_at=MAY)
    shop.earn("anna", 5, activates_at=APRIL - INSTANT)
    assert data_of(shop.activate_due("anna", APRIL)) | {"account": None} == {
        "points_activated": 105,
        "lots_activated": 2,
        "account": None,
    }
    assert [entry.amount for entry in shop.entries("anna")[-2:]] == [5, 100]
    assert data_of(shop.activate_due("anna", APRIL))["lots_activated"] == 0
    assert shop.account("anna").next_activation_at == MAY


def test_what_should_be_active_already_is_available_at_once() -> None:
    shop = Shop()
    shop.earn("anna", 5, activates_at=NOON)
    assert (shop.balance("anna"), shop.account("anna").pending_balance) == (5, 0)


def test_e5_expiry_counts_from_activation() -> None:
    shop = Shop(default_expiry_days=3)
    shop.earn("anna", 100, activates_at=APRIL)
    data_of(shop.activate_due("anna", APRIL + timedelta(days=2)))
    assert [lot.expires_at for lot in shop.lots("anna")] == [APRIL + timedelta(days=3)]
    assert shop.account("anna").next_expiry_at == APRIL + timedelta(days=3)


def test_e5_points_that_would_expire_before_they_are_active_are_not_asked_for() -> None:
    with pytest.raises(ValueError, match="expires_at lies after activates_at"):
        Earn(tenant_id=SHOP, user_id="anna", amount=1, activates_at=APRIL, expires_at=APRIL)


def test_points_may_become_available_and_expire_between_two_looks() -> None:
    shop = Shop()
    shop.earn("anna", 100, activates_at=APRIL, expires_at=MAY)
    data_of(shop.expire_due("anna", MAY))
    assert shop.told("anna") == [("manual", 0), ("activation", 100), ("scheduled", -100)]


def test_r6_an_order_that_is_returned_in_time_cancels_its_pending_points_without_debt() -> None:
    shop = hundred_in_april()
    order = shop.last_entry("anna")
    data = data_of(shop.cancel_pending("anna", order))
    account, entry = shop.account("anna"), shop.last_entry("anna")
    assert (data["clawed_back"], account.pending_balance, account.debt, account.balance) == (100, 0, 0, 0)
    assert (entry.subtype, entry.delta_pending, account.total_clawed_back) == ("clawback", -100, 100)
    assert shop.book.new_lots[-1].state == "cancelled"
    assert data_of(shop.activate_due("anna", APRIL))["lots_activated"] == 0
    assert reason_of(shop.cancel_pending("anna", order)) == "RELATED_NOT_REVERSIBLE"


def test_what_is_available_is_not_cancelled() -> None:
    shop = hundred_in_april()
    assert reason_of(shop.cancel_pending("anna", shop.last_entry("anna"), at=APRIL)) == (
        "RELATED_NOT_REVERSIBLE"
    )


@pytest.mark.parametrize("policy", ["only_pending", "within_balance", "arrears"])
def test_r7_every_clawback_takes_what_is_pending(policy: str) -> None:
    shop = hundred_in_april()
    shop.earn("anna", 5)
    data_of(shop.clawback("anna", shop.entries("anna")[0], amount=40, policy=policy))
    account = shop.account("anna")
    assert (account.pending_balance, account.balance, account.debt) == (60, 5, 0)
    data_of(shop.activate_due("anna", APRIL))
    assert sorted(shop.left("anna")) == [5, 60]


def test_what_becomes_available_repays_debt_first() -> None:
    shop = hundred_in_april()
    shop.earn("anna", 30)
    shop.spend("anna", 30)
    shop.clawback("anna", shop.entries("anna")[1], policy="arrears")
    data_of(shop.activate_due("anna", APRIL))
    account = shop.account("anna")
    assert (account.balance, account.debt, shop.left("anna")) == (70, 0, [70])
    assert shop.last_entry("anna").delta_debt == -30


def test_l12_what_is_pending_counts_toward_the_maximum() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 80, activates_at=APRIL)
    assert reason_of(shop.earn("anna", 21)) == "MAX_BALANCE"


def test_h6_time_passes_on_a_suspended_account_too() -> None:
    shop = hundred_in_april()
    shop.account("anna").status = "suspended"
    assert data_of(shop.activate_due("anna", APRIL))["points_activated"] == 100
    shop.account("anna").status = "closed"
    assert reason_of(shop.activate_due("anna", MAY)) == "ACCOUNT_CLOSED"
    assert reason_of(shop.activate_due("nobody", MAY)) == "ACCOUNT_NOT_FOUND"
