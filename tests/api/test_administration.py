"""Changes by administrators: accounts, batches, configuration, rules."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pointledger.ids import new_id, show_id
from pointledger.observability.verify import verify
from tests.api.environment import ApiEnvironment
from tests.waiting import wait_until

User = Callable[[], str]


def test_an_account_is_opened_once(api: ApiEnvironment, user: User) -> None:
    anna = user()
    opened = api.post("/admin/points", api.admin, {"user_id": anna}, key=f"open {anna}")
    account = opened.json()["data"]["account"]
    assert (opened.status_code, account["balance"], account["version"]) == (201, 0, 0)
    again = api.post("/admin/points", api.admin, {"user_id": anna}, key=f"open {anna}")
    assert (again.status_code, again.content) == (201, opened.content)
    other = api.post("/admin/points", api.admin, {"user_id": anna})
    assert (other.status_code, other.json()["reason"]) == (409, "ACCOUNT_EXISTS")
    api.earn(anna, 5)
    assert api.ledger.balance(anna) == 5


def test_a_retry_gets_the_first_response_after_the_configuration_has_changed(
    api: ApiEnvironment, user: User
) -> None:
    anna = user()
    first = api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, key=f"then {anna}")
    config = api.get("/admin/points/config", api.admin).json()["data"]
    api.call("PUT", "/admin/points/config", api.admin, config | {"exchange_rate": 7})
    api.earn(anna, 6)
    again = api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, key=f"then {anna}")
    assert again.content == first.content
    api.call("PUT", "/admin/points/config", api.admin, config)


def test_holds_are_opened_captured_and_released(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 100)
    frozen = api.post(f"/admin/points/{anna}/freeze", api.admin, {"amount": 60, "reason": "order 1"})
    hold_id = frozen.json()["data"]["hold_id"]
    assert frozen.json()["data"]["account"]["frozen_balance"] == 60
    captured = api.post(f"/points/{anna}/confirm-deduction", api.till, {"hold_id": hold_id, "amount": 50})
    assert [entry["subtype"] for entry in captured.json()["data"]["transactions"]] == ["capture", "release"]
    assert api.post(f"/admin/points/{anna}/freeze", api.admin, {"amount": 10}).status_code == 200
    assert api.post(f"/admin/points/{anna}/unfreeze", api.admin, {"amount": 10}).status_code == 200
    assert api.post(f"/admin/points/{anna}/unfreeze", api.admin, {"amount": 1}).status_code == 409
    assert api.post(f"/admin/points/{anna}/unfreeze", api.admin, {}).status_code == 400


def test_an_adjustment_requires_a_reason(api: ApiEnvironment, user: User) -> None:
    anna = user()
    path = f"/admin/points/{anna}/adjust"
    assert api.post(path, api.admin, {"amount": 50, "reason": "a mistake"}).status_code == 200
    for body in ({"amount": 50}, {"amount": 50, "reason": ""}, {"amount": 0, "reason": "x"}):
        assert api.post(path, api.admin, body).status_code == 400
    assert api.post(path, api.admin, {"amount": -51, "reason": "x"}).status_code == 409


def test_28_a_suspended_or_closed_account_is_409(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 10)
    for status, reason in (("suspended", "ACCOUNT_SUSPENDED"), ("closed", "ACCOUNT_CLOSED")):
        body = {"status": status, "reason": "test"}
        assert api.call("PUT", f"/admin/points/{anna}/status", api.admin, body).status_code == 200
        answer = api.post(f"/points/{anna}/spend", api.till, {"amount": 1})
        assert (answer.status_code, answer.json()["reason"]) == (409, reason)


def test_a_refund_refers_to_the_given_transaction(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 10)
    spent = api.post(f"/points/{anna}/spend", api.till, {"amount": 4}).json()["data"]["transaction"]
    back = api.post(f"/points/{anna}/refund", api.till, {"related_id": spent["id"], "amount": 4})
    assert back.json()["data"]["transaction"]["related_id"] == spent["id"]
    again = api.post(f"/points/{anna}/refund", api.till, {"related_id": spent["id"], "amount": 1})
    assert again.json()["reason"] == "RELATED_NOT_REVERSIBLE"
    lost = api.post(f"/points/{anna}/refund", api.till, {"related_id": str(new_id()), "amount": 1})
    assert (lost.status_code, lost.json()["reason"]) == (404, "RELATED_NOT_FOUND")


def test_a_batch_has_a_task_for_each_row_and_one_for_all(api: ApiEnvironment, user: User) -> None:
    anna, ben = user(), user()
    rows = [{"user_id": anna, "amount": 5}, {"user_id": ben, "amount": 0}, {"user_id": ben, "amount": 7}]
    first, again = (
        api.post("/admin/points/batch-earn", api.admin, {"items": rows}, key=f"batch {anna}")
        for _ in range(2)
    )
    assert (first.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.json()["data"] == first.json()["data"]
    address = first.headers["location"]
    wait_until(lambda: api.get(address, api.admin).json()["data"]["state"] == "done", "the batch is done")
    batch = api.get(address, api.admin).json()["data"]
    assert (batch["applied"], batch["refused"], batch["points_earned"]) == (2, {"INVALID_COMMAND": 1}, 12)
    assert api.get(address, api.issuer.admin("other")).status_code == 404
    assert api.get(address, api.issuer.user(anna)).status_code == 404
    tasks = [f"/tasks/{task_id}" for task_id in first.json()["data"]["task_ids"]]
    assert api.get(tasks[0], api.admin).json()["data"]["data"]["points_earned"] == 5
    changed = api.post("/admin/points/batch-earn", api.admin, {"items": rows[:1]}, key=f"batch {anna}")
    assert changed.status_code == 422


@pytest.mark.parametrize("body", [{}, {"items": []}, {"items": 5}, {"items": [], "more": 1}, {"items": None}])
def test_an_invalid_batch_and_one_without_a_key_are_400(api: ApiEnvironment, body: object) -> None:
    assert api.post("/admin/points/batch-earn", api.admin, body, key="bad").status_code == 400
    rows = {"items": [{"user_id": "x", "amount": 1}]}
    assert api.post("/admin/points/batch-earn", api.admin, rows).status_code == 400


def test_put_replaces_the_whole_configuration(api: ApiEnvironment) -> None:
    path, other_admin = "/admin/points/config", api.issuer.admin("other")
    before = api.get(path, other_admin).json()["data"]
    assert before["transfer_enabled"] is False
    changed = api.call("PUT", path, other_admin, before | {"max_balance": 1000, "timezone": "Asia/Shanghai"})
    assert changed.json()["data"]["timezone"] == "Asia/Shanghai"
    assert api.get(path, other_admin).json()["data"]["max_balance"] == 1000
    for invalid in ({"tenant_id": "shop"}, {"timezone": "Mars"}, {"max_balance": "5"}, {"surprise": 1}):
        assert api.call("PUT", path, other_admin, invalid).status_code == 400, invalid
    assert api.call("PUT", path, other_admin, before).status_code == 200
    nowhere = api.issuer.admin("nowhere")
    assert api.get(path, nowhere).status_code == 404
    assert api.call("PUT", path, nowhere, {}).status_code == 404


def test_rules_are_added_read_changed_tried_and_disabled(api: ApiEnvironment, user: User) -> None:
    path = "/admin/point-rules"
    body = {"name": f"rule of {user()}", "event_type": "tried", "points": 10, "multiplier": "1.5"}
    added = api.post(path, api.admin, body)
    assert added.status_code == 201
    rule = added.json()["data"]
    assert api.post(path, api.admin, body).status_code == 200
    assert api.post(path, api.admin, body | {"points": 11}).status_code == 409
    own = f"{path}/{rule['id']}"
    assert api.get(own, api.admin).json()["data"] == rule

    event = {"user_id": user(), "event_type": "tried"}
    tried = api.post(f"{path}/test", api.admin, event).json()["data"]
    assert (tried["points"], tried["rules"][0]["rule"]) == (15, body["name"])
    assert api.get(f"/points/{event['user_id']}", api.admin).status_code == 404

    changed = api.call("PUT", own, api.admin, body | {"points": 20})
    assert changed.json()["data"]["version"] == 2
    assert api.call("PUT", own, api.admin, body | {"name": "another"}).status_code == 409
    assert api.post(f"{path}/test", api.admin, event).json()["data"]["points"] == 30

    assert api.call("DELETE", own, api.admin).json()["data"]["enabled"] is False
    assert api.post(f"{path}/test", api.admin, event).json()["data"]["applied"] is False
    listed = [item["id"] for item in api.get(path, api.admin).json()["items"]]
    every = [item["id"] for item in api.get(f"{path}?include_disabled=true", api.admin).json()["items"]]
    assert (rule["id"] in listed, rule["id"] in every) == (False, True)
    for method, sent in (("GET", None), ("PUT", body), ("DELETE", None)):
        missing = f"{path}/{show_id(new_id())}"
        assert api.call(method, missing, api.admin, sent).status_code == 404
        of_other_tenant = api.call(method, own, api.issuer.admin("other"), sent)
        assert of_other_tenant.status_code == 404


@pytest.mark.parametrize(
    "invalid",
    [
        {"multiplier": "-1"},
        {"multiplier": 1e308},
        {"multiplier": "1e308"},
        {"points": -5},
        {"points": 10**16},
        {"points": 1.5},
        {"when": "event.x >"},
        {"when": "event.l.all(x, x in event.l)"},
        {"event_type": ""},
        {"surprise": 1},
        {"name": "a\x00b"},
    ],
    ids=str,
)
def test_103_an_invalid_rule_is_400(api: ApiEnvironment, invalid: dict[str, object]) -> None:
    body = {"name": "invalid", "event_type": "x", "points": 1} | invalid
    assert api.post("/admin/point-rules", api.admin, body).status_code == 400


def test_a_rule_that_could_be_too_dear_is_400_with_the_estimate_and_the_limit(api: ApiEnvironment) -> None:
    rule = {"name": "dear", "event_type": "x", "points": 1, "when": "event.l.all(x, event.l == event.l)"}

    refused = api.post("/admin/point-rules", api.admin, rule)

    assert refused.status_code == 400
    message = refused.json()["message"]
    assert "when: an event of 16384 bytes could cost" in message and "the limit is 10 ms" in message
    assert "most of it is ==" in message


def test_104_a_daily_limit_grants_what_is_left_even_to_concurrent_events(
    api: ApiEnvironment, user: User
) -> None:
    rule = {"name": "daily", "event_type": "daily", "daily_limit": 100}
    rule |= {"base": {"kind": "per_unit", "field": "n", "per": 1, "points": 1}}
    assert api.post("/admin/point-rules", api.admin, rule).status_code == 201

    def granted(user_id: str, points: int) -> int:
        event = {"event_type": "daily", "user_id": user_id, "metadata": {"n": points}}
        return int(api.post("/admin/points/apply-rule", api.admin, event).json()["data"]["points_earned"])

    anna, ben = user(), user()
    assert [granted(anna, 95), granted(anna, 10), granted(anna, 10)] == [95, 5, 0]
    with ThreadPoolExecutor(20) as threads:
        each = list(threads.map(lambda _: granted(ben, 10), range(100)))
    assert sorted(each) == [0] * 90 + [10] * 10
    assert (api.ledger.balance(anna), api.ledger.balance(ben)) == (100, 100)


def test_the_ledger_is_sound_after_all_requests_of_this_module(api: ApiEnvironment, user: User) -> None:
    assert api.post("/admin/points", api.admin, {"user_id": user()}).status_code == 201
    assert verify(api.ledger.database).violations == 0
