"""Commands by name, sent by a plain Celery client that follows the documentation."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, chord, group
from celery.exceptions import TimeoutError as CeleryTimeoutError
from redis import Redis

from pointledger.client.control import Control
from pointledger.domain.values.actor import Actor
from pointledger.ids import parse_id, show_id
from tests.integrations.running import FIELDS, SECONDS, RunningLedger
from tests.waiting import wait_until

# ------------------------------------------------------------------------------------------- applied


def test_a_command_sent_by_name_is_applied_and_its_result_is_the_outcome(running: RunningLedger) -> None:
    user = running.user()
    sent: dict[str, dict[str, Any]] = {
        "points.earn": user,
        "points.spend": user | {"amount": 1},
        "points.apply_rule": {
            "tenant_id": "shop",
            "user_id": user["user_id"],
            "event_type": "visit",
            "metadata": {"door": "front"},
        },
        "points.expire": user | {"amount": 1_000_000},
    }
    for name, fields in sent.items():
        outcome = running.outcome_of(name=name, kwargs=fields)
        assert outcome["state"] == "applied", outcome
        assert outcome["kind"] == name.removeprefix("points.").replace("_", "-")
    assert running.ledger.balance(user["user_id"]) == 0


def test_postgres_has_the_same_outcome(running: RunningLedger) -> None:
    result = running.send()
    outcome = running.get(result)
    assert running.ledger.client.outcome(result.id).as_json() == outcome


def test_the_task_id_is_the_commands_id_in_either_spelling(running: RunningLedger) -> None:
    task_id = uuid.uuid4()
    for spelling in (str(task_id), show_id(task_id)):
        assert running.outcome_of(task_id=spelling)["state"] == "applied"
        assert running.ledger.client.outcome(spelling).task_id == show_id(task_id)
    assert len(running.ledger.rows("SELECT FROM journal WHERE id = %(id)s", id=task_id)) == 1


def test_t8_a_message_delivered_twice_is_applied_once(running: RunningLedger) -> None:
    user, task_id = running.user(), str(uuid.uuid4())
    for _ in range(3):
        assert running.outcome_of(kwargs=user, task_id=task_id)["state"] == "applied"
    last = running.outcome_of(kwargs=user | {"amount": 1})
    assert last["data"]["account"]["balance"] == 6


def test_many_messages_at_once_are_all_applied(running: RunningLedger) -> None:
    users = [running.user() for _ in range(3)]
    results = [running.send(kwargs=users[number % 3]) for number in range(300)]
    assert {running.get(result)["state"] for result in results} == {"applied"}
    assert [running.ledger.balance(user["user_id"]) for user in users] == [500, 500, 500]


@pytest.mark.parametrize("compression", ["zlib", "gzip", "bzip2", "lzma"])
def test_a_compressed_message_is_read(running: RunningLedger, compression: str) -> None:
    assert running.outcome_of(compression=compression)["state"] == "applied"


@pytest.mark.parametrize("options", [{}, {"priority_steps": list(range(10))}, {"sep": ":"}])
def test_a_message_of_any_priority_is_read(running: RunningLedger, options: dict[str, Any]) -> None:
    with Celery(broker=running.broker, backend=running.results, set_as_current=False) as app:
        app.conf.broker_transport_options = options if running.is_redis else {}
        sent = [
            app.send_task("points.earn", kwargs=FIELDS, queue="points.commands", priority=priority)
            for priority in range(10)
        ]
        assert [one.get(timeout=SECONDS)["state"] for one in sent] == ["applied"] * 10
    assert running.lists() == {}


def test_a_sender_can_use_celerys_publish_retries(running: RunningLedger) -> None:
    policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}
    assert running.outcome_of(retry=True, retry_policy=policy)["state"] == "applied"


def test_datetime_and_uuid_arguments_are_accepted(running: RunningLedger) -> None:
    user = running.user()
    moment = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
    earned = running.outcome_of(kwargs=user | {"occurred_at": moment})
    spent = running.outcome_of(name="points.spend", kwargs=user | {"amount": 2})
    entry_id = parse_id(spent["data"]["transactions"][0]["id"])
    back = running.outcome_of(name="points.refund", kwargs=user | {"amount": 2, "related_id": entry_id})
    assert [one["state"] for one in (earned, spent, back)] == ["applied"] * 3


# ------------------------------------------------------------------------------------------- deferred


def test_a_command_with_a_countdown_is_applied_when_it_is_due(running: RunningLedger) -> None:
    user = running.user()
    later = running.send(kwargs=user, countdown=2)
    now = running.outcome_of(kwargs=user | {"amount": 1})
    assert now["data"]["account"]["balance"] == 1, "it is applied first"
    outcome = running.get(later)
    assert (outcome["state"], outcome["data"]["account"]["balance"]) == ("applied", 6)
    assert running.ledger.rows(
        "SELECT state FROM dead_letters WHERE task_id = %(id)s", id=parse_id(later.id)
    ) == [("replayed",)]


def test_a_command_for_tomorrow_is_pending_and_can_be_canceled(running: RunningLedger) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    sent = running.send(eta=tomorrow)
    client = running.ledger.client
    wait_until(lambda: client.outcome(sent.id).state == "pending", "it has been read")
    pending = client.outcome(sent.id)
    assert (pending.tenant_id, pending.kind) == ("shop", "earn")
    assert pending.message == f"eta: waits until {tomorrow.isoformat().replace('+00:00', 'Z')}"
    assert client.cancel(sent.id, Actor("boss", "a mistake")).reason == "CANCELLED"
    assert client.outcome(sent.id).state == "refused"


def test_an_invalid_command_with_a_countdown_is_refused_at_once(running: RunningLedger) -> None:
    reason, message = running.refusal_of(kwargs=FIELDS | {"amount": -5}, countdown=3600)
    assert (reason, message) == ("INVALID_COMMAND", "amount: Input should be greater than or equal to 1")


# --------------------------------------------------------------------------------------------- refused


def test_a_refusal_is_a_result_and_names_the_invalid_field(running: RunningLedger) -> None:
    refused = running.outcome_of(name="points.spend", kwargs=running.user())
    assert (refused["state"], refused["reason"]) == ("refused", "ACCOUNT_NOT_FOUND")

    for fields, expected in [
        (FIELDS | {"amount": -5}, "amount: Input should be greater than or equal to 1"),
        (FIELDS | {"amount": "5"}, "amount: Input should be a valid integer"),
        (FIELDS | {"amount": 2**70}, "amount: Input should be less than or equal to 1000000000000000"),
        (FIELDS | {"balance": 10}, "balance: Extra inputs are not permitted"),
        ({"user_id": "anna", "amount": 5}, "tenant_id: Field required"),
        (FIELDS | {"id": str(uuid.uuid4())}, "id: the message's task id is the command's id"),
        (FIELDS | {"reason": "\ud800"}, "reason: Input should be a valid string"),
    ]:
        reason, message = running.refusal_of(kwargs=fields)
        assert reason == "INVALID_COMMAND"
        assert message.startswith(expected), message


def test_every_other_invalid_message_is_refused_with_a_reason(running: RunningLedger) -> None:
    shop = running.app.signature("shop.remember", queue="shop")
    ways: list[tuple[dict[str, Any], str, str]] = [
        ({"name": "points.earnn"}, "UNKNOWN_TASK", "did you mean points.earn?"),
        ({"name": "points.drain", "args": [0]}, "UNKNOWN_TASK", "no command has the name points.drain"),
        ({"serializer": "pickle"}, "NOT_JSON", "send JSON: serializer='json'"),
        ({"serializer": "yaml"}, "NOT_JSON", "application/x-yaml"),
        ({"args": ["shop", "anna", 5]}, "POSITIONAL_ARGUMENTS", "fields are given by name"),
        ({"expires": datetime.now(UTC) - timedelta(seconds=1)}, "EXPIRED", "had passed when it was read"),
        ({"kwargs": FIELDS | {"description": "x" * 300_000}}, "TOO_LARGE", "262144 bytes at most"),
        ({"chord": chord([shop], shop)}, "UNSUPPORTED", "chord: is not supported"),
        ({"link": shop.clone().set(queue="points.lanes")}, "UNSUPPORTED", "POINTLEDGER_CALLBACK_QUEUES"),
    ]
    for options, reason, expected in ways:
        seen, message = running.refusal_of(**options)
        assert (seen, expected in message) == (reason, True), (options, message)


def test_a_reused_key_with_other_content_is_refused_under_the_new_task_id(running: RunningLedger) -> None:
    keyed = running.user() | {"idempotency_key": str(uuid.uuid4())}
    first, again = running.outcome_of(kwargs=keyed), running.outcome_of(kwargs=keyed)
    other = running.outcome_of(kwargs=keyed | {"amount": 6})
    assert first["data"] == again["data"]
    assert (other["state"], other["reason"]) == ("refused", "IDEMPOTENCY_KEY_REUSED")


def test_only_the_message_that_fails_a_batch_is_refused(running: RunningLedger) -> None:
    keyed = running.user() | {"idempotency_key": str(uuid.uuid4())}
    assert running.outcome_of(kwargs=keyed)["state"] == "applied"
    sent = [running.send(kwargs=keyed | {"amount": 6}), *(running.send() for _ in range(20))]
    states = [running.get(one)["state"] for one in sent]
    assert states == ["refused"] + ["applied"] * 20


def test_a_task_id_that_is_neither_ulid_nor_uuid_is_refused(running: RunningLedger) -> None:
    outcome = running.outcome_of(task_id="order-17")
    assert (outcome["state"], outcome["reason"]) == ("refused", "INVALID_COMMAND")
    assert outcome["message"].startswith("id: ")
    assert "a ULID or a UUID" in outcome["message"]


def test_an_invalid_message_is_stored_as_a_dead_letter(running: RunningLedger) -> None:
    sent = running.send(kwargs=FIELDS | {"tenant_id": "nobody", "amount": 0})
    running.get(sent)
    stored = running.ledger.rows(
        "SELECT entry_point, state, reason, tenant_id, kind, raw FROM dead_letters WHERE task_id = %(id)s",
        id=parse_id(sent.id),
    )
    assert [(row.entry_point, row.state, row.reason, row.tenant_id, row.kind) for row in stored] == [
        ("celery", "dead", "INVALID_COMMAND", "nobody", "earn")
    ]


def test_an_expired_message_that_a_person_replays_is_applied(running: RunningLedger) -> None:
    user = running.user()
    ago = datetime.now(UTC) - timedelta(seconds=1)
    sent = running.send(kwargs=user | {"amount": 5}, expires=ago)
    assert running.get(sent)["reason"] == "EXPIRED"
    ledger = running.ledger
    (number,) = ledger.rows("SELECT id FROM dead_letters WHERE task_id = %(id)s", id=parse_id(sent.id))[0]
    control = Control(ledger.database, ledger.doorbells, ledger.settings)
    assert control.replay(user["tenant_id"], number, Actor("person:eva", "the worker was late"))
    wait_until(lambda: ledger.client.outcome(sent.id).state == "applied", "a worker has retried it")
    assert ledger.balance(user["user_id"]) == 5


# ------------------------------------------------------------------------------ groups, results, backends


def test_a_group_is_sent_and_awaited(running: RunningLedger) -> None:
    user = running.user()
    parts = group(
        running.app.signature("points.earn", kwargs=user | {"amount": n}, queue="points.commands")
        for n in (1, 2, 3)
    )
    outcomes = parts.apply_async().get(timeout=SECONDS)
    assert [one["state"] for one in outcomes] == ["applied"] * 3
    assert running.ledger.balance(user["user_id"]) == 6


def test_a_result_is_found_by_id_and_can_be_forgotten(running: RunningLedger) -> None:
    sent = running.send()
    running.get(sent)
    with Celery(broker=running.broker, backend=running.results, set_as_current=False) as other:
        result = other.AsyncResult(sent.id)
        assert (result.state, result.result["state"]) == ("SUCCESS", "applied")
        result.forget()
        assert other.AsyncResult(sent.id).state == "PENDING"
    assert running.ledger.client.outcome(sent.id).state == "applied", "Postgres keeps it"


def test_ignore_result_stores_no_result_but_keeps_the_outcome(running: RunningLedger) -> None:
    sent = running.send(ignore_result=True)
    assert running.ledger.client.wait(sent.id, SECONDS).state == "applied"
    running.outcome_of()  # results are written in order, so an earlier one would be there
    with Redis.from_url(running.results) as client:
        assert not client.exists(f"celery-task-meta-{sent.id}")


def test_a_result_expires(running: RunningLedger) -> None:
    sent = running.send()
    running.get(sent)
    with Redis.from_url(running.results) as client:
        assert 86_000 < client.ttl(f"celery-task-meta-{sent.id}") <= 86_400


def test_the_outcome_backend_returns_the_same_outcomes(
    running: RunningLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = running.ledger.settings
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", settings.database)
    monkeypatch.setenv("POINTLEDGER_REDIS_URL", settings.redis)
    backend = "pointledger.integrations.celery_backend:OutcomeBackend"
    with Celery(broker=running.broker, backend=backend, set_as_current=False) as app:
        parts = group(
            app.signature(
                "points.earn", kwargs=FIELDS, queue="points.commands", options={"ignore_result": True}
            )
            for _ in range(3)
        )
        assert [one["state"] for one in parts.apply_async().get(timeout=SECONDS)] == ["applied"] * 3
        sent = app.send_task("points.earn", kwargs=FIELDS, queue="points.commands", countdown=1)
        assert sent.get(timeout=SECONDS)["state"] == "applied"
        sent.forget()
        assert app.AsyncResult(sent.id).get(timeout=SECONDS)["state"] == "applied", "outcomes do not expire"
        unknown = app.AsyncResult(str(uuid.uuid4()))
        assert unknown.state == "PENDING"
        assert running.ledger.client.outcome(unknown.id).state == "unknown"
        with pytest.raises(CeleryTimeoutError):
            unknown.get(timeout=0.05)
        assert app.AsyncResult("order-17").get(timeout=SECONDS)["reason"] == "INVALID_COMMAND"


def test_q3_an_outcome_survives_the_loss_of_everything_in_redis(running: RunningLedger) -> None:
    sent = running.send()
    running.get(sent)
    running.ledger.redis.flushdb()
    assert running.ledger.client.outcome(sent.id).state == "applied"
    assert running.outcome_of()["state"] == "applied", "new commands are applied"
