"""Idempotency: cases 81 to 94 of the corpus, and outcomes that take longer than the request waits."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pointledger import Spend
from pointledger.ids import new_id, show_id
from pointledger.settings import Settings
from tests.api.environment import ApiEnvironment, http_settings, open_api
from tests.api.issuer import Issuer
from tests.waiting import wait_until

User = Callable[[], str]
REPLAYED = "idempotent-replayed"


def test_81_without_a_key_each_request_is_applied_and_a_header_warns(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 10)
    for _ in range(2):
        answer = api.post(f"/points/{anna}/spend", api.till, {"amount": 1})
        assert "X-Idempotency-Key" in answer.headers["warning"]
    assert api.ledger.balance(anna) == 8


def test_an_events_id_is_its_key(api: ApiEnvironment, user: User) -> None:
    event = {"event_type": "visit", "user_id": user(), "event_id": user()}
    answers = [api.post("/admin/points/apply-rule", api.till, event) for _ in range(2)]
    assert ["warning" in answer.headers for answer in answers] == [False, False]
    assert [answer.headers.get(REPLAYED) for answer in answers] == [None, "true"]


@pytest.mark.parametrize("key", ["k", "x" * 255, "0b9a6e6e-7f3a-4c39-9a52-8c2f6f3d1f0e", "' OR 1=1--", "a b"])
def test_83_88_a_retry_gets_the_same_bytes(api: ApiEnvironment, user: User, key: str) -> None:
    anna = user()
    first, second = (
        api.post(f"/points/{anna}/earn", api.till, {"amount": 5, "reason": "a"}, key=anna[:2] + key[2:])
        for _ in range(2)
    )
    assert first.status_code == 200
    assert second.content == first.content
    assert (REPLAYED in first.headers, second.headers[REPLAYED]) == (False, "true")
    assert api.ledger.balance(anna) == 5


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ", 'a"b', '"a', '""', '"a\\b"'])
def test_82_84_85_an_invalid_key_is_400(api: ApiEnvironment, user: User, key: str) -> None:
    anna = user()
    headers = [("Authorization", f"Bearer {api.till}"), ("X-Idempotency-Key", key.encode())]
    answer = api.client.post(f"/points/{anna}/earn", headers=headers, json={"amount": 5})  # type: ignore[arg-type]
    assert answer.status_code == 400, answer.text
    assert api.ledger.rows("SELECT FROM journal WHERE user_id = %(user)s", user=anna) == []


def test_86_two_keys_are_400(api: ApiEnvironment, user: User) -> None:
    headers = [("Authorization", f"Bearer {api.till}"), *[("X-Idempotency-Key", "a")] * 2]
    answer = api.client.post(f"/points/{user()}/earn", headers=headers, json={"amount": 5})
    assert answer.status_code == 400


def test_87_a_key_in_quotes_is_the_same_key(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, key=f"quoted {anna}")
    again = api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, key=f'"quoted {anna}"')
    assert again.headers[REPLAYED] == "true"


def test_89_90_the_same_key_with_other_content_is_422(api: ApiEnvironment, user: User) -> None:
    anna, ben = user(), user()
    api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, key=anna)
    for path, amount in ((anna, 6), (ben, 5)):
        answer = api.post(f"/points/{path}/earn", api.till, {"amount": amount}, key=anna)
        assert answer.status_code == 422
        assert answer.json()["reason"] == "IDEMPOTENCY_KEY_REUSED"
    assert api.ledger.balance(anna) == 5


def test_91_fields_in_another_order_are_the_same_content(api: ApiEnvironment, user: User) -> None:
    anna = user()
    event = {"user_id": anna, "event_type": "visit", "metadata": {"a": 1, "b": {"c": 2, "d": 3}}}
    other = {"metadata": {"b": {"d": 3, "c": 2}, "a": 1}, "event_type": "visit", "user_id": anna}
    first = api.post("/admin/points/apply-rule", api.till, event, key=anna)
    again = api.post("/admin/points/apply-rule", api.till, other, key=anna)
    assert (first.content, again.headers[REPLAYED]) == (again.content, "true")


def test_92_the_same_key_of_another_user_or_tenant_is_another_key(api: ApiEnvironment, user: User) -> None:
    anna, ben = user(), user()
    for who in (anna, ben):
        api.earn(who, 10)
        answer = api.post(f"/points/{who}/spend", api.issuer.user(who), {"amount": 3}, key="mine")
        assert (answer.status_code, REPLAYED in answer.headers) == (200, False)
    answer = api.post("/points/x/earn", api.issuer.admin("other"), {"amount": 3}, key=f"{anna} mine")
    assert (answer.status_code, REPLAYED in answer.headers) == (200, False)


def test_93_a_hundred_concurrent_requests_with_one_key_are_one_command(
    api: ApiEnvironment, user: User
) -> None:
    anna = user()
    api.earn(anna, 100)
    body = {"amount": 7}
    with ThreadPoolExecutor(20) as threads:
        answers = list(
            threads.map(
                lambda _: api.post(f"/points/{anna}/spend", api.till, body, key=f"once {anna}"),
                range(100),
            )
        )
    assert {answer.content for answer in answers} == {answers[0].content}
    assert [answer.status_code for answer in answers] == [200] * 100
    assert sum(REPLAYED in answer.headers for answer in answers) == 99
    assert api.ledger.balance(anna) == 93


def test_94_an_invalid_request_does_not_use_up_its_key_and_a_refused_one_does(
    api: ApiEnvironment, user: User
) -> None:
    anna = user()
    path, key = f"/points/{anna}/spend", f"try {anna}"
    assert api.post(path, api.till, {"amount": 0}, key=key).status_code == 400
    first = api.post(path, api.till, {"amount": 9}, key=key)
    assert (first.status_code, first.json()["reason"]) == (404, "ACCOUNT_NOT_FOUND")
    api.earn(anna, 10)
    again = api.post(path, api.till, {"amount": 9}, key=key)
    assert (again.content, again.headers[REPLAYED]) == (first.content, "true")


# ---------------------------------------------------------------------------- outcomes that take longer


def test_respond_async_returns_the_url_of_the_task(api: ApiEnvironment, user: User) -> None:
    anna = user()
    answer = api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, key=anna, Prefer="respond-async")
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
    body = answer.json()
    assert body["data"]["state"] == "pending"
    address = answer.headers["location"]
    assert address == f"/tasks/{body['data']['task_id']}"

    wait_until(lambda: api.get(address, api.till).json()["data"]["state"] == "applied", "the task is done")
    task = api.get(address, api.till).json()["data"]
    waited = api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, key=anna)
    assert task["data"] == waited.json()["data"]
    assert (task["kind"], task["tenant_id"], task["task_id"]) == ("earn", "shop", body["data"]["task_id"])


def test_a_refused_task_has_its_reason(api: ApiEnvironment, user: User) -> None:
    answer = api.post(f"/points/{user()}/spend", api.till, {"amount": 5}, Prefer="respond-async")
    address = answer.headers["location"]
    wait_until(lambda: api.get(address, api.till).json()["data"]["state"] == "refused", "the task is done")
    assert api.get(address, api.till).json()["data"]["reason"] == "ACCOUNT_NOT_FOUND"


def test_a_task_that_was_never_accepted_is_404(api: ApiEnvironment) -> None:
    assert api.get(f"/tasks/{show_id(new_id())}", api.till).status_code == 404
    assert api.get(f"/tasks/{new_id()}", api.till).status_code == 404
    assert api.get("/tasks/no-id", api.till).status_code == 400


def test_a_command_from_another_entry_point_has_a_task(api: ApiEnvironment) -> None:
    task_id = api.ledger.client.enqueue(Spend(tenant_id="shop", user_id="elsewhere", amount=1))
    api.ledger.client.wait(task_id)
    task = api.get(f"/tasks/{task_id}", api.till).json()["data"]
    assert (task["state"], task["reason"]) == ("refused", "ACCOUNT_NOT_FOUND")


def test_a_retry_without_workers_waits_for_the_first_commands_outcome(
    settings: Settings, issuer: Issuer, folder: Path
) -> None:
    with open_api(http_settings(settings, issuer, folder, http_wait_seconds=20), issuer, worker=False) as api:
        api.ledger.tenant()
        with ThreadPoolExecutor(3) as threads:
            futures = [
                threads.submit(api.post, "/points/anna/earn", api.till, {"amount": 5}, key="k")
                for _ in range(3)
            ]
            wait_until(lambda: api.ledger.counts("pending") == [1], "the command is accepted")
            soon = api.post("/points/anna/earn", api.till, {"amount": 5}, key="k", Prefer="wait=0")
            assert (soon.status_code, soon.headers[REPLAYED]) == (202, "true")
            api.ledger.drain()
            answers = [one.result() for one in futures]
        assert {answer.content for answer in answers} == {answers[0].content}
        assert [answer.status_code for answer in answers] == [200] * 3
        assert api.ledger.counts("journal", "entries", "aliases") == [1, 1, 0]
