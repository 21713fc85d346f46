"""The five specified routes: fields, types and statuses, as in the specification."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.api.environment import ApiEnvironment

User = Callable[[], str]

ACCOUNT = {
    "balance": int,
    "created_at": str,
    "exchange_rate": int,
    "expired_points": int,
    "frozen_balance": int,
    "id": str,
    "points_type": str,
    "status": str,
    "tenant_id": str,
    "total_earned": int,
    "total_spent": int,
    "updated_at": str,
    "user_id": str,
    "version": int,
}
TRANSACTION = {
    "account_id": str,
    "amount": int,
    "balance_after": int,
    "balance_before": int,
    "created_at": str,
    "id": str,
    "status": str,
    "type": str,
    "updated_at": str,
    "user_id": str,
}
SOMETIMES = {
    "description": str,
    "expires_at": str,
    "idempotency_key": str,
    "reason": str,
    "related_id": str,
    "source": str,
}
PAGE = {"has_next": bool, "has_prev": bool, "page": int, "page_size": int, "total": int, "total_pages": int}
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def check(
    shown: dict[str, Any], always: Mapping[str, type], sometimes: Mapping[str, type] | None = None
) -> None:
    for name, kind in always.items():
        assert type(shown[name]) is kind, name
    for name, kind in (sometimes or {}).items():
        assert type(shown.get(name, kind())) is kind, name
    for name in shown.keys() & {"created_at", "updated_at", "expires_at", "timestamp"}:
        assert shown[name].endswith("Z")
        assert datetime.fromisoformat(shown[name]).utcoffset() is not None
    for name in shown.keys() & {"id", "account_id", "related_id"}:
        assert ULID.fullmatch(shown[name]), name


def operation(answer: httpx.Response) -> dict[str, Any]:
    """dto.PointOperationResponse"""
    body = answer.json()
    assert answer.status_code == 200, body
    check(body, {"code": int, "message": str, "timestamp": str, "data": dict})
    assert body["code"] == 200
    data: dict[str, Any] = body["data"]
    check(data["account"], ACCOUNT)
    if "transaction" in data:
        check(data["transaction"], TRANSACTION, SOMETIMES)
        assert data["transaction"]["status"] == "completed"
    return data


def simple(answer: httpx.Response, status: int) -> dict[str, Any]:
    """base_dto.SimpleResponse"""
    body: dict[str, Any] = answer.json()
    assert answer.status_code == status, body
    check(body, {"code": int, "message": str, "timestamp": str})
    assert body["code"] == status
    return body


def test_apply_rule_grants_by_the_tenants_rules(api: ApiEnvironment, user: User) -> None:
    anna = user()
    event = {"event_type": "welcome", "user_id": anna, "metadata": {"channel": "app"}}
    data = operation(api.post("/admin/points/apply-rule", api.admin, event))

    assert data["points_earned"] == 100
    assert data["account"]["balance"] == data["transaction"]["balance_after"] == 100
    assert data["transaction"]["type"] == "earn"
    assert data["transactions"] == [data["transaction"]]


def test_102_an_event_without_a_matching_rule_is_404(api: ApiEnvironment, user: User) -> None:
    event = {"event_type": "nothing", "user_id": user()}
    assert simple(api.post("/admin/points/apply-rule", api.admin, event), 404)["reason"] == (
        "NO_MATCHING_RULE"
    )


def test_72_expire_settles_what_is_available(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 300)
    body = {"amount": 500, "description": "left"}
    data = operation(api.post(f"/admin/points/{anna}/expire", api.admin, body))

    assert (data["requested"], data["settled"], data["ratio"]) == (500, 300, "0.6")
    assert data["transaction"]["type"] == "expire"
    assert data["transaction"]["amount"] == data["account"]["expired_points"] == 300
    assert data["transaction"]["description"] == "left"


def test_73_expire_with_nothing_available_is_applied_without_a_transaction(
    api: ApiEnvironment, user: User
) -> None:
    anna = user()
    api.earn(anna, 5)
    api.post(f"/points/{anna}/spend", api.till, {"amount": 5})
    data = operation(api.post(f"/admin/points/{anna}/expire", api.admin, {"amount": 1}))

    assert data["settled"] == 0
    assert "transaction" not in data


@pytest.mark.parametrize("amount", [0, -5, 1.5, "5", None])
def test_expire_with_an_invalid_amount_is_400(api: ApiEnvironment, user: User, amount: object) -> None:
    simple(api.post(f"/admin/points/{user()}/expire", api.admin, {"amount": amount}), 400)


def test_1_21_27_expire_is_404_for_an_unknown_user_401_without_a_token_and_403_for_a_user(
    api: ApiEnvironment, user: User
) -> None:
    anna, path = user(), "/admin/points/{}/expire"
    assert simple(api.post(path.format(anna), api.admin, {"amount": 5}), 404)["reason"] == (
        "ACCOUNT_NOT_FOUND"
    )
    simple(api.post(path.format(anna), None, {"amount": 5}), 401)
    simple(api.post(path.format(anna), api.issuer.user(anna), {"amount": 5}), 403)


def test_transfer_moves_points_to_another_user(api: ApiEnvironment, user: User) -> None:
    anna, ben = user(), user()
    api.earn(anna, 100)
    api.earn(ben, 1)
    body = {"to_user_id": ben, "amount": 40, "reason": "生日", "source": "app", "description": "🎂"}
    token = api.issuer.user(anna)
    data = operation(api.post(f"/points/{anna}/transfer", token, body, key="ik_abc123"))

    shown = data["transaction"]
    assert {name: shown[name] for name in ("reason", "source", "description")} == {
        "reason": "生日",
        "source": "app",
        "description": "🎂",
    }
    assert shown["idempotency_key"] == "ik_abc123"
    assert (shown["balance_before"], shown["balance_after"]) == (100, 60)
    assert ULID.fullmatch(shown["related_id"])
    assert api.ledger.balance(ben) == 41


def test_78_disabled_transfers_are_403(api: ApiEnvironment) -> None:
    token = api.issuer.user("anna", "other")
    answer = api.post("/points/anna/transfer", token, {"to_user_id": "ben", "amount": 1})
    assert simple(answer, 403)["reason"] == "FEATURE_DISABLED"


def test_transactions_come_in_pages_newest_first(api: ApiEnvironment, user: User) -> None:
    anna = user()
    for amount in (1, 2, 3):
        api.earn(anna, amount)
    api.post(f"/points/{anna}/spend", api.till, {"amount": 6})
    token = api.issuer.user(anna)
    answer = api.get(f"/points/{anna}/transactions?page=1&page_size=3", token)
    body = answer.json()

    check(body, {"code": int, "message": str, "timestamp": str, "items": list, "total": int})
    check(body["pagination"], PAGE)
    assert [(item["type"], item["amount"]) for item in body["items"]] == [
        ("spend", 6),
        ("earn", 3),
        ("earn", 2),
    ]
    for item in body["items"]:
        check(item, TRANSACTION, SOMETIMES)
    assert body["total"] == 4
    pagination = {name: body["pagination"][name] for name in PAGE}
    assert pagination == {
        "page": 1,
        "page_size": 3,
        "total": 4,
        "total_pages": 2,
        "has_next": True,
        "has_prev": False,
    }


def test_pages_by_number_by_cursor_and_by_type_are_the_same_list(api: ApiEnvironment, user: User) -> None:
    anna = user()
    for amount in range(1, 8):
        api.earn(anna, amount)
        api.post(f"/points/{anna}/spend", api.till, {"amount": 1})
    path, token = f"/points/{anna}/transactions", api.issuer.user(anna)

    def ids(query: str) -> list[str]:
        return [item["id"] for item in api.get(f"{path}?{query}", token).json()["items"]]

    everything = ids("page_size=100")
    assert len(everything) == 14
    by_number = [found for page in (1, 2, 3, 4) for found in ids(f"page={page}&page_size=4")]
    cursor, by_cursor = "", []
    while cursor is not None:
        body = api.get(f"{path}?page_size=4{cursor}", token).json()
        by_cursor += [item["id"] for item in body["items"]]
        following = body["pagination"]["next_cursor"]
        cursor = following and f"&cursor={following}"
    assert by_number == by_cursor == everything
    earned = [found for page in (1, 2, 3) for found in ids(f"type=earn&page={page}&page_size=3")]
    assert earned == everything[1::2]
    assert api.get(f"{path}?type=earn", token).json()["total"] == 7


def test_the_default_page_has_twenty_items(api: ApiEnvironment, user: User) -> None:
    anna = user()
    for _ in range(21):
        api.earn(anna, 1)
    body = api.get(f"/points/{anna}/transactions", api.issuer.user(anna)).json()
    assert (len(body["items"]), body["pagination"]["page_size"]) == (20, 20)


def test_a_page_beyond_the_end_is_empty_and_an_unknown_user_is_404(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 1)
    for query in ("page=2", "page=1000000000&page_size=100", "type=spend", "type=earn&page=900"):
        body = api.get(f"/points/{anna}/transactions?{query}", api.issuer.user(anna)).json()
        assert body["items"] == []
    unknown = user()
    simple(api.get(f"/points/{unknown}/transactions", api.issuer.user(unknown)), 404)
    simple(api.get(f"/points/{unknown}/transactions"), 401)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH", "TRACE", "OPTIONS"])
def test_another_method_is_405_and_the_response_names_the_supported_ones(
    api: ApiEnvironment, method: str
) -> None:
    answer = api.call(method, "/admin/points/apply-rule", api.admin, X_HTTP_Method_Override="POST")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
