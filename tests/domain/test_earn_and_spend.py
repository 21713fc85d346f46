"""Tests earning and spending, and their refusals."""

from collections.abc import Callable

import pytest

from pointledger.domain.commands.outcomes import Applied, Decision
from tests.domain.books import NOON, Shop, data_of, moment, reason_of, refusal_of


def test_the_first_points_open_the_account() -> None:
    shop = Shop(points_type="cash_equivalent")
    data = data_of(shop.earn("anna", 100))
    account = shop.account("anna")
    assert (account.balance, account.total_earned, account.version) == (100, 100, 1)
    assert (account.points_type, account.status, account.is_new) == ("cash_equivalent", "active", True)
    assert data["account"] == {
        "id": account.id,
        "user_id": "anna",
        "status": "active",
        "version": 1,
        "balance": 100,
        "total_earned": 100,
    }


def test_an_entry_has_the_balance_before_and_after() -> None:
    shop = Shop()
    shop.earn("anna", 100)
    [entry] = data_of(shop.spend("anna", 30))["transactions"]
    assert (entry["type"], entry["subtype"], entry["amount"]) == ("spend", "purchase", 30)
    assert (entry["seq"], entry["balance_before"], entry["balance_after"]) == (2, 100, 70)


def test_a_lot_has_the_expiry_of_its_command() -> None:
    shop = Shop(default_expiry_days=30)
    shop.earn("anna", 1, expires_at=moment("2026-03-05"))
    assert shop.lots("anna")[0].expires_at == moment("2026-03-05")
    assert shop.entries("anna")[0].expires_at == moment("2026-03-05")


def test_the_whole_balance_can_be_spent_and_not_one_point_more() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    assert reason_of(shop.spend("anna", 11)) == "INSUFFICIENT_BALANCE"
    data_of(shop.spend("anna", 10))
    assert reason_of(shop.spend("anna", 1)) == "INSUFFICIENT_BALANCE"
    assert (shop.balance("anna"), shop.lots("anna"), shop.account("anna").total_spent) == (0, [], 10)


def test_frozen_and_pending_points_cannot_be_spent() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    shop.account("anna").frozen_balance = 100
    shop.account("anna").pending_balance = 100
    assert reason_of(shop.spend("anna", 11)) == "INSUFFICIENT_BALANCE"


def test_a_spend_below_the_minimum_is_refused() -> None:
    shop = Shop(min_spend_points=100)
    shop.earn("anna", 1000)
    refused = refusal_of(shop.spend("anna", 99))
    assert (refused.reason.name, refused.message) == (
        "BELOW_MINIMUM",
        "a spend has at least 100 points",
    )
    data_of(shop.spend("anna", 100))


def test_a_user_without_an_account_cannot_spend_or_expire() -> None:
    shop = Shop(transfer_enabled=True)
    for decision in (
        shop.spend("anna", 1),
        shop.expire("anna", 1),
        shop.transfer("anna", "ben", 1),
        shop.expire_due("anna", NOON),
    ):
        assert reason_of(decision) == "ACCOUNT_NOT_FOUND"
    assert shop.book.accounts == {}


def test_every_command_for_an_unknown_tenant_is_refused() -> None:
    shop = Shop()
    shop.book.tenants.clear()
    for decision in (
        shop.event("anna"),
        shop.earn("anna", 1),
        shop.spend("anna", 1),
        shop.transfer("anna", "anna", 1),
        shop.expire("anna", 1),
        shop.expire_due("anna", NOON),
    ):
        assert reason_of(decision) == "TENANT_UNKNOWN"


def test_the_same_user_of_two_tenants_has_two_accounts() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    account = shop.book.accounts.pop(("shop", "anna"))
    shop.book.accounts["other", "anna"] = account
    assert reason_of(shop.spend("anna", 1)) == "ACCOUNT_NOT_FOUND"


@pytest.mark.parametrize(
    ("switch", "apply_command"),
    [
        ("earn_enabled", lambda shop: shop.earn("anna", 1)),
        ("earn_enabled", lambda shop: shop.event("anna")),
        ("spend_enabled", lambda shop: shop.spend("anna", 1)),
        ("transfer_enabled", lambda shop: shop.transfer("anna", "ben", 1)),
    ],
    ids=["earn", "apply-rule", "spend", "transfer"],
)
def test_a_feature_that_the_tenant_has_disabled_is_refused(
    switch: str, apply_command: Callable[[Shop], Decision]
) -> None:
    shop = Shop()
    shop.earn("anna", 10)
    shop.earn("ben", 10)
    shop.rule(points=1)
    shop.configure(**{"transfer_enabled": True, switch: False})
    assert reason_of(apply_command(shop)) == "FEATURE_DISABLED"
    shop.configure(**{"transfer_enabled": True, switch: True})
    assert isinstance(apply_command(shop), Applied)


@pytest.mark.parametrize(
    ("status", "refused"), [("suspended", "ACCOUNT_SUSPENDED"), ("closed", "ACCOUNT_CLOSED")]
)
def test_h6_an_inactive_account_neither_earns_nor_spends_nor_transfers(status: str, refused: str) -> None:
    shop = Shop(transfer_enabled=True)
    shop.rule(points=1)
    shop.earn("anna", 100)
    shop.earn("ben", 100)
    shop.account("anna").status = status
    for decision in (
        shop.earn("anna", 1),
        shop.event("anna"),
        shop.spend("anna", 1),
        shop.transfer("anna", "ben", 1),
    ):
        assert reason_of(decision) == refused
    assert (shop.balance("anna"), shop.balance("ben")) == (100, 100)


def test_h6_points_of_a_suspended_account_expire_by_time_and_by_command() -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=moment("2026-04-01"))
    shop.earn("anna", 10)
    shop.account("anna").status = "suspended"
    assert data_of(shop.expire_due("anna", moment("2026-04-01")))["points_expired"] == 10
    assert data_of(shop.expire("anna", 3))["settled"] == 3
    assert shop.balance("anna") == 7


def test_h6_nothing_changes_on_a_closed_account() -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=moment("2026-04-01"))
    shop.account("anna").status = "closed"
    assert reason_of(shop.expire("anna", 3)) == "ACCOUNT_CLOSED"
    assert reason_of(shop.expire_due("anna", moment("2026-04-01"))) == "ACCOUNT_CLOSED"
    assert (shop.balance("anna"), shop.account("anna").as_of, len(shop.entries("anna"))) == (10, NOON, 1)
