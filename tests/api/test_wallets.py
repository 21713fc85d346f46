"""Wallets, field by field as specified, and the audit log."""

from typing import Any

import httpx
import pytest

from tests.api.environment import ApiEnvironment
from tests.api.test_pages import ULID, User, check, operation, simple
from tests.domain.corpus_values import BAD_MONEY, MISSING
from tests.observability.verify.corruption import corrupt

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
    api: ApiEnvironment, user_id: str, token: str | None = None, key: str | None = None, **body: Any
) -> Any:
    given = {"type": "deposit", "amount": "5.00", "reason": "won"} | body
    sent = {name: value for name, value in given.items() if value is not MISSING}
    return api.post(f"/admin/wallets/{user_id}/adjust", token or api.admin, sent, key=key)


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


def test_a_deposit_and_a_withdrawal_have_the_specified_fields(api: ApiEnvironment, user: User) -> None:
    anna = user()
    adjusted(adjust(api, anna, amount="900.00", application_id="app_abc123"))
    data = adjusted(adjust(api, anna, amount="100.00", reason="账户充值"))
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
    withdrawn = adjusted(adjust(api, anna, type="withdraw", amount="1000"))
    assert (withdrawn["wallet"]["balance"], withdrawn["transaction"]["wallet_id"]) == (
        "0.00",
        data["wallet"]["wallet_id"],
    )


@pytest.mark.parametrize("what", BAD_MONEY)
def test_68_an_amount_that_is_not_money_is_422_and_one_that_is_not_a_string_is_400(
    api: ApiEnvironment, user: User, what: str
) -> None:
    anna, amount = user(), BAD_MONEY[what]
    if what == "a lone surrogate":
        pytest.skip("no client can send one in UTF-8")
    status = 422 if isinstance(amount, str) else 400
    simple(adjust(api, anna, amount=amount), status)
    assert api.get(f"/wallets/{anna}", api.admin).status_code == 404


@pytest.mark.parametrize("body", [{"amount": "1.001"}, {"amount": "1.5", "currency": "JPY"}])
def test_w1_more_decimals_than_the_currency_has_are_422(api: ApiEnvironment, user: User, body: Any) -> None:
    assert simple(adjust(api, user(), **body), 422)["reason"] == "AMOUNT_INVALID"


def test_69_a_withdrawal_beyond_the_balance_is_409_and_in_the_audit_log(
    api: ApiEnvironment, user: User
) -> None:
    anna = user()
    adjust(api, anna, amount="5")
    refused = simple(adjust(api, anna, type="withdraw", amount="5.01", reason="too much"), 409)
    assert refused["reason"] == "INSUFFICIENT_BALANCE"
    assert api.get(f"/wallets/{anna}", api.admin).json()["data"]["balance"] == "5.00"
    (record, _) = api.get(f"/admin/audit?user_id={anna}", api.admin).json()["items"]
    assert (record["state"], record["refusal"], record["reason"]) == (
        "refused",
        "INSUFFICIENT_BALANCE",
        "too much",
    )
    assert record["before"] == record["after"]


@pytest.mark.parametrize(
    "body", [{"type": "transfer"}, {"type": MISSING}, {"reason": ""}, {"reason": MISSING}, {"balance": "9"}]
)
def test_70_missing_and_unknown_fields_are_400(api: ApiEnvironment, user: User, body: Any) -> None:
    simple(adjust(api, user(), **body), 400)


def test_71_another_currency_is_422_and_an_unknown_one_is_400(api: ApiEnvironment, user: User) -> None:
    assert simple(adjust(api, user(), currency="EUR"), 422)["reason"] == "CURRENCY_MISMATCH"
    simple(adjust(api, user(), currency="XYZ"), 400)


def test_21_a_withdrawal_is_404_without_a_wallet_403_for_a_user_and_401_without_a_token(
    api: ApiEnvironment, user: User
) -> None:
    anna = user()
    assert simple(adjust(api, anna, type="withdraw"), 404)["reason"] == "WALLET_NOT_FOUND"
    simple(adjust(api, anna, api.issuer.user(anna)), 403)
    simple(api.post(f"/admin/wallets/{anna}/adjust", None, {}), 401)


def test_w3_a_retry_with_the_same_key_gets_the_same_bytes(api: ApiEnvironment, user: User) -> None:
    anna = user()
    first, again = (adjust(api, anna, key=f"once-{anna}") for _ in range(2))
    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert adjusted(again)["transaction"]["reference_id"] == f"once-{anna}"
    assert adjust(api, anna, key=f"once-{anna}", amount="6").status_code == 422
    assert api.get(f"/wallets/{anna}", api.admin).json()["data"]["balance"] == "5.00"


def test_a_user_reads_only_its_own_wallet(api: ApiEnvironment, user: User) -> None:
    anna, ben = user(), user()
    for number in range(1, 4):
        adjust(api, anna, amount=f"{number}.00")
    own = api.get(f"/wallets/{anna}", api.issuer.user(anna))
    check(own.json()["data"], WALLET, SOMETIMES)
    page = api.get(f"/wallets/{anna}/transactions?page=2&page_size=2", api.issuer.user(anna)).json()
    assert [item["amount"] for item in page["items"]] == ["1.00"]
    assert (page["total"], page["pagination"]["total_pages"], page["pagination"]["has_next"]) == (3, 2, False)
    check(page["items"][0], TRANSACTION, SOMETIMES)
    first = api.get(f"/wallets/{anna}/transactions?page_size=2", api.admin).json()
    cursor = first["pagination"]["next_cursor"]
    rest = api.get(f"/wallets/{anna}/transactions?cursor={cursor}&type=deposit", api.admin).json()
    assert [item["id"] for item in rest["items"]] == [item["id"] for item in page["items"]]
    beyond = api.get(f"/wallets/{anna}/transactions?page=9&type=withdraw", api.admin).json()
    assert (beyond["items"], beyond["total"]) == ([], 0)
    simple(api.get(f"/wallets/{anna}/transactions?type=gift", api.admin), 400)
    simple(api.get(f"/wallets/{anna}", api.issuer.user(ben)), 404)
    simple(api.get(f"/wallets/{ben}", api.issuer.user(ben)), 404)


def test_w5_points_become_money_or_a_coupon(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 250)
    path, token = f"/points/{anna}/exchange", api.issuer.user(anna)
    data = operation(api.post(path, token, {"amount": 150, "exchange_type": "wallet"}))
    assert (data["points_exchanged"], data["account"]["balance"]) == (150, 100)
    check(data["wallet"], WALLET, SOMETIMES)
    check(data["wallet_transaction"], TRANSACTION, SOMETIMES)
    assert (data["wallet"]["balance"], data["wallet_transaction"]["type"]) == ("1.50", "exchange")
    assert data["wallet_transaction"]["reference_id"] == data["transaction"]["id"]
    coupon = operation(api.post(path, token, {"amount": 100, "exchange_type": "coupon"}))
    assert coupon["coupon"] == {"code": coupon["transaction"]["id"], "points": 100}
    assert simple(api.post(path, token, {"amount": 1, "exchange_type": "wallet"}), 409)["reason"] == (
        "INSUFFICIENT_BALANCE"
    )
    simple(api.post(path, token, {"amount": 1, "exchange_type": "cash"}), 400)


def test_the_audit_log_is_listed_and_filtered(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 10)
    for amount in (1, 2, -50):
        api.post(f"/admin/points/{anna}/adjust", api.admin, {"amount": amount, "reason": "why not"})
    path = f"/admin/audit?user_id={anna}&kind=adjust"
    page = api.get(f"{path}&page_size=2", api.admin).json()
    assert (page["total"], len(page["items"])) == (3, 2)
    latest = page["items"][0]
    assert (latest["state"], latest["refusal"], latest["reason"]) == (
        "refused",
        "INSUFFICIENT_BALANCE",
        "why not",
    )
    assert len(api.get(f"{path}&state=applied", api.admin).json()["items"]) == 2
    assert api.get("/admin/audit?actor=nobody", api.admin).json()["items"] == []
    for query in ("state=dead", "kind=DROP", "user_id=%07", "page=0"):
        simple(api.get(f"/admin/audit?{query}", api.admin), 400)
    assert api.get(path, api.issuer.admin("other")).json()["total"] == 0


def test_an_account_is_verified_by_its_id(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 10)
    account_id = api.get(f"/points/{anna}", api.admin).json()["data"]["id"]
    path = f"/admin/point/integrity/{account_id}"
    sound = api.get(path, api.admin).json()["data"]
    assert (sound["is_sound"], sound["user_id"], sound["entries"]) == (True, anna, 1)
    corrupt(api.ledger, f"UPDATE accounts SET version = 7 WHERE user_id = '{anna}'")
    assert api.get(path, api.admin).json()["data"]["is_sound"] is False
    simple(api.get(path, api.issuer.admin("other")), 404)
    simple(api.get("/admin/point/integrity/x", api.admin), 400)
