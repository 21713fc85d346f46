"""Money on a real ledger: races, exact columns, and points and money in one transaction."""

import threading
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from pointledger import Earn, Exchange, WalletAdjust
from pointledger.domain.values.money import MAX_MONEY
from pointledger.errors import WalletMissing
from pointledger.observability.verify import verify
from pointledger.storage.ledger import book
from tests.engine.many_workers import drain_with
from tests.ledger import Ledger, data_of

ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
CASH: dict[str, Any] = {"points_type": "cash_equivalent", "exchange_rate": 300}


def adjust(kind: Any, amount: str, **more: Any) -> WalletAdjust:
    return WalletAdjust(
        **{**ANNA, "type": kind, "amount": amount, "reason": "why not", "actor": "admin", **more}
    )


@pytest.mark.parametrize(
    ("currency", "amounts", "balance"),
    [("JPY", ("100", "1"), "101"), ("CNY", ("100.00", "0.10"), "100.10"),
     ("KWD", ("100", "0.001"), "100.001"),
     ("CLF", ("9999999999999999.9998", "0.0001"), "9999999999999999.9999")],
)  # fmt: skip
def test_w1_sums_are_exact_in_every_currency(
    ledger: Ledger, currency: str, amounts: tuple[str, str], balance: str
) -> None:
    ledger.tenant(currency=currency)
    ledger.apply(*(adjust("deposit", amount) for amount in amounts))
    wallet = ledger.client.wallet("shop", "anna")
    assert (wallet["balance"], wallet["currency"], wallet["status"]) == (balance, currency, "active")
    (withdrawn,) = ledger.apply(adjust("withdraw", balance))
    assert Decimal(data_of(withdrawn)["wallet"]["balance"]) == 0
    assert verify(ledger.database).violations == 0


def test_w2_a_withdrawal_beyond_the_available_is_refused_and_writes_nothing(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(adjust("deposit", "150"))
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE wallets SET frozen_balance = 10000")
    (outcome,) = ledger.apply(adjust("withdraw", "100"))
    assert (outcome.state, outcome.reason) == ("refused", "INSUFFICIENT_BALANCE")
    assert ledger.client.wallet("shop", "anna")["available"] == "50.00"
    assert ledger.counts("wallet_entries", "wallet_lines") == [1, 2]


def test_w3_concurrent_adjustments_are_serialized(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(adjust("deposit", "50"))
    commands = [adjust("withdraw", "10", idempotency_key=f"race {number // 2}") for number in range(16)]
    together = threading.Barrier(4)

    def race(part: list[WalletAdjust]) -> None:
        together.wait()
        for command in part:
            ledger.client.enqueue(command)

    threads = [threading.Thread(target=race, args=[commands[number::4]]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drain_with(ledger, 4)
    assert ledger.client.wallet("shop", "anna")["balance"] == "0.00"
    page = ledger.client.wallet_entries("shop", "anna")
    assert [entry["seq"] for entry in page.entries] == [6, 5, 4, 3, 2, 1]
    assert [entry["balance_after"] for entry in page.entries] == [
        f"{n}0.00" if n else "0.00" for n in range(6)
    ]
    states = [outcome.state for outcome in ledger.client.outcomes([str(each.id) for each in commands])]
    assert states.count("applied") == 10  # five, each under two ids
    assert verify(ledger.database).violations == 0


def test_w5_an_exchange_is_atomic(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """If saving the money fails after the points are written, neither is saved."""
    ledger.tenant(**CASH)
    ledger.apply(Earn(**ANNA, amount=1_000))

    def fail(*_: object) -> None:
        raise OSError("the moon is full")

    with monkeypatch.context() as patched:
        patched.setattr(book, "save_wallets", fail)
        task_id = ledger.client.enqueue(Exchange(**ANNA, amount=100, exchange_type="wallet"))
        ledger.drain()
        assert (ledger.balance("anna"), ledger.counts("wallets", "wallet_entries")) == (1_000, [0, 0])
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE failures SET next_attempt_at = NULL")
    ledger.drain()
    data = data_of(ledger.client.outcome(task_id))
    assert (data["points_exchanged"], data["points_left"], data["wallet"]["balance"]) == (99, 1, "0.33")
    assert (ledger.balance("anna"), ledger.client.wallet("shop", "anna")["balance"]) == (901, "0.33")
    (entry,) = ledger.client.wallet_entries("shop", "anna").entries
    assert entry["related_id"] == data["transaction"]["id"]
    assert verify(ledger.database).violations == 0


def test_many_wallets_in_one_batch_are_loaded_and_saved_together(ledger: Ledger) -> None:
    ledger.tenant(**CASH)
    users = [f"user{number}" for number in range(40)]
    ledger.apply(*(Earn(tenant_id="shop", user_id=user, amount=300) for user in users))
    for _ in range(2):
        ledger.apply(
            *(Exchange(tenant_id="shop", user_id=user, amount=150, exchange_type="wallet") for user in users),
            *(adjust("deposit", "1.50", user_id=user) for user in users),
        )
    assert {ledger.client.wallet("shop", user)["balance"] for user in users} == {"4.00"}
    assert verify(ledger.database).violations == 0


def test_a_users_export_includes_the_wallet(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(adjust("deposit", "7.50", application_id="app"))
    exported = ledger.client.export_user("shop", "anna")
    assert exported["wallet"]["application_id"] == "app"
    assert [entry["amount"] for entry in exported["wallet_entries"]] == ["7.50"]


def test_entries_come_in_pages_and_by_type(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(*(adjust("deposit", str(number)) for number in range(1, 6)), adjust("withdraw", "3"))
    first = ledger.client.wallet_entries("shop", "anna", limit=4)
    assert ([entry["seq"] for entry in first.entries], first.total, first.next_before) == ([6, 5, 4, 3], 6, 3)
    rest = ledger.client.wallet_entries("shop", "anna", before=first.next_before, limit=4)
    assert ([entry["seq"] for entry in rest.entries], rest.next_before) == ([2, 1], None)
    (taken,) = ledger.client.wallet_entries("shop", "anna", type="withdraw").entries
    assert (taken["delta"], taken["balance_before"], taken["balance_after"]) == ("-3.00", "15.00", "12.00")
    assert (taken["actor"], taken["reason"], taken["currency"]) == ("admin", "why not", "CNY")
    with pytest.raises(WalletMissing):
        ledger.client.wallet("shop", "ben")


@pytest.mark.parametrize("value", ["'NaN'", "-1", str(MAX_MONEY + 1), "'Infinity'"])
def test_money_columns_accept_only_valid_amounts(ledger: Ledger, value: str) -> None:
    ledger.tenant()
    ledger.apply(adjust("deposit", "1"))
    for column in ("balance", "frozen_balance", "total_deposited"):
        with (
            pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.NumericValueOutOfRange)),
            psycopg.connect(ledger.settings.database) as connection,
        ):
            connection.execute(f"UPDATE wallets SET {column} = {value}")
