"""Tests the commands of administrators: adjusting points, suspending and closing accounts (H6, Q10)."""

from datetime import timedelta
from typing import Any

import pytest

from pointledger.domain.commands import command_from
from pointledger.errors import InvalidCommand
from tests.domain.books import NOON, Shop, data_of, reason_of

DAY = timedelta(days=1)


def test_a_positive_adjustment_grants_points_with_the_tenants_expiry() -> None:
    shop = Shop(default_expiry_days=10)
    shop.earn("anna", 5)
    data = data_of(shop.adjust("anna", 30))
    account = shop.account("anna")
    assert (account.balance, account.total_earned, account.total_adjusted_in) == (35, 5, 30)
    assert [lot.expires_at for lot in shop.lots("anna")] == [NOON + 10 * DAY] * 2
    assert (data["transactions"][0]["type"], data["transactions"][0]["subtype"]) == ("adjust", "admin")


def test_a_negative_adjustment_takes_the_soonest_expiry_first_and_has_its_own_total() -> None:
    shop = Shop()
    shop.earn("anna", 5)
    shop.earn("anna", 10, expires_at=NOON + DAY)
    shop.adjust("anna", -12)
    account = shop.account("anna")
    assert (account.balance, account.total_adjusted_in, account.total_adjusted_out) == (3, 0, 12)
    assert (account.total_spent, shop.left("anna")) == (0, [3])
    entry = shop.entries("anna")[-1]
    assert (entry.amount, entry.delta) == (12, -12), "the amount is positive, the delta has the direction"


def test_q10_an_adjustment_below_zero_is_refused() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    shop.freeze("anna", 4)
    assert reason_of(shop.adjust("anna", -7)) == "INSUFFICIENT_BALANCE"
    data_of(shop.adjust("anna", -6))


def test_giving_points_opens_an_account_and_taking_points_requires_one() -> None:
    shop = Shop()
    assert reason_of(shop.adjust("anna", -1)) == "ACCOUNT_NOT_FOUND"
    data_of(shop.adjust("anna", 1))
    assert shop.balance("anna") == 1


def test_an_account_is_opened_once_and_has_no_points() -> None:
    shop = Shop()
    data = data_of(shop.apply(command_from("open-account", {"tenant_id": "shop", "user_id": "anna"})))
    assert data["transactions"] == []
    assert (shop.balance("anna"), shop.account("anna").status) == (0, "active")
    again = shop.apply(command_from("open-account", {"tenant_id": "shop", "user_id": "anna"}))
    assert reason_of(again) == "ACCOUNT_EXISTS"


def test_the_maximum_balance_applies_to_adjustments() -> None:
    shop = Shop(max_balance=20)
    assert reason_of(shop.adjust("anna", 21)) == "MAX_BALANCE"
    assert ("shop", "anna") not in shop.book.accounts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": 0}, "amount: .*an amount is not 0"),
        ({"amount": 10**15 + 1}, "amount"),
        ({"amount": -(10**15) - 1}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": 1.0}, "amount"),
        ({"reason": ""}, "reason"),
        ({"reason": None}, "reason"),
    ],
)
def test_an_adjustment_is_a_nonzero_integer_with_a_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCommand, match=message):
        command_from("adjust", {"tenant_id": "shop", "user_id": "anna", "amount": 1, "reason": "x", **change})


def test_h6_a_suspended_account_can_be_adjusted_and_expires_and_can_be_reactivated() -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=NOON + DAY)
    assert data_of(shop.set_status("anna", "suspended"))["status_before"] == "active"
    assert reason_of(shop.spend("anna", 1)) == "ACCOUNT_SUSPENDED"
    assert reason_of(shop.earn("anna", 1)) == "ACCOUNT_SUSPENDED"
    data_of(shop.adjust("anna", 5))
    assert data_of(shop.expire_due("anna", NOON + DAY))["points_expired"] == 10
    shop.set_status("anna", "active")
    data_of(shop.spend("anna", 5))


def test_h6_closing_forfeits_the_remaining_points_by_an_entry() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    shop.earn("anna", 20, expires_at=NOON + DAY)
    data = data_of(shop.set_status("anna", "closed"))
    account = shop.account("anna")
    assert data["points_forfeited"] == 30
    assert (account.status, account.balance, account.total_adjusted_out, account.lots) == (
        "closed",
        0,
        30,
        [],
    )
    assert shop.history("anna")[-1] == ("forfeit", -30)


def test_closing_an_empty_account_writes_no_entry() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    shop.spend("anna", 10)
    assert data_of(shop.set_status("anna", "closed"))["transactions"] == []


def test_h6_an_account_with_open_holds_can_be_suspended_but_not_closed() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    hold = shop.hold("anna", 4)
    assert reason_of(shop.set_status("anna", "closed")) == "OPEN_HOLDS"
    data_of(shop.set_status("anna", "suspended"))
    shop.unfreeze("anna", hold_id=hold.id)
    assert data_of(shop.set_status("anna", "closed"))["points_forfeited"] == 10


def test_an_account_whose_hold_has_timed_out_can_be_closed() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    shop.freeze("anna", 4, expires_at=NOON + DAY)
    assert data_of(shop.set_status("anna", "closed", NOON + DAY))["points_forfeited"] == 10


@pytest.mark.parametrize("status", ["active", "suspended", "closed"])
def test_h6_closing_is_final_and_every_other_command_is_refused(status: str) -> None:
    shop = Shop(transfer_enabled=True)
    shop.earn("anna", 10)
    shop.earn("ben", 10)
    shop.set_status("anna", "closed")
    refused = [
        shop.set_status("anna", status),
        shop.earn("anna", 1),
        shop.spend("anna", 1),
        shop.transfer("anna", "ben", 1),
        shop.adjust("anna", 1),
        shop.freeze("anna", 1),
        shop.unfreeze("anna", amount=1),
        shop.expire("anna", 1),
        shop.expire_due("anna", NOON),
        shop.release_due("anna", NOON),
    ]
    assert {reason_of(decision) for decision in refused} == {"ACCOUNT_CLOSED"}


def test_a_status_is_one_of_three_and_a_change_requires_a_reason() -> None:
    fields = {"tenant_id": "shop", "user_id": "anna"}
    for invalid in ({"status": "gone", "reason": "x"}, {"status": "closed"}):
        with pytest.raises(InvalidCommand, match=r"status|reason"):
            command_from("set-status", {**fields, **invalid})
