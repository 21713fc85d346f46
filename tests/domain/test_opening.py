"""Tests the import of opening balances. Q7 is an acceptance case."""

from datetime import timedelta

import pytest

from pointledger.domain.commands import OpeningLot
from tests.domain.books import NOON, Shop, data_of, moment, reason_of

APRIL, FEBRUARY = moment("2026-04-01"), moment("2026-02-01")
LOTS = (
    OpeningLot(amount=10, earned_at=FEBRUARY, expires_at=APRIL),
    OpeningLot(amount=20, earned_at=moment("2025-02-01"), expires_at=FEBRUARY),
    OpeningLot(amount=5),
)


def test_q7_lots_keep_their_age_and_expiry_with_one_entry_each() -> None:
    shop = Shop(default_expiry_days=1, max_balance=1, max_earn_per_day=1, earn_enabled=False)
    data = data_of(shop.open("anna", LOTS[0], LOTS[2], control_sum=15))
    assert shop.history("anna") == [("import", 10), ("import", 5)]
    assert [(lot.earned_at, lot.expires_at) for lot in shop.lots("anna")] == [(FEBRUARY, APRIL), (NOON, None)]
    assert (data["points_earned"], shop.account("anna").total_earned) == (15, 15)
    assert shop.account("anna").next_expiry_at == APRIL


def test_q7_expired_lots_are_rejected_and_the_sums_match() -> None:
    shop = Shop()
    data = data_of(shop.open("anna", *LOTS, control_sum=35))
    assert (data["points_earned"], data["points_rejected"], data["control_sum"]) == (15, 20, 35)
    assert shop.balance("anna") == 15


def test_q7_expired_lots_can_be_imported_as_expired_and_the_sums_match() -> None:
    shop = Shop()
    data = data_of(shop.open("anna", *LOTS, expired="import"))
    account = shop.account("anna")
    assert (data["points_earned"], data["points_rejected"], data["points_expired"]) == (35, 0, 20)
    assert (account.total_earned, account.expired_points, account.balance) == (35, 20, 15)
    assert shop.history("anna")[-1] == ("scheduled", -20)


def test_q7_an_import_of_only_expired_lots_opens_an_empty_account() -> None:
    shop = Shop()
    data = data_of(shop.open("anna", LOTS[1]))
    assert (data["points_earned"], data["points_rejected"], shop.balance("anna")) == (0, 20, 0)


def test_q7_a_future_earned_at_becomes_the_present() -> None:
    shop = Shop()
    data_of(shop.open("anna", OpeningLot(amount=5, earned_at=NOON + timedelta(days=9))))
    assert shop.lots("anna")[0].earned_at == NOON


def test_q7_a_control_sum_that_does_not_match_is_refused() -> None:
    with pytest.raises(ValueError, match="sum of the lots, which is 35"):
        Shop().open("anna", *LOTS, control_sum=34)


def test_an_import_repays_debt_and_can_be_clawed_back() -> None:
    shop = Shop()
    shop.open("anna", OpeningLot(amount=5))
    imported = shop.last_entry("anna")
    shop.spend("anna", 5)
    data_of(shop.clawback("anna", imported, policy="arrears"))
    data_of(shop.open("anna", OpeningLot(amount=8)))
    assert (shop.balance("anna"), shop.account("anna").debt) == (3, 0)


def test_a_clawback_of_imported_points_releases_no_limit() -> None:
    shop = Shop(max_earn_per_day=50)
    shop.open("anna", OpeningLot(amount=30))
    imported = shop.last_entry("anna")
    shop.earn("anna", 50)
    data_of(shop.clawback("anna", imported))
    assert reason_of(shop.earn("anna", 1)) == "LIMIT_REACHED"


def test_an_import_to_an_inactive_or_full_account_is_refused() -> None:
    shop = Shop()
    shop.open("anna", OpeningLot(amount=10**15))
    assert reason_of(shop.open("anna", OpeningLot(amount=1))) == "FIGURE_TOO_LARGE"
    shop.account("anna").status = "suspended"
    assert reason_of(shop.open("anna", OpeningLot(amount=1))) == "ACCOUNT_SUSPENDED"
    shop.account("anna").status = "closed"
    assert reason_of(shop.open("anna", OpeningLot(amount=1))) == "ACCOUNT_CLOSED"
