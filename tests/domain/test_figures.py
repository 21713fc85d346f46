"""Tests that commands are refused by name if a figure would exceed its maximum. Debits always fit."""

from collections.abc import Callable
from typing import Any

import pytest

from pointledger.domain.commands import Exchange, OpeningLot, WalletAdjust
from pointledger.domain.commands.outcomes import Decision, Reason
from pointledger.domain.ledger.account import MAX_BALANCE, MAX_TOTAL
from pointledger.domain.program.limits import MAX_COUNT, SharedUsage
from pointledger.domain.values.money import MAX_MONEY_TOTAL
from tests.domain.books import SHOP, Shop, data_of, moment, reason_of, refusal_of

TENTH = moment("2026-03-10")


def shop_of(**config: Any) -> Shop:
    """Anna and Ben have 10 points each."""
    shop = Shop(transfer_enabled=True, points_type="cash_equivalent", **config)
    shop.rule(points=5)
    shop.earn("anna", 10)
    shop.earn("ben", 10)
    return shop


def counted(shop: Shop) -> dict[Any, int]:
    return {window: used.times for window, used in shop.book.usage.items() if used.times}


def refund_of_a_spend(shop: Shop) -> Decision:
    return shop.refund("anna", 5, next(entry for entry in shop.entries("anna") if entry.type == "spend"))


def in_wallet(way: Any) -> WalletAdjust:
    return WalletAdjust(tenant_id=SHOP, user_id="anna", type=way, amount="5", reason="a complaint")


WAYS: dict[str, tuple[str, Callable[[Shop], Decision]]] = {
    "earn": ("total_earned", lambda shop: shop.earn("anna", 5)),
    "earn, pending": ("total_earned", lambda shop: shop.earn("anna", 5, activates_at=TENTH)),
    "rule": ("total_earned", lambda shop: shop.event("anna")),
    "import": ("total_earned", lambda shop: shop.open("anna", OpeningLot(amount=2), OpeningLot(amount=3))),
    "adjust": ("total_adjusted_in", lambda shop: shop.adjust("anna", 5)),
    "goodwill": ("total_refunded", lambda shop: shop.refund("anna", 5)),
    "refund": ("total_refunded", refund_of_a_spend),
    "transfer": ("total_transferred_in", lambda shop: shop.transfer("ben", "anna", 5)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_total_that_would_be_too_large_is_named_and_nothing_changes(way: str) -> None:
    total, bring = WAYS[way]
    shop = shop_of()
    shop.spend("anna", 5)
    account = shop.account("anna")
    setattr(account, total, MAX_TOTAL - 4)
    before = shop.history("anna"), shop.history("ben"), counted(shop)
    refused = refusal_of(bring(shop))
    assert (refused.reason, refused.message) == (
        Reason.FIGURE_TOO_LARGE,
        f"{total} would be more than {MAX_TOTAL}",
    )
    assert (shop.history("anna"), shop.history("ben"), counted(shop)) == before
    setattr(account, total, MAX_TOTAL - 5)
    data_of(bring(shop))
    assert getattr(account, total) == MAX_TOTAL


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("held_as", ["balance", "pending_balance", "frozen_balance"])
def test_an_account_has_a_maximum_of_available_pending_and_frozen_points(way: str, held_as: str) -> None:
    shop = shop_of()
    shop.spend("anna", 5)
    account, bring = shop.account("anna"), WAYS[way][1]
    setattr(account, held_as, getattr(account, held_as) + MAX_BALANCE - 9)
    assert reason_of(bring(shop)) == "FIGURE_TOO_LARGE"
    setattr(account, held_as, getattr(account, held_as) - 1)
    data_of(bring(shop))


def test_the_tenants_maximum_applies_first_and_clamps_grants() -> None:
    shop = shop_of(max_balance=12)
    shop.account("anna").total_earned = MAX_TOTAL - 2
    assert reason_of(shop.earn("anna", 5)) == "MAX_BALANCE"
    assert data_of(shop.event("anna"))["points_earned"] == 2
    assert reason_of(shop.earn("anna", 1)) == "MAX_BALANCE"


def test_the_grants_of_all_rules_are_added_after_limits() -> None:
    shop = shop_of()
    shop.rule(points=5, daily_limit=3)
    shop.account("anna").total_earned = MAX_TOTAL - 7
    assert reason_of(shop.event("anna")) == "FIGURE_TOO_LARGE"
    assert (shop.balance("anna"), counted(shop)) == (10, {})
    shop.account("anna").total_earned = MAX_TOTAL - 8
    assert data_of(shop.event("anna"))["points_earned"] == 8


def test_grants_that_do_not_fit_open_no_account() -> None:
    shop = Shop()
    for _ in range(2):
        shop.rule(points=MAX_BALANCE)
    assert reason_of(shop.event("carl")) == "FIGURE_TOO_LARGE"
    assert (SHOP, "carl") not in shop.book.accounts


def test_a_debt_that_would_be_too_large_is_refused() -> None:
    shop = shop_of()
    earned = shop.last_entry("anna")
    shop.spend("anna", 10)
    shop.account("anna").debt = MAX_BALANCE - 9
    refused = refusal_of(shop.clawback("anna", earned, policy="arrears"))
    assert (refused.reason, refused.message) == (
        Reason.FIGURE_TOO_LARGE,
        f"debt would be more than {MAX_BALANCE}",
    )


def test_the_usage_of_a_shared_limit_fits_its_counter() -> None:
    shop = Shop()
    limit = {"scope": "rule", "period": "lifetime", "unit": "times", "max": 1_000_000}
    shop.rule(points=5, limits=[limit])
    data_of(shop.event("anna"))
    (used,) = (used for window, used in shop.book.usage.items() if window.is_shared)
    used.points = MAX_COUNT - 4
    assert reason_of(shop.event("ben")) == "FIGURE_TOO_LARGE"
    assert (SHOP, "ben") not in shop.book.accounts
    used.points = MAX_COUNT - 5
    data_of(shop.event("ben"))


def test_a_concurrent_batch_does_not_overflow_a_shared_counter() -> None:
    used = SharedUsage(points=7, times=1, points_before=7, times_before=1)
    used.add(5)
    shop = Shop()
    rule = shop.rule(limits=[{"scope": "rule", "period": "day", "unit": "times", "max": 9}], points=5)
    used.keep_within(rule.body.limits[0])
    assert used.most_points == MAX_COUNT - 5


@pytest.mark.parametrize(
    "take",
    [
        lambda shop: shop.spend("anna", 10),
        lambda shop: shop.expire("anna", 10),
        lambda shop: shop.adjust("anna", -10),
        lambda shop: shop.transfer("anna", "ben", 10),
        lambda shop: shop.clawback("anna", shop.entries("anna")[0]),
        lambda shop: shop.set_status("anna", "closed"),
    ],
)
def test_debits_are_never_too_large(take: Callable[[Shop], Decision]) -> None:
    shop = shop_of()
    for total in ("total_spent", "expired_points", "total_adjusted_out", "total_transferred_out"):
        setattr(shop.account("anna"), total, 4 * MAX_TOTAL - 10)
    shop.account("anna").total_clawed_back = 4 * MAX_TOTAL - 10
    data_of(take(shop))


@pytest.mark.parametrize(
    ("total", "do"),
    [
        ("total_deposited", in_wallet("deposit")),
        ("total_withdrawn", in_wallet("withdraw")),
        ("total_exchanged", Exchange(tenant_id=SHOP, user_id="anna", amount=10, exchange_type="wallet")),
    ],
)
def test_totals_of_wallets_are_bounded(total: str, do: Any) -> None:
    shop = shop_of(exchange_rate=1)
    shop.apply(in_wallet("deposit"))
    setattr(shop.book.wallets.known[SHOP, "anna"], total, MAX_MONEY_TOTAL)
    assert reason_of(shop.apply(do)) == "FIGURE_TOO_LARGE"
