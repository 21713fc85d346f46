"""The queue of commands by name: no message is lost, and none blocks the messages behind it."""

import base64
import json
import uuid
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from pointledger.client.acceptor import Acceptance
from pointledger.domain.values.actor import Actor
from pointledger.errors import DeadLetterNotReplayable
from pointledger.events.ingest_queue import IngestQueue
from pointledger.integrations.celery_callbacks import CallbackSender, ResultDestination, TaskDestination
from pointledger.integrations.celery_commands import CommandsByName, open_commands
from pointledger.settings import Settings
from pointledger.storage.queue import dead_letters
from pointledger.storage.queue.dead_letters import DeadLetter
from tests import logged
from tests.integrations.running import FIELDS
from tests.ledger import Ledger
from tests.waiting import wait_until


def item(body: Any = None, *, body_encoding: str = "base64", headers: Any = None, **more: Any) -> bytes:
    """Return a message as kombu writes it to a Redis list, with the given changes."""
    written = body if isinstance(body, str) else json.dumps([[], FIELDS, {}] if body is None else body)
    usual = {"lang": "py", "task": "points.earn", "id": str(uuid.uuid4())}
    envelope = {
        "body": base64.b64encode(written.encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": usual if headers is None else usual | headers if isinstance(headers, dict) else headers,
        "properties": {"delivery_mode": 2, "body_encoding": body_encoding, "delivery_tag": "x"},
    }
    return json.dumps(envelope | more).encode()


def stored_dead_letters(ledger: Ledger) -> list[DeadLetter]:
    with ledger.database.connect() as connection:
        return dead_letters.find(connection)


def send_callbacks(ledger: Ledger) -> None:
    for destination in (TaskDestination(ledger.settings), ResultDestination(ledger.settings)):
        CallbackSender(ledger.database, ledger.settings, destination).step()
        destination.close()


GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"{",
    "binary": bytes(range(256)),
    "a list": b"[]",
    "null": b"null",
    "deep": b"[" * 100_000,
    "no properties": b'{"body": "e30=", "headers": {}}',
    "a body that is a number": item().replace(b'"body": "', b'"body": 7, "x": "'),
    "not base64": item(body_encoding="base64", body="").replace(b'"body": ""', b'"body": "%%%"'),
    "an unknown body encoding": item(body_encoding="rot13"),
    "headers that are a list": item(headers=["task"]),
    "headers that are text": item(headers="task"),
    "a body that is no JSON": item("{"),
    "a body that is an object": item("{}"),
    "an object as id": item(headers={"id": {}}),
    "an object as task": item(headers={"task": {}}),
    "an unknown task": item(headers={"task": "os.system"}),
    "pickle": item(**{"content-type": "application/x-python-serialize"}),
    "a time limit that is none": item(headers={"timelimit": "x"}),  # still a valid command
    "a body with NUL in it": item([[], FIELDS | {"description": "a\x00b"}, {}]),
    "an event with a lone surrogate": item(
        [[], {"tenant_id": "shop", "user_id": "a", "event_type": "\ud800"}, {}],
        headers={"task": "points.apply_rule"},
    ),
}


def test_garbage_becomes_dead_letters_and_later_messages_are_accepted(
    ledger: Ledger, commands: CommandsByName, ingest_queue: IngestQueue, redis: Redis
) -> None:
    redis.lpush("points.commands", *GARBAGE.values(), item())
    counts = commands.step(ingest_queue)
    assert counts == {"dead": len(GARBAGE) - 1, "accepted": 2}
    lists = [key for key in redis.keys("*points.commands*") if redis.type(key) == b"list"]
    assert lists == []
    assert len(stored_dead_letters(ledger)) == len(GARBAGE) - 1
    ledger.drain()
    assert ledger.balance("anna") == 10


def test_messages_under_an_older_versions_prefix_are_received(
    ledger: Ledger, commands: CommandsByName, ingest_queue: IngestQueue, settings: Settings, redis: Redis
) -> None:
    with Celery(broker=settings.broker, set_as_current=False) as older:
        older.conf.broker_transport_options = {"global_keyprefix": "{pointledger}:"}
        older.send_task("points.earn", kwargs=FIELDS, queue="points.commands")
    assert redis.llen("{pointledger}:points.commands") == 1
    assert commands.step(ingest_queue) == {"accepted": 1}
    assert redis.llen("{pointledger}:points.commands") == 0


def test_two_ledgers_share_a_redis_with_a_queue_each(
    ledger: Ledger, commands: CommandsByName, ingest_queue: IngestQueue, app: Celery, settings: Settings
) -> None:
    other = open_commands(settings.model_copy(update={"commands_queue": "cafe", "redis_prefix": "{cafe}"}))
    app.send_task("points.earn", kwargs=FIELDS, queue="cafe")
    assert commands.step(ingest_queue) == {}
    assert len(other.receive(10, 0)) == 1
    other.close()


def test_messages_of_a_dead_receiver_are_received_by_another(
    ledger: Ledger,
    commands: CommandsByName,
    ingest_queue: IngestQueue,
    app: Celery,
    settings: Settings,
    redis: Redis,
) -> None:
    sent = [app.send_task("points.earn", kwargs=FIELDS, queue="points.commands", priority=n) for n in (0, 5)]
    dying = open_commands(settings)
    assert len(dying.receive(10, 0)) == 2
    redis.delete(*redis.keys("*:alive:*"))  # half a minute later
    assert commands.step(ingest_queue) == {"accepted": 2}
    assert [ledger.client.outcome(one.id).state for one in sent] == ["pending", "pending"]


def test_a_dead_letter_is_replayed_after_its_cause_is_fixed(
    ledger: Ledger, commands: CommandsByName, ingest_queue: IngestQueue, app: Celery, redis: Redis
) -> None:
    late = app.send_task(
        "points.earn", kwargs=FIELDS, queue="points.commands", expires=-1, link=app.signature("shop.next")
    )
    invalid = app.send_task("points.earn", kwargs={"amount": 1}, queue="points.commands")
    assert commands.step(ingest_queue) == {"dead": 2}
    by_id = {dead_letter.task_id: dead_letter for dead_letter in stored_dead_letters(ledger)}
    for sent, is_replayable in ((late, True), (invalid, False)):
        (dead_letter,) = (one for one in by_id.values() if str(one.task_id) == sent.id)
        if is_replayable:
            assert [ledger.client.outcome(task).state for task in commands.replay(dead_letter)] == ["pending"]
        else:
            with pytest.raises(DeadLetterNotReplayable, match="tenant_id: Field required"):
                commands.replay(dead_letter)
    ledger.drain()
    send_callbacks(ledger)
    assert ledger.client.outcome(late.id).state == "applied"
    assert redis.llen("celery") == 1, "its link is sent, to Celery's own default queue"


def test_a_dead_command_is_a_failure_and_after_a_retry_a_success(
    ledger: Ledger,
    commands: CommandsByName,
    ingest_queue: IngestQueue,
    app: Celery,
    redis: Redis,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    after, instead = app.signature("shop.next", queue="next"), app.signature("shop.sorry", queue="sorry")
    sent = app.send_task(
        "points.earn", kwargs=FIELDS, queue="points.commands", link=after, link_error=instead
    )
    commands.step(ingest_queue)
    with monkeypatch.context() as patch:
        patch.setattr("pointledger.engine.phases.decide_audited", _fails)
        wait_until(lambda: bool(ledger.drain() or ledger.counts("failures") == [1]), "it has failed")
    assert ledger.client.outcome(sent.id).state == "dead"
    send_callbacks(ledger)
    with Celery(broker=settings.broker, backend=settings.result_url, set_as_current=False) as client:
        failed = client.AsyncResult(sent.id)
        assert failed.state == "FAILURE"
        assert type(failed.result).__name__ == "CommandDead"
        assert (redis.llen("next"), redis.llen("sorry")) == (0, 1)

        ledger.client.retry(sent.id, Actor())
        ledger.drain()
        send_callbacks(ledger)
        assert client.AsyncResult(sent.id).result["state"] == "applied"
    assert (redis.llen("next"), redis.llen("sorry")) == (1, 1)


def _fails(*_: object) -> None:
    raise ZeroDivisionError("a bug")


def test_callbacks_may_only_name_allowed_queues(
    ledger: Ledger, ingest_queue: IngestQueue, app: Celery, settings: Settings
) -> None:
    narrow = settings.model_copy(update={"callback_queues": frozenset({"shop"})})
    acceptance = Acceptance(ledger.database, ledger.doorbells, narrow)
    commands = CommandsByName(ledger.database, acceptance, narrow)
    allowed, other = (app.signature("shop.next", queue=queue) for queue in ("shop", "admin"))
    lanes = app.signature("shop.next", queue="{pointledger}:points.lanes")
    for link in (allowed, other, lanes):
        app.send_task("points.earn", kwargs=FIELDS, queue="points.commands", link=link)
    assert commands.step(ingest_queue) == {"accepted": 1, "dead": 2}


def test_tasks_are_sent_while_the_result_server_is_away_and_results_follow(
    ledger: Ledger,
    commands: CommandsByName,
    ingest_queue: IngestQueue,
    app: Celery,
    redis: Redis,
    settings: Settings,
) -> None:
    sent = app.send_task(
        "points.earn", kwargs=FIELDS, queue="points.commands", link=app.signature("shop.next", queue="shop")
    )
    commands.step(ingest_queue)
    ledger.drain()
    nowhere = ResultDestination(settings.model_copy(update={"result_url": "redis://127.0.0.1:1/0"}))
    stop = iter([False, False, True])
    with logged.records() as records:
        CallbackSender(ledger.database, settings, nowhere).run(
            lambda: next(stop), lambda: None, lambda _: None
        )
    assert [vars(record)["event"] for record in records] == ["callbacks_wait"], "it is told once"
    send_callbacks(ledger)
    assert redis.llen("shop") == 1
    assert redis.exists(f"celery-task-meta-{sent.id}")


def test_erasing_a_user_redacts_callbacks_and_dead_letters(
    ledger: Ledger, commands: CommandsByName, ingest_queue: IngestQueue, app: Celery
) -> None:
    link = app.signature("shop.next", args=["anna"], queue="shop")
    app.send_task("points.earn", kwargs=FIELDS, queue="points.commands", link=link)
    later = app.send_task("points.earn", kwargs=FIELDS, queue="points.commands", countdown=3600)
    erase = app.send_task(
        "points.erase_user",
        kwargs={"tenant_id": "shop", "user_id": "anna"},
        queue="points.commands",
        countdown=0,
    )
    assert commands.step(ingest_queue) == {"accepted": 2, "deferred": 1}
    ledger.drain()
    send_callbacks(ledger)
    _finish_erasures(ledger)
    assert ledger.client.outcome(erase.id).state == "applied"
    assert ledger.client.outcome(later.id).reason == "CANCELLED"
    for table, column in (("callbacks", "message::text"), ("dead_letters", "convert_from(raw, 'UTF8')")):
        assert ledger.rows(f"SELECT FROM {table} WHERE {column} LIKE '%%anna%%'") == []


def _finish_erasures(ledger: Ledger) -> None:
    from pointledger.jobs.scheduler import JobScheduler  # noqa: PLC0415

    JobScheduler(
        ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    ).finish_erasures()
