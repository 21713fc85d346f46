"""Tests wallets and exchanges: amounts are exact, and no balance becomes negative."""

from typing import Any

import pytest

from pointledger.domain.commands import Exchange, WalletAdjust
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.values.money import MAX_MONEY, SCALES, minor_units, price, show_money, worth
from tests.domain.books import SHOP, Shop, data_of, reason_of

CASH: dict[str, Any] = {"points_type": "cash_equivalent"}


def adjust(shop: Shop, kind: Any, amount: str, **more: Any) -> Decision:
    """Adjust Anna's wallet."""
    return shop.apply(
        WalletAdjust(tenant_id=SHOP, user_id="anna", type=kind, amount=amount, reason="why not", **more)
    )


def exchange(shop: Shop, amount: int, exchange_type: Any = "wallet") -> Decision:
    return shop.apply(Exchange(tenant_id=SHOP, user_id="anna", amount=amount, exchange_type=exchange_type))


def money(shop: Shop) -> str:
    wallet = shop.book.wallets.known[SHOP, "anna"]
    return wallet.show(wallet.balance)


@pytest.mark.parametrize(
    ("text", "scale", "minor"),
    [("100.00", 2, 10_000), ("0.1", 2, 10), ("7", 0, 7), ("0.001", 3, 1), ("1.2345", 4, 12_345),
     ("999999999999999999.99", 2, MAX_MONEY)],
)  # fmt: skip
def test_an_amount_of_money_is_parsed_exactly(text: str, scale: int, minor: int) -> None:
    assert minor_units(text, scale) == minor
    assert minor_units(show_money(minor, scale), scale) == minor


def test_currencies_have_the_decimals_of_iso_4217() -> None:
    assert [SCALES[code] for code in ("JPY", "CNY", "EUR", "KWD", "CLF")] == [0, 2, 2, 3, 4]
    assert (len(SCALES), show_money(-5, 3), show_money(0, 2), show_money(12, 0)) == (
        165,
        "-0.005",
        "0.00",
        "12",
    )


def test_the_worth_of_points_and_its_price_never_favor_the_user() -> None:
    for scale in (0, 2, 3, 4):
        for rate in (1, 3, 7, 100, 300, 12_345):
            for points in (1, 2, 99, 100, 1_001, 10**15):
                minor = worth(points, rate, scale)
                cost = price(minor, rate, scale)
                assert cost <= points
                assert worth(cost, rate, scale) == minor
                assert minor == 0 or worth(cost - 1, rate, scale) < minor


def test_w1_amounts_add_up_exactly() -> None:
    shop = Shop()
    data_of(adjust(shop, "deposit", "100.00"))
    data = data_of(adjust(shop, "deposit", "0.10"))
    assert money(shop) == "100.10"
    assert {
        name: data["wallet_transaction"][name] for name in ("amount", "balance_before", "balance_after")
    } == {
        "amount": "0.10",
        "balance_before": "100.00",
        "balance_after": "100.10",
    }


@pytest.mark.parametrize(("currency", "amount"), [("CNY", "1.001"), ("JPY", "1.5"), ("KWD", "0.0001")])
def test_w1_too_many_decimals_are_refused(currency: str, amount: str) -> None:
    shop = Shop(currency=currency)
    assert reason_of(adjust(shop, "deposit", amount)) == "AMOUNT_INVALID"
    assert shop.book.wallets.known == {}


def test_w2_frozen_money_is_not_available() -> None:
    shop = Shop()
    adjust(shop, "deposit", "150")
    shop.book.wallets.known[SHOP, "anna"].frozen_balance = 100_00
    assert reason_of(adjust(shop, "withdraw", "100")) == "INSUFFICIENT_BALANCE"
    assert reason_of(adjust(shop, "withdraw", "50.01")) == "INSUFFICIENT_BALANCE"
    data_of(adjust(shop, "withdraw", "50"))
    assert money(shop) == "100.00"


def test_a_deposit_creates_the_wallet_and_a_withdrawal_does_not() -> None:
    shop = Shop(currency="KWD")
    assert reason_of(adjust(shop, "withdraw", "1")) == "WALLET_NOT_FOUND"
    data = data_of(adjust(shop, "deposit", "1.5", application_id="app"))
    assert (data["wallet"]["currency"], data["wallet"]["balance"]) == ("KWD", "1.500")
    assert shop.book.wallets.known[SHOP, "anna"].application_id == "app"


def test_w4_another_currency_is_refused_and_a_wallet_keeps_its_currency() -> None:
    shop = Shop(currency="JPY", **CASH)
    assert reason_of(adjust(shop, "deposit", "5", currency="EUR")) == "CURRENCY_MISMATCH"
    adjust(shop, "deposit", "5", currency="JPY")
    shop.configure(currency="EUR", **CASH)
    assert reason_of(adjust(shop, "deposit", "5", currency="EUR")) == "CURRENCY_MISMATCH"
    assert reason_of(adjust(shop, "deposit", "5.5")) == "AMOUNT_INVALID"
    data_of(adjust(shop, "deposit", "6"))
    shop.earn("anna", 1_000)
    assert reason_of(exchange(shop, 500)) == "CURRENCY_MISMATCH"
    assert (money(shop), shop.balance("anna")) == ("11", 1_000)


def test_w4_both_sides_of_every_operation_add_up_to_zero() -> None:
    shop = Shop(exchange_rate=3, **CASH)
    shop.earn("anna", 100)
    for decision in (adjust(shop, "deposit", "7.77"), adjust(shop, "withdraw", "1.11"), exchange(shop, 100)):
        data_of(decision)
    sides: dict[Any, list[tuple[str, int]]] = {}
    for line in shop.book.wallets.lines:
        sides.setdefault(line.entry_id, []).append((line.side, line.amount))
    assert list(sides.values()) == [
        [("wallet", 777), ("outside", -777)],
        [("wallet", -111), ("outside", 111)],
        [("wallet", 3_333), ("points", -3_333)],
    ]


@pytest.mark.parametrize("status", ["frozen", "closed"])
def test_an_inactive_wallet_does_not_change(status: str) -> None:
    shop = Shop(**CASH)
    shop.earn("anna", 1_000)
    adjust(shop, "deposit", "5")
    shop.book.wallets.known[SHOP, "anna"].status = status
    for decision in (adjust(shop, "deposit", "1"), adjust(shop, "withdraw", "1"), exchange(shop, 100)):
        assert reason_of(decision) == "WALLET_INACTIVE"
    data_of(exchange(shop, 100, "coupon"))


def test_no_wallet_exceeds_its_columns() -> None:
    shop = Shop()
    adjust(shop, "deposit", show_money(MAX_MONEY, 2))
    assert reason_of(adjust(shop, "deposit", "0.01")) == "MAX_BALANCE"


def test_a5_an_exchange_is_rounded_down_and_the_remaining_points_stay() -> None:
    shop = Shop(exchange_rate=300, **CASH)  # three points per minor unit
    shop.earn("anna", 1_000)
    data = data_of(exchange(shop, 100))
    assert (data["points_exchanged"], data["points_left"], data["wallet"]["balance"]) == (99, 1, "0.33")
    assert (shop.balance("anna"), shop.account("anna").total_spent) == (901, 99)
    entry = shop.last_entry("anna")
    assert (entry.type, entry.subtype) == ("spend", "exchange")
    assert shop.book.wallets.entries[-1].related_id == entry.id


def test_worthless_points_are_not_taken() -> None:
    shop = Shop(exchange_rate=300, **CASH)
    shop.earn("anna", 1_000)
    assert reason_of(exchange(shop, 2)) == "BELOW_MINIMUM"
    assert reason_of(exchange(shop, 1_001)) == "INSUFFICIENT_BALANCE"
    assert (shop.balance("anna"), shop.book.wallets.known) == (1_000, {})


def test_an_exchange_for_money_requires_cash_equivalent_points_and_the_switch() -> None:
    shop = Shop()
    shop.earn("anna", 1_000)
    assert reason_of(exchange(shop, 100)) == "FEATURE_DISABLED"
    data_of(exchange(shop, 100, "coupon"))
    shop.configure(exchange_enabled=False)
    assert reason_of(exchange(shop, 100, "coupon")) == "FEATURE_DISABLED"


def test_an_exchange_requires_an_active_account() -> None:
    shop = Shop(**CASH)
    assert reason_of(exchange(shop, 100)) == "ACCOUNT_NOT_FOUND"
    shop.earn("anna", 100)
    shop.set_status("anna", "suspended")
    assert reason_of(exchange(shop, 100)) == "ACCOUNT_SUSPENDED"


def test_a_coupons_code_is_the_id_of_the_entry_that_paid_for_it() -> None:
    shop = Shop()
    shop.earn("anna", 100)
    first, second = (data_of(exchange(shop, 40, "coupon"))["coupon"] for _ in range(2))
    assert first["points"] == 40
    assert first["code"] != second["code"] and len(first["code"]) == 26
    assert reason_of(exchange(shop, 40, "coupon")) == "INSUFFICIENT_BALANCE"
    assert shop.book.wallets.entries == []


@pytest.mark.parametrize("exchange_type", ["wallet", "coupon"])
def test_r4_an_exchange_is_not_refunded(exchange_type: str) -> None:
    """The value is in a wallet or a coupon. It is taken back there, and points are granted as goodwill."""
    shop = Shop(**CASH)
    shop.earn("anna", 100)
    exchange(shop, 100, exchange_type)
    assert reason_of(shop.refund("anna", 100, shop.last_entry("anna"))) == "RELATED_NOT_REVERSIBLE"
    if exchange_type == "wallet":
        data_of(adjust(shop, "withdraw", "1.00"))
    data_of(shop.refund("anna", 100, actor="admin"))
    assert shop.balance("anna") == 100


def test_due_lots_are_not_exchanged() -> None:
    shop = Shop(**CASH)
    shop.earn("anna", 100, expires_at=shop.now.replace(hour=13))
    decision = shop.apply(
        Exchange(tenant_id=SHOP, user_id="anna", amount=100, exchange_type="wallet"),
        shop.now.replace(hour=13),
    )
    assert reason_of(decision) == "INSUFFICIENT_BALANCE"
    assert shop.account("anna").expired_points == 100
