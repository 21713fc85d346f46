"""Commands by name, from a plain client of Celery's that knows the documentation and nothing else."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, chord, group
from celery.exceptions import TimeoutError as CeleryTimeoutError
from redis import Redis

from pointledger.domain.values.actor import By
from pointledger.ids import parse_id, show_id
from tests.integrations.house import FIELDS, SECONDS, House
from tests.waiting import wait_until

# ------------------------------------------------------------------------------------------- applied


def test_a_command_sent_by_name_is_applied_and_its_result_is_the_outcome(shop_house: House) -> None:
    user = shop_house.user()
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
        outcome = shop_house.outcome_of(name=name, kwargs=fields)
        assert outcome["state"] == "applied", outcome
        assert outcome["kind"] == name.removeprefix("points.").replace("_", "-")
    assert shop_house.ledger.balance(user["user_id"]) == 0


def test_the_outcome_is_in_postgres_too_and_says_the_same(shop_house: House) -> None:
    result = shop_house.send()
    told = shop_house.get(result)
    assert shop_house.ledger.client.outcome(result.id).as_json() == told


def test_the_task_id_is_the_commands_id_in_either_spelling(shop_house: House) -> None:
    task_id = uuid.uuid4()
    for spelling in (str(task_id), show_id(task_id)):
        assert shop_house.outcome_of(task_id=spelling)["state"] == "applied"
        assert shop_house.ledger.client.outcome(spelling).task_id == show_id(task_id)
    assert len(shop_house.ledger.rows("SELECT FROM journal WHERE id = %(id)s", id=task_id)) == 1


def test_t8_a_message_delivered_twice_is_applied_once(shop_house: House) -> None:
    user, task_id = shop_house.user(), str(uuid.uuid4())
    for _ in range(3):
        assert shop_house.outcome_of(kwargs=user, task_id=task_id)["state"] == "applied"
    last = shop_house.outcome_of(kwargs=user | {"amount": 1})
    assert last["data"]["account"]["balance"] == 6


def test_many_messages_at_once_are_all_applied(shop_house: House) -> None:
    users = [shop_house.user() for _ in range(3)]
    results = [shop_house.send(kwargs=users[number % 3]) for number in range(300)]
    assert {shop_house.get(result)["state"] for result in results} == {"applied"}
    assert [shop_house.ledger.balance(user["user_id"]) for user in users] == [500, 500, 500]


@pytest.mark.parametrize("compression", ["zlib", "gzip", "bzip2", "lzma"])
def test_a_compressed_message_is_read(shop_house: House, compression: str) -> None:
    assert shop_house.outcome_of(compression=compression)["state"] == "applied"


@pytest.mark.parametrize("options", [{}, {"priority_steps": list(range(10))}, {"sep": ":"}])
def test_a_message_of_any_priority_is_read(shop_house: House, options: dict[str, Any]) -> None:
    with Celery(broker=shop_house.broker, backend=shop_house.results, set_as_current=False) as app:
        app.conf.broker_transport_options = options if shop_house.is_redis else {}
        sent = [
            app.send_task("points.earn", kwargs=FIELDS, queue="points.commands", priority=priority)
            for priority in range(10)
        ]
        assert [one.get(timeout=SECONDS)["state"] for one in sent] == ["applied"] * 10
    assert shop_house.lists() == {}


def test_who_sends_may_ask_celery_to_try_again(shop_house: House) -> None:
    policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}
    assert shop_house.outcome_of(retry=True, retry_policy=policy)["state"] == "applied"


def test_moments_and_ids_of_pythons_own_are_understood(shop_house: House) -> None:
    user = shop_house.user()
    moment = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
    earned = shop_house.outcome_of(kwargs=user | {"occurred_at": moment})
    spent = shop_house.outcome_of(name="points.spend", kwargs=user | {"amount": 2})
    entry_id = parse_id(spent["data"]["transactions"][0]["id"])
    back = shop_house.outcome_of(name="points.refund", kwargs=user | {"amount": 2, "related_id": entry_id})
    assert [one["state"] for one in (earned, spent, back)] == ["applied"] * 3


# --------------------------------------------------------------------------------------- for a later moment


def test_a_command_for_later_waits_and_is_applied_then(shop_house: House) -> None:
    user = shop_house.user()
    later = shop_house.send(kwargs=user, countdown=2)
    now = shop_house.outcome_of(kwargs=user | {"amount": 1})
    assert now["data"]["account"]["balance"] == 1, "it goes before"
    outcome = shop_house.get(later)
    assert (outcome["state"], outcome["data"]["account"]["balance"]) == ("applied", 6)
    assert shop_house.ledger.rows(
        "SELECT state FROM dead_letters WHERE task_id = %(id)s", id=parse_id(later.id)
    ) == [("replayed",)]


def test_a_command_for_tomorrow_is_pending_and_can_be_withdrawn(shop_house: House) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    sent = shop_house.send(eta=tomorrow)
    client = shop_house.ledger.client
    wait_until(lambda: client.outcome(sent.id).state == "pending", "it has been read")
    told = client.outcome(sent.id)
    assert (told.tenant_id, told.kind) == ("shop", "earn")
    assert told.message == f"eta: waits until {tomorrow.isoformat().replace('+00:00', 'Z')}"
    assert client.cancel(sent.id, By("boss", "a mistake")).reason == "CANCELLED"
    assert client.outcome(sent.id).state == "refused"


def test_a_command_that_is_wrong_is_refused_at_once_and_not_when_its_moment_comes(shop_house: House) -> None:
    reason, message = shop_house.refusal_of(kwargs=FIELDS | {"amount": -5}, countdown=3600)
    assert (reason, message) == ("INVALID_COMMAND", "amount: Input should be greater than or equal to 1")


# --------------------------------------------------------------------------------------------- refused


def test_a_refusal_is_a_result_and_a_malformed_command_says_which_field(shop_house: House) -> None:
    refused = shop_house.outcome_of(name="points.spend", kwargs=shop_house.user())
    assert (refused["state"], refused["reason"]) == ("refused", "ACCOUNT_NOT_FOUND")

    for fields, told in [
        (FIELDS | {"amount": -5}, "amount: Input should be greater than or equal to 1"),
        (FIELDS | {"amount": "5"}, "amount: Input should be a valid integer"),
        (FIELDS | {"amount": 2**70}, "amount: Input should be less than or equal to 1000000000000000"),
        (FIELDS | {"balance": 10}, "balance: Extra inputs are not permitted"),
        ({"user_id": "anna", "amount": 5}, "tenant_id: Field required"),
        (FIELDS | {"id": str(uuid.uuid4())}, "id: the message's task id is the command's id"),
        (FIELDS | {"reason": "\ud800"}, "reason: Input should be a valid string"),
    ]:
        reason, message = shop_house.refusal_of(kwargs=fields)
        assert reason == "INVALID_COMMAND"
        assert message.startswith(told), message


def test_every_other_way_to_be_no_command_is_refused_with_a_reason(shop_house: House) -> None:
    shop = shop_house.app.signature("shop.remember", queue="shop")
    ways: list[tuple[dict[str, Any], str, str]] = [
        ({"name": "points.earnn"}, "UNKNOWN_TASK", "did you mean points.earn?"),
        ({"name": "points.drain", "args": [0]}, "UNKNOWN_TASK", "no command is called points.drain"),
        ({"serializer": "pickle"}, "NOT_JSON", "send JSON: serializer='json'"),
        ({"serializer": "yaml"}, "NOT_JSON", "application/x-yaml"),
        ({"args": ["shop", "anna", 5]}, "POSITIONAL_ARGUMENTS", "fields are given by name"),
        ({"expires": datetime.now(UTC) - timedelta(seconds=1)}, "EXPIRED", "had passed when it was read"),
        ({"kwargs": FIELDS | {"description": "x" * 300_000}}, "TOO_LARGE", "262144 bytes at most"),
        ({"chord": chord([shop], shop)}, "UNSUPPORTED", "chord: is not supported"),
        ({"link": shop.clone().set(queue="points.lanes")}, "UNSUPPORTED", "POINTLEDGER_CALLBACK_QUEUES"),
    ]
    for options, reason, told in ways:
        seen, message = shop_house.refusal_of(**options)
        assert (seen, told in message) == (reason, True), (options, message)


def test_a_key_used_again_with_other_content_is_refused_under_the_new_task_id(shop_house: House) -> None:
    keyed = shop_house.user() | {"idempotency_key": str(uuid.uuid4())}
    first, again = shop_house.outcome_of(kwargs=keyed), shop_house.outcome_of(kwargs=keyed)
    other = shop_house.outcome_of(kwargs=keyed | {"amount": 6})
    assert first["data"] == again["data"]
    assert (other["state"], other["reason"]) == ("refused", "IDEMPOTENCY_KEY_REUSED")


def test_what_spoils_a_batch_is_refused_alone(shop_house: House) -> None:
    keyed = shop_house.user() | {"idempotency_key": str(uuid.uuid4())}
    assert shop_house.outcome_of(kwargs=keyed)["state"] == "applied"
    sent = [shop_house.send(kwargs=keyed | {"amount": 6}), *(shop_house.send() for _ in range(20))]
    states = [shop_house.get(one)["state"] for one in sent]
    assert states == ["refused"] + ["applied"] * 20


def test_an_id_that_is_no_id_is_told_so(shop_house: House) -> None:
    told = shop_house.outcome_of(task_id="order-17")
    assert (told["state"], told["reason"]) == ("refused", "INVALID_COMMAND")
    assert told["message"].startswith("id: ")
    assert "a ULID or a UUID" in told["message"]


def test_what_was_no_command_is_kept_and_goes_when_its_cause_is_put_right(
    shop_house: House, folder: Any
) -> None:
    sent = shop_house.send(kwargs=FIELDS | {"tenant_id": "nobody", "amount": 0})
    shop_house.get(sent)
    kept = shop_house.ledger.rows(
        "SELECT door, state, reason, tenant_id, kind, raw FROM dead_letters WHERE task_id = %(id)s",
        id=parse_id(sent.id),
    )
    assert [(row.door, row.state, row.reason, row.tenant_id, row.kind) for row in kept] == [
        ("celery", "dead", "INVALID_COMMAND", "nobody", "earn")
    ]


# --------------------------------------------------------------------------------- what Celery users do


def test_a_group_is_sent_and_awaited(shop_house: House) -> None:
    user = shop_house.user()
    parts = group(
        shop_house.app.signature("points.earn", kwargs=user | {"amount": n}, queue="points.commands")
        for n in (1, 2, 3)
    )
    outcomes = parts.apply_async().get(timeout=SECONDS)
    assert [one["state"] for one in outcomes] == ["applied"] * 3
    assert shop_house.ledger.balance(user["user_id"]) == 6


def test_a_result_is_found_by_its_id_and_forgotten_at_its_readers(shop_house: House) -> None:
    sent = shop_house.send()
    shop_house.get(sent)
    with Celery(broker=shop_house.broker, backend=shop_house.results, set_as_current=False) as other:
        result = other.AsyncResult(sent.id)
        assert (result.state, result.result["state"]) == ("SUCCESS", "applied")
        result.forget()
        assert other.AsyncResult(sent.id).state == "PENDING"
    assert shop_house.ledger.client.outcome(sent.id).state == "applied", "Postgres keeps it"


def test_who_wants_no_result_gets_none_and_the_outcome_is_kept(shop_house: House) -> None:
    sent = shop_house.send(ignore_result=True)
    assert shop_house.ledger.client.wait(sent.id, SECONDS).state == "applied"
    shop_house.outcome_of()  # sent later, written by now
    with Redis.from_url(shop_house.results) as client:
        assert not client.exists(f"celery-task-meta-{sent.id}")


def test_a_result_expires(shop_house: House) -> None:
    sent = shop_house.send()
    shop_house.get(sent)
    with Redis.from_url(shop_house.results) as client:
        assert 86_000 < client.ttl(f"celery-task-meta-{sent.id}") <= 86_400


def test_the_ledgers_own_backend_gives_the_same_for_every_door(
    shop_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = shop_house.ledger.settings
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", settings.database)
    monkeypatch.setenv("POINTLEDGER_REDIS_URL", settings.redis)
    backend = "pointledger.integrations.celery_backend:OutcomeBackend"
    with Celery(broker=shop_house.broker, backend=backend, set_as_current=False) as app:
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
        assert app.AsyncResult(sent.id).get(timeout=SECONDS)["state"] == "applied", "for ever"
        unknown = app.AsyncResult(str(uuid.uuid4()))
        assert unknown.state == "PENDING"
        assert shop_house.ledger.client.outcome(unknown.id).state == "unknown"
        with pytest.raises(CeleryTimeoutError):
            unknown.get(timeout=0.05)
        assert app.AsyncResult("order-17").get(timeout=1)["reason"] == "INVALID_COMMAND"


def test_q3_an_outcome_survives_the_loss_of_everything_in_redis(shop_house: House) -> None:
    sent = shop_house.send()
    shop_house.get(sent)
    shop_house.ledger.redis.flushdb()
    assert shop_house.ledger.client.outcome(sent.id).state == "applied"
    assert shop_house.outcome_of()["state"] == "applied", "and the next one goes its way"
