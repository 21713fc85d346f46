"""Idempotency: cases 81 to 94 of the corpus, and what becomes of answers that do not come in time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pointledger import Spend
from pointledger.ids import new_id, show_id
from pointledger.settings import Settings
from tests.api.issuer import Issuer
from tests.api.served import Served, http_settings, serving
from tests.waiting import wait_until

User = Callable[[], str]
REPLAYED = "idempotent-replayed"


def test_81_without_a_key_it_is_applied_each_time_and_a_header_warns(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 10)
    for _ in range(2):
        answer = served.post(f"/points/{anna}/spend", served.till, {"amount": 1})
        assert "X-Idempotency-Key" in answer.headers["warning"]
    assert served.ledger.balance(anna) == 8


def test_an_events_id_is_its_key(served: Served, user: User) -> None:
    event = {"event_type": "visit", "user_id": user(), "event_id": user()}
    answers = [served.post("/admin/points/apply-rule", served.till, event) for _ in range(2)]
    assert ["warning" in answer.headers for answer in answers] == [False, False]
    assert [answer.headers.get(REPLAYED) for answer in answers] == [None, "true"]


@pytest.mark.parametrize("key", ["k", "x" * 255, "0b9a6e6e-7f3a-4c39-9a52-8c2f6f3d1f0e", "' OR 1=1--", "a b"])
def test_83_88_a_repetition_gets_the_same_answer_to_the_byte(served: Served, user: User, key: str) -> None:
    anna = user()
    first, second = (
        served.post(f"/points/{anna}/earn", served.till, {"amount": 5, "reason": "a"}, key=anna[:2] + key[2:])
        for _ in range(2)
    )
    assert first.status_code == 200
    assert second.content == first.content
    assert (REPLAYED in first.headers, second.headers[REPLAYED]) == (False, "true")
    assert served.ledger.balance(anna) == 5


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ", 'a"b', '"a', '""', '"a\\b"'])
def test_82_84_85_a_key_that_is_none_is_refused(served: Served, user: User, key: str) -> None:
    anna = user()
    headers = [("Authorization", f"Bearer {served.till}"), ("X-Idempotency-Key", key.encode())]
    answer = served.client.post(f"/points/{anna}/earn", headers=headers, json={"amount": 5})  # type: ignore[arg-type]
    assert answer.status_code == 400, answer.text
    assert served.ledger.rows("SELECT FROM journal WHERE user_id = %(user)s", user=anna) == []


def test_86_two_keys_are_none(served: Served, user: User) -> None:
    headers = [("Authorization", f"Bearer {served.till}"), *[("X-Idempotency-Key", "a")] * 2]
    answer = served.client.post(f"/points/{user()}/earn", headers=headers, json={"amount": 5})
    assert answer.status_code == 400


def test_87_a_key_in_quotes_is_the_same_key(served: Served, user: User) -> None:
    anna = user()
    served.post(f"/points/{anna}/earn", served.till, {"amount": 5}, key=f"quoted {anna}")
    again = served.post(f"/points/{anna}/earn", served.till, {"amount": 5}, key=f'"quoted {anna}"')
    assert again.headers[REPLAYED] == "true"


def test_89_90_the_same_key_with_other_content_is_422(served: Served, user: User) -> None:
    anna, ben = user(), user()
    served.post(f"/points/{anna}/earn", served.till, {"amount": 5}, key=anna)
    for path, amount in ((anna, 6), (ben, 5)):
        answer = served.post(f"/points/{path}/earn", served.till, {"amount": amount}, key=anna)
        assert answer.status_code == 422
        assert answer.json()["reason"] == "IDEMPOTENCY_KEY_REUSED"
    assert served.ledger.balance(anna) == 5


def test_91_fields_in_another_order_are_the_same_content(served: Served, user: User) -> None:
    anna = user()
    event = {"user_id": anna, "event_type": "visit", "metadata": {"a": 1, "b": {"c": 2, "d": 3}}}
    other = {"metadata": {"b": {"d": 3, "c": 2}, "a": 1}, "event_type": "visit", "user_id": anna}
    first = served.post("/admin/points/apply-rule", served.till, event, key=anna)
    again = served.post("/admin/points/apply-rule", served.till, other, key=anna)
    assert (first.content, again.headers[REPLAYED]) == (again.content, "true")


def test_92_the_same_key_of_another_is_another_key(served: Served, user: User) -> None:
    anna, ben = user(), user()
    for who in (anna, ben):
        served.earn(who, 10)
        answer = served.post(f"/points/{who}/spend", served.issuer.user(who), {"amount": 3}, key="mine")
        assert (answer.status_code, REPLAYED in answer.headers) == (200, False)
    answer = served.post("/points/x/earn", served.issuer.admin("other"), {"amount": 3}, key=f"{anna} mine")
    assert (answer.status_code, REPLAYED in answer.headers) == (200, False)


def test_93_a_hundred_at_once_are_one_and_all_hear_the_same(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 100)
    asked = {"amount": 7}
    with ThreadPoolExecutor(20) as threads:
        answers = list(
            threads.map(
                lambda _: served.post(f"/points/{anna}/spend", served.till, asked, key=f"once {anna}"),
                range(100),
            )
        )
    assert {answer.content for answer in answers} == {answers[0].content}
    assert [answer.status_code for answer in answers] == [200] * 100
    assert sum(REPLAYED in answer.headers for answer in answers) == 99
    assert served.ledger.balance(anna) == 93


def test_94_what_was_invalid_is_forgotten_and_what_was_refused_is_not(served: Served, user: User) -> None:
    anna = user()
    path, key = f"/points/{anna}/spend", f"try {anna}"
    assert served.post(path, served.till, {"amount": 0}, key=key).status_code == 400
    first = served.post(path, served.till, {"amount": 9}, key=key)
    assert (first.status_code, first.json()["reason"]) == (404, "ACCOUNT_NOT_FOUND")
    served.earn(anna, 10)
    again = served.post(path, served.till, {"amount": 9}, key=key)
    assert (again.content, again.headers[REPLAYED]) == (first.content, "true")


# --------------------------------------------------------------------------------- answers that take longer


def test_who_prefers_not_to_wait_is_told_where_the_outcome_will_be(served: Served, user: User) -> None:
    anna = user()
    answer = served.post(f"/points/{anna}/earn", served.till, {"amount": 5}, key=anna, Prefer="respond-async")
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
    body = answer.json()
    assert body["data"]["state"] == "pending"
    address = answer.headers["location"]
    assert address == f"/tasks/{body['data']['task_id']}"

    wait_until(
        lambda: served.get(address, served.till).json()["data"]["state"] == "applied", "the task is done"
    )
    task = served.get(address, served.till).json()["data"]
    waited = served.post(f"/points/{anna}/earn", served.till, {"amount": 5}, key=anna)
    assert task["data"] == waited.json()["data"]
    assert (task["kind"], task["tenant_id"], task["task_id"]) == ("earn", "shop", body["data"]["task_id"])


def test_a_refused_task_tells_why(served: Served, user: User) -> None:
    answer = served.post(f"/points/{user()}/spend", served.till, {"amount": 5}, Prefer="respond-async")
    address = answer.headers["location"]
    wait_until(
        lambda: served.get(address, served.till).json()["data"]["state"] == "refused", "the task is done"
    )
    assert served.get(address, served.till).json()["data"]["reason"] == "ACCOUNT_NOT_FOUND"


def test_a_task_that_was_never_accepted_is_404(served: Served) -> None:
    assert served.get(f"/tasks/{show_id(new_id())}", served.till).status_code == 404
    assert served.get(f"/tasks/{new_id()}", served.till).status_code == 404
    assert served.get("/tasks/no-id", served.till).status_code == 400


def test_a_command_of_another_door_has_its_task_here(served: Served) -> None:
    task_id = served.ledger.client.enqueue(Spend(tenant_id="shop", user_id="elsewhere", amount=1))
    served.ledger.client.wait(task_id)
    told = served.get(f"/tasks/{task_id}", served.till).json()["data"]
    assert (told["state"], told["reason"]) == ("refused", "ACCOUNT_NOT_FOUND")


def test_without_workers_it_is_accepted_and_a_repetition_joins_the_first(
    settings: Settings, issuer: Issuer, folder: Path
) -> None:
    with serving(
        http_settings(settings, issuer, folder, http_wait_seconds=20), issuer, working=False
    ) as served:
        served.ledger.tenant()
        with ThreadPoolExecutor(3) as threads:
            asked = [
                threads.submit(served.post, "/points/anna/earn", served.till, {"amount": 5}, key="k")
                for _ in range(3)
            ]
            wait_until(lambda: served.ledger.counts("pending") == [1], "it is accepted")
            soon = served.post("/points/anna/earn", served.till, {"amount": 5}, key="k", Prefer="wait=0")
            assert (soon.status_code, soon.headers[REPLAYED]) == (202, "true")
            served.ledger.drain()
            answers = [one.result() for one in asked]
        assert {answer.content for answer in answers} == {answers[0].content}
        assert [answer.status_code for answer in answers] == [200] * 3
        assert served.ledger.counts("journal", "entries", "aliases") == [1, 1, 0]
