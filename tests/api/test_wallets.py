"""The page about adjusting wallets, field for field, and what else is told of money and of acts."""

from typing import Any

import httpx
import pytest

from tests.api.served import Served
from tests.api.test_pages import ULID, User, check, operation, simple
from tests.domain.corpus import BAD_MONEY, MISSING
from tests.observability.verify.tampering import tamper

WALLET = {
    "balance": str,
    "created_at": str,
    "currency": str,
    "frozen_balance": str,
    "status": str,
    "tenant_id": str,
    "updated_at": str,
    "user_id": str,
    "wallet_id": str,
}
TRANSACTION = {
    "amount": str,
    "balance_after": str,
    "balance_before": str,
    "created_at": str,
    "currency": str,
    "id": str,
    "status": str,
    "type": str,
    "wallet_id": str,
}
SOMETIMES = {"counterparty_id": str, "description": str, "reference_id": str, "application_id": str}


def adjust(
    served: Served, user_id: str, token: str | None = None, key: str | None = None, **body: Any
) -> Any:
    given = {"type": "deposit", "amount": "5.00", "reason": "won"} | body
    sent = {name: value for name, value in given.items() if value is not MISSING}
    return served.post(f"/admin/wallets/{user_id}/adjust", token or served.admin, sent, key=key)


def adjusted(answer: httpx.Response) -> dict[str, Any]:
    """dto.AdjustBalanceResponse"""
    body = answer.json()
    assert answer.status_code == 200, body
    check(body, {"code": int, "message": str, "timestamp": str, "data": dict})
    data: dict[str, Any] = body["data"]
    assert set(data) == {"transaction", "wallet"}
    check(data["transaction"], TRANSACTION, SOMETIMES)
    check(data["wallet"], WALLET, SOMETIMES)
    assert ULID.fullmatch(data["wallet"]["wallet_id"])
    return data


def test_a_deposit_and_a_withdrawal_are_told_as_the_page_says(served: Served, user: User) -> None:
    anna = user()
    adjusted(adjust(served, anna, amount="900.00", application_id="app_abc123"))
    data = adjusted(adjust(served, anna, amount="100.00", reason="账户充值"))
    moved = {
        name: data["transaction"][name] for name in ("amount", "balance_before", "balance_after", "type")
    }
    assert moved == {
        "amount": "100.00",
        "balance_before": "900.00",
        "balance_after": "1000.00",
        "type": "deposit",
    }
    assert (data["transaction"]["status"], data["transaction"]["description"]) == ("completed", "账户充值")
    assert (data["wallet"]["currency"], data["wallet"]["balance"]) == ("CNY", "1000.00")
    assert (data["wallet"]["application_id"], data["wallet"]["user_id"]) == ("app_abc123", anna)
    taken = adjusted(adjust(served, anna, type="withdraw", amount="1000"))
    assert (taken["wallet"]["balance"], taken["transaction"]["wallet_id"]) == (
        "0.00",
        data["wallet"]["wallet_id"],
    )


@pytest.mark.parametrize("what", BAD_MONEY)
def test_68_an_amount_that_is_no_money_is_422_and_one_that_is_no_text_400(
    served: Served, user: User, what: str
) -> None:
    anna, amount = user(), BAD_MONEY[what]
    if what == "a lone surrogate":
        pytest.skip("no client can send one in UTF-8")
    status = 422 if isinstance(amount, str) else 400
    simple(adjust(served, anna, amount=amount), status)
    assert served.get(f"/wallets/{anna}", served.admin).status_code == 404


@pytest.mark.parametrize("body", [{"amount": "1.001"}, {"amount": "1.5", "currency": "JPY"}])
def test_w1_more_decimals_than_the_currency_has_are_422(served: Served, user: User, body: Any) -> None:
    assert simple(adjust(served, user(), **body), 422)["reason"] == "AMOUNT_INVALID"


def test_69_a_withdrawal_beyond_the_balance_is_409_and_on_record(served: Served, user: User) -> None:
    anna = user()
    adjust(served, anna, amount="5")
    refused = simple(adjust(served, anna, type="withdraw", amount="5.01", reason="too much"), 409)
    assert refused["reason"] == "INSUFFICIENT_BALANCE"
    assert served.get(f"/wallets/{anna}", served.admin).json()["data"]["balance"] == "5.00"
    (act, _) = served.get(f"/admin/audit?user_id={anna}", served.admin).json()["items"]
    assert (act["state"], act["refusal"], act["reason"]) == ("refused", "INSUFFICIENT_BALANCE", "too much")
    assert act["before"] == act["after"]


@pytest.mark.parametrize(
    "body", [{"type": "transfer"}, {"type": MISSING}, {"reason": ""}, {"reason": MISSING}, {"balance": "9"}]
)
def test_70_what_is_missing_or_unknown_is_400(served: Served, user: User, body: Any) -> None:
    simple(adjust(served, user(), **body), 400)


def test_71_another_currency_is_422_and_an_unknown_one_400(served: Served, user: User) -> None:
    assert simple(adjust(served, user(), currency="EUR"), 422)["reason"] == "CURRENCY_MISMATCH"
    simple(adjust(served, user(), currency="XYZ"), 400)


def test_21_a_withdrawal_from_nobody_is_404_and_by_nobody_401_and_by_a_user_403(
    served: Served, user: User
) -> None:
    anna = user()
    assert simple(adjust(served, anna, type="withdraw"), 404)["reason"] == "WALLET_NOT_FOUND"
    simple(adjust(served, anna, served.issuer.user(anna)), 403)
    simple(served.post(f"/admin/wallets/{anna}/adjust", None, {}), 401)


def test_w3_the_same_key_is_one_adjustment_and_its_answer_the_same(served: Served, user: User) -> None:
    anna = user()
    first, again = (adjust(served, anna, key=f"once-{anna}") for _ in range(2))
    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert adjusted(again)["transaction"]["reference_id"] == f"once-{anna}"
    assert adjust(served, anna, key=f"once-{anna}", amount="6").status_code == 422
    assert served.get(f"/wallets/{anna}", served.admin).json()["data"]["balance"] == "5.00"


def test_a_user_sees_its_own_money_and_nobody_elses(served: Served, user: User) -> None:
    anna, ben = user(), user()
    for number in range(1, 4):
        adjust(served, anna, amount=f"{number}.00")
    own = served.get(f"/wallets/{anna}", served.issuer.user(anna))
    check(own.json()["data"], WALLET, SOMETIMES)
    page = served.get(f"/wallets/{anna}/transactions?page=2&page_size=2", served.issuer.user(anna)).json()
    assert [item["amount"] for item in page["items"]] == ["1.00"]
    assert (page["total"], page["pagination"]["total_pages"], page["pagination"]["has_next"]) == (3, 2, False)
    check(page["items"][0], TRANSACTION, SOMETIMES)
    first = served.get(f"/wallets/{anna}/transactions?page_size=2", served.admin).json()
    cursor = first["pagination"]["next_cursor"]
    rest = served.get(f"/wallets/{anna}/transactions?cursor={cursor}&type=deposit", served.admin).json()
    assert [item["id"] for item in rest["items"]] == [item["id"] for item in page["items"]]
    beyond = served.get(f"/wallets/{anna}/transactions?page=9&type=withdraw", served.admin).json()
    assert (beyond["items"], beyond["total"]) == ([], 0)
    simple(served.get(f"/wallets/{anna}/transactions?type=gift", served.admin), 400)
    simple(served.get(f"/wallets/{anna}", served.issuer.user(ben)), 404)
    simple(served.get(f"/wallets/{ben}", served.issuer.user(ben)), 404)


def test_w5_points_become_money_or_a_coupon(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 250)
    path, token = f"/points/{anna}/exchange", served.issuer.user(anna)
    data = operation(served.post(path, token, {"amount": 150, "exchange_type": "wallet"}))
    assert (data["points_exchanged"], data["account"]["balance"]) == (150, 100)
    check(data["wallet"], WALLET, SOMETIMES)
    check(data["wallet_transaction"], TRANSACTION, SOMETIMES)
    assert (data["wallet"]["balance"], data["wallet_transaction"]["type"]) == ("1.50", "exchange")
    assert data["wallet_transaction"]["reference_id"] == data["transaction"]["id"]
    coupon = operation(served.post(path, token, {"amount": 100, "exchange_type": "coupon"}))
    assert coupon["coupon"] == {"code": coupon["transaction"]["id"], "points": 100}
    assert simple(served.post(path, token, {"amount": 1, "exchange_type": "wallet"}), 409)["reason"] == (
        "INSUFFICIENT_BALANCE"
    )
    simple(served.post(path, token, {"amount": 1, "exchange_type": "cash"}), 400)


def test_what_administrators_did_is_listed_and_filtered(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 10)
    for amount in (1, 2, -50):
        served.post(f"/admin/points/{anna}/adjust", served.admin, {"amount": amount, "reason": "why not"})
    asked = f"/admin/audit?user_id={anna}&kind=adjust"
    page = served.get(f"{asked}&page_size=2", served.admin).json()
    assert (page["total"], len(page["items"])) == (3, 2)
    latest = page["items"][0]
    assert (latest["state"], latest["refusal"], latest["reason"]) == (
        "refused",
        "INSUFFICIENT_BALANCE",
        "why not",
    )
    assert len(served.get(f"{asked}&state=applied", served.admin).json()["items"]) == 2
    assert served.get("/admin/audit?actor=nobody", served.admin).json()["items"] == []
    for bad in ("state=dead", "kind=DROP", "user_id=%27", "page=0"):
        simple(served.get(f"/admin/audit?{bad}", served.admin), 400)
    assert served.get(asked, served.issuer.admin("other")).json()["total"] == 0


def test_an_accounts_integrity_is_told_by_its_id(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 10)
    account_id = served.get(f"/points/{anna}", served.admin).json()["data"]["id"]
    path = f"/admin/point/integrity/{account_id}"
    sound = served.get(path, served.admin).json()["data"]
    assert (sound["is_sound"], sound["user_id"], sound["entries"]) == (True, anna, 1)
    tamper(served.ledger, f"UPDATE accounts SET version = 7 WHERE user_id = '{anna}'")
    assert served.get(path, served.admin).json()["data"]["is_sound"] is False
    simple(served.get(path, served.issuer.admin("other")), 404)
    simple(served.get("/admin/point/integrity/x", served.admin), 400)
