"""Commands sent by name through Celery, and their outcomes through Celery's own result interface."""

import uuid
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as CeleryTimeoutError

from pointledger import Earn
from pointledger.demo.programme import TENANT
from pointledger.demo.system import System
from pointledger.ids import show_id
from pointledger.wire import producer_app
from tests.ledger import Ledger
from tests.waiting import wait_until

SECONDS = 30


@pytest.fixture
def app(system: System) -> Iterator[Celery]:
    with producer_app(system.settings) as opened:
        yield opened


def earn(user: str = "anna", **fields: object) -> dict[str, object]:
    return {"tenant_id": TENANT, "user_id": user, "amount": 5, **fields}


def test_a_command_sent_by_name_is_applied_and_its_result_is_the_outcome(app: Celery, ledger: Ledger) -> None:
    sent = {
        "points.earn": earn(),
        "points.spend": earn(amount=1),
        "points.apply_rule": {
            "tenant_id": TENANT,
            "user_id": "anna",
            "event_type": "basket.paid",
            "metadata": {"amount_minor": 1000},
        },
        "points.expire": earn(amount=1_000_000),
    }
    for name, fields in sent.items():
        outcome = app.send_task(name, kwargs=fields, queue="points.commands").get(timeout=SECONDS)
        assert outcome["state"] == "applied", outcome
        assert outcome["kind"] == name.removeprefix("points.").replace("_", "-")
    assert ledger.balance("anna", TENANT) == 0


def test_the_task_id_is_the_commands_id_in_either_spelling(app: Celery, ledger: Ledger) -> None:
    task_id = uuid.uuid4()
    app.send_task("points.earn", kwargs=earn(), task_id=str(task_id)).get(timeout=SECONDS)
    assert ledger.client.outcome(show_id(task_id)).state == "applied"
    assert ledger.client.outcome(str(task_id)).task_id == show_id(task_id)


def test_t8_a_message_delivered_twice_is_applied_once(app: Celery, ledger: Ledger) -> None:
    task_id = str(uuid.uuid4())
    for _ in range(3):
        app.send_task("points.earn", kwargs=earn(), task_id=task_id).get(timeout=SECONDS)
    app.send_task("points.earn", kwargs=earn("ben")).get(timeout=SECONDS)
    wait_until(lambda: ledger.counts("pending") == [0], "nothing waits")
    assert ledger.balance("anna", TENANT) == 5


def test_a_refusal_is_a_result_and_a_malformed_command_says_which_field(app: Celery, ledger: Ledger) -> None:
    refused = app.send_task("points.spend", kwargs=earn("nobody")).get(timeout=SECONDS)
    assert (refused["state"], refused["reason"]) == ("refused", "ACCOUNT_NOT_FOUND")

    for fields, told in [
        (earn(amount=-5), "amount: Input should be greater than or equal to 1"),
        (earn(amount="5"), "amount: Input should be a valid integer"),
        (earn(balance=10), "balance: Extra inputs are not permitted"),
        ({"user_id": "anna", "amount": 5}, "tenant_id: Field required"),
        (earn(id=str(uuid.uuid4())), "id: the message's task id is the command's id"),
    ]:
        malformed = app.send_task("points.earn", kwargs=fields).get(timeout=SECONDS)
        assert (malformed["state"], malformed["reason"]) == ("refused", "INVALID_COMMAND")
        assert told in malformed["message"]
    assert ledger.counts("journal", "dead_letters") == [1, 5]


def test_a_key_used_again_with_other_content_is_refused_under_the_new_task_id(app: Celery) -> None:
    first = app.send_task("points.earn", kwargs=earn(idempotency_key="k")).get(timeout=SECONDS)
    again = app.send_task("points.earn", kwargs=earn(idempotency_key="k")).get(timeout=SECONDS)
    other = app.send_task("points.earn", kwargs=earn(idempotency_key="k", amount=6)).get(timeout=SECONDS)
    assert first["data"] == again["data"]
    assert (other["state"], other["reason"]) == ("refused", "IDEMPOTENCY_KEY_REUSED")


def test_q3_an_id_that_nobody_knows_is_pending_for_celery_and_unknown_for_us(
    app: Celery, ledger: Ledger
) -> None:
    task_id = str(uuid.uuid4())
    assert app.AsyncResult(task_id).state == "PENDING"
    assert ledger.client.outcome(task_id).state == "unknown"
    with pytest.raises(CeleryTimeoutError):
        app.AsyncResult(task_id).get(timeout=0.05)


def test_q3_an_outcome_survives_the_loss_of_everything_in_redis(app: Celery, ledger: Ledger) -> None:
    result = app.send_task("points.earn", kwargs=earn())
    result.get(timeout=SECONDS)
    ledger.redis.flushdb()
    assert app.AsyncResult(result.id).get(timeout=SECONDS)["state"] == "applied"


def test_a_message_that_carries_other_tasks_is_not_run(app: Celery, ledger: Ledger) -> None:
    app.send_task("points.earn", kwargs=earn(), link=app.signature("points.earn", kwargs=earn("mallory")))
    app.send_task("points.earn", kwargs=earn("ben")).get(timeout=SECONDS)
    ledger.client.wait(ledger.client.enqueue(Earn(**earn("carl"))), timeout=SECONDS)  # type: ignore[arg-type]
    users = {row[0] for row in ledger.rows("SELECT user_id FROM journal")}
    assert users == {"ben", "carl"}
