"""What administrators change: accounts, batches, the configuration, rules."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pointledger.ids import new_id, show_id
from pointledger.observability.verify import audit
from tests.api.served import Served
from tests.waiting import wait_until

User = Callable[[], str]


def test_an_account_is_opened_once(served: Served, user: User) -> None:
    anna = user()
    opened = served.post("/admin/points", served.admin, {"user_id": anna}, key=f"open {anna}")
    account = opened.json()["data"]["account"]
    assert (opened.status_code, account["balance"], account["version"]) == (201, 0, 0)
    again = served.post("/admin/points", served.admin, {"user_id": anna}, key=f"open {anna}")
    assert (again.status_code, again.content) == (201, opened.content)
    other = served.post("/admin/points", served.admin, {"user_id": anna})
    assert (other.status_code, other.json()["reason"]) == (409, "ACCOUNT_EXISTS")
    served.earn(anna, 5)
    assert served.ledger.balance(anna) == 5


def test_the_replay_of_an_answer_is_of_then(served: Served, user: User) -> None:
    anna = user()
    first = served.post(f"/points/{anna}/earn", served.till, {"amount": 5}, key=f"then {anna}")
    config = served.get("/admin/points/config", served.admin).json()["data"]
    served.call("PUT", "/admin/points/config", served.admin, config | {"exchange_rate": 7})
    served.earn(anna, 6)
    again = served.post(f"/points/{anna}/earn", served.till, {"amount": 5}, key=f"then {anna}")
    assert again.content == first.content
    served.call("PUT", "/admin/points/config", served.admin, config)


def test_holds_are_opened_captured_and_released(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 100)
    frozen = served.post(f"/admin/points/{anna}/freeze", served.admin, {"amount": 60, "reason": "order 1"})
    hold_id = frozen.json()["data"]["hold_id"]
    assert frozen.json()["data"]["account"]["frozen_balance"] == 60
    captured = served.post(
        f"/points/{anna}/confirm-deduction", served.till, {"hold_id": hold_id, "amount": 50}
    )
    assert [entry["subtype"] for entry in captured.json()["data"]["transactions"]] == ["capture", "release"]
    assert served.post(f"/admin/points/{anna}/freeze", served.admin, {"amount": 10}).status_code == 200
    assert served.post(f"/admin/points/{anna}/unfreeze", served.admin, {"amount": 10}).status_code == 200
    assert served.post(f"/admin/points/{anna}/unfreeze", served.admin, {"amount": 1}).status_code == 409
    assert served.post(f"/admin/points/{anna}/unfreeze", served.admin, {}).status_code == 400


def test_an_adjustment_has_its_reason(served: Served, user: User) -> None:
    anna = user()
    path = f"/admin/points/{anna}/adjust"
    assert served.post(path, served.admin, {"amount": 50, "reason": "a mistake"}).status_code == 200
    for body in ({"amount": 50}, {"amount": 50, "reason": ""}, {"amount": 0, "reason": "x"}):
        assert served.post(path, served.admin, body).status_code == 400
    assert served.post(path, served.admin, {"amount": -51, "reason": "x"}).status_code == 409


def test_28_a_suspended_or_closed_account_is_409(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 10)
    for status, reason in (("suspended", "ACCOUNT_SUSPENDED"), ("closed", "ACCOUNT_CLOSED")):
        body = {"status": status, "reason": "test"}
        assert served.call("PUT", f"/admin/points/{anna}/status", served.admin, body).status_code == 200
        answer = served.post(f"/points/{anna}/spend", served.till, {"amount": 1})
        assert (answer.status_code, answer.json()["reason"]) == (409, reason)


def test_a_refund_goes_to_the_transaction_that_is_named(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 10)
    spent = served.post(f"/points/{anna}/spend", served.till, {"amount": 4}).json()["data"]["transaction"]
    back = served.post(f"/points/{anna}/refund", served.till, {"related_id": spent["id"], "amount": 4})
    assert back.json()["data"]["transaction"]["related_id"] == spent["id"]
    again = served.post(f"/points/{anna}/refund", served.till, {"related_id": spent["id"], "amount": 1})
    assert again.json()["reason"] == "RELATED_NOT_REVERSIBLE"
    lost = served.post(f"/points/{anna}/refund", served.till, {"related_id": str(new_id()), "amount": 1})
    assert (lost.status_code, lost.json()["reason"]) == (404, "RELATED_NOT_FOUND")


def test_a_batch_has_a_task_for_each_row_and_one_for_all(served: Served, user: User) -> None:
    anna, ben = user(), user()
    rows = [{"user_id": anna, "amount": 5}, {"user_id": ben, "amount": 0}, {"user_id": ben, "amount": 7}]
    first, again = (
        served.post("/admin/points/batch-earn", served.admin, {"items": rows}, key=f"batch {anna}")
        for _ in range(2)
    )
    assert (first.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.json()["data"] == first.json()["data"]
    address = first.headers["location"]
    wait_until(
        lambda: served.get(address, served.admin).json()["data"]["state"] == "done", "the batch is done"
    )
    told = served.get(address, served.admin).json()["data"]
    assert (told["applied"], told["refused"], told["points_earned"]) == (2, {"INVALID_COMMAND": 1}, 12)
    assert served.get(address, served.issuer.admin("other")).status_code == 404
    assert served.get(address, served.issuer.user(anna)).status_code == 404
    tasks = [f"/tasks/{task_id}" for task_id in first.json()["data"]["task_ids"]]
    assert served.get(tasks[0], served.admin).json()["data"]["data"]["points_earned"] == 5
    changed = served.post("/admin/points/batch-earn", served.admin, {"items": rows[:1]}, key=f"batch {anna}")
    assert changed.status_code == 422


@pytest.mark.parametrize("body", [{}, {"items": []}, {"items": 5}, {"items": [], "more": 1}, {"items": None}])
def test_a_batch_that_is_none_is_400_and_so_is_one_without_a_key(served: Served, body: object) -> None:
    assert served.post("/admin/points/batch-earn", served.admin, body, key="bad").status_code == 400
    rows = {"items": [{"user_id": "x", "amount": 1}]}
    assert served.post("/admin/points/batch-earn", served.admin, rows).status_code == 400


def test_the_configuration_is_changed_as_a_whole(served: Served) -> None:
    path, there = "/admin/points/config", served.issuer.admin("other")
    before = served.get(path, there).json()["data"]
    assert before["transfer_enabled"] is False
    changed = served.call("PUT", path, there, before | {"max_balance": 1000, "timezone": "Asia/Shanghai"})
    assert changed.json()["data"]["timezone"] == "Asia/Shanghai"
    assert served.get(path, there).json()["data"]["max_balance"] == 1000
    for wrong in ({"tenant_id": "shop"}, {"timezone": "Mars"}, {"max_balance": "5"}, {"surprise": 1}):
        assert served.call("PUT", path, there, wrong).status_code == 400, wrong
    assert served.call("PUT", path, there, before).status_code == 200
    nowhere = served.issuer.admin("nowhere")
    assert served.get(path, nowhere).status_code == 404
    assert served.call("PUT", path, nowhere, {}).status_code == 404


def test_rules_are_added_read_changed_tried_and_switched_off(served: Served, user: User) -> None:
    path = "/admin/point-rules"
    body = {"name": f"rule of {user()}", "event_type": "tried", "points": 10, "multiplier": "1.5"}
    added = served.post(path, served.admin, body)
    assert added.status_code == 201
    rule = added.json()["data"]
    assert served.post(path, served.admin, body).status_code == 200
    assert served.post(path, served.admin, body | {"points": 11}).status_code == 409
    own = f"{path}/{rule['id']}"
    assert served.get(own, served.admin).json()["data"] == rule

    event = {"user_id": user(), "event_type": "tried"}
    tried = served.post(f"{path}/test", served.admin, event).json()["data"]
    assert (tried["points"], tried["rules"][0]["rule"]) == (15, body["name"])
    assert served.get(f"/points/{event['user_id']}", served.admin).status_code == 404

    changed = served.call("PUT", own, served.admin, body | {"points": 20})
    assert changed.json()["data"]["version"] == 2
    assert served.call("PUT", own, served.admin, body | {"name": "another"}).status_code == 409
    assert served.post(f"{path}/test", served.admin, event).json()["data"]["points"] == 30

    assert served.call("DELETE", own, served.admin).json()["data"]["enabled"] is False
    assert served.post(f"{path}/test", served.admin, event).json()["data"]["applied"] is False
    listed = [item["id"] for item in served.get(path, served.admin).json()["items"]]
    every = [item["id"] for item in served.get(f"{path}?include_disabled=true", served.admin).json()["items"]]
    assert (rule["id"] in listed, rule["id"] in every) == (False, True)
    for method, sent in (("GET", None), ("PUT", body), ("DELETE", None)):
        nobodys = f"{path}/{show_id(new_id())}"
        assert served.call(method, nobodys, served.admin, sent).status_code == 404
        theirs = served.call(method, own, served.issuer.admin("other"), sent)
        assert theirs.status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"multiplier": "-1"},
        {"multiplier": 1e308},
        {"multiplier": "1e308"},
        {"points": -5},
        {"points": 10**16},
        {"points": 1.5},
        {"when": "event.x >"},
        {"event_type": ""},
        {"surprise": 1},
        {"name": "a\x00b"},
    ],
    ids=str,
)
def test_103_a_rule_that_cannot_be_is_400(served: Served, wrong: dict[str, object]) -> None:
    body = {"name": "wrong", "event_type": "x", "points": 1} | wrong
    assert served.post("/admin/point-rules", served.admin, body).status_code == 400


def test_104_of_a_daily_limit_the_rest_is_granted_whoever_wants_it(served: Served, user: User) -> None:
    rule = {"name": "daily", "event_type": "daily", "daily_limit": 100}
    rule |= {"base": {"kind": "per_unit", "field": "n", "per": 1, "points": 1}}
    assert served.post("/admin/point-rules", served.admin, rule).status_code == 201

    def granted(user_id: str, points: int) -> int:
        event = {"event_type": "daily", "user_id": user_id, "metadata": {"n": points}}
        return int(
            served.post("/admin/points/apply-rule", served.admin, event).json()["data"]["points_earned"]
        )

    anna, ben = user(), user()
    assert [granted(anna, 95), granted(anna, 10), granted(anna, 10)] == [95, 5, 0]
    with ThreadPoolExecutor(20) as threads:
        each = list(threads.map(lambda _: granted(ben, 10), range(100)))
    assert sorted(each) == [0] * 90 + [10] * 10
    assert (served.ledger.balance(anna), served.ledger.balance(ben)) == (100, 100)


def test_whatever_came_through_this_door_the_ledger_adds_up(served: Served, user: User) -> None:
    assert served.post("/admin/points", served.admin, {"user_id": user()}).status_code == 201
    assert audit(served.ledger.database).violations == 0
