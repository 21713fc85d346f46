"""The queue of commands by name, message by message: none is lost, and none stops what is behind it."""

import base64
import json
import re
import shlex
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue
from redis import Redis

from pointledger.client.acceptor import Acceptance
from pointledger.domain.values.actor import By
from pointledger.errors import LetterUnfit
from pointledger.events.ingest_queue import Mailbox
from pointledger.integrations.celery_callbacks import CallbackSender, Results, Tasks
from pointledger.integrations.celery_commands import ByName, open_commands
from pointledger.settings import Settings
from pointledger.storage.queue import dead_letters
from pointledger.storage.queue.dead_letters import Letter
from tests import logged
from tests.integrations.house import FIELDS, ROOT
from tests.ledger import Ledger
from tests.rabbitmq import RabbitMQ
from tests.waiting import wait_until


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"result_url": settings.redis_url, "backoff_seconds": ()})


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant("shop")
        yield opened


@pytest.fixture
def taker(ledger: Ledger) -> ByName:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    return ByName(ledger.database, acceptance, ledger.settings)


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    opened = open_commands(settings)
    yield opened
    opened.close()


@pytest.fixture
def redis(settings: Settings) -> Iterator[Redis]:
    """As it comes: texts are bytes."""
    with Redis.from_url(settings.redis) as opened:
        yield opened


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    with Celery(broker=settings.broker, set_as_current=False) as opened:
        yield opened


def item(body: Any = None, *, body_encoding: str = "base64", headers: Any = None, **more: Any) -> bytes:
    """As kombu writes a message to a list of Redis, but for what is given."""
    written = body if isinstance(body, str) else json.dumps([[], FIELDS, {}] if body is None else body)
    told = {"lang": "py", "task": "points.earn", "id": str(uuid.uuid4())}
    envelope = {
        "body": base64.b64encode(written.encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": told if headers is None else told | headers if isinstance(headers, dict) else headers,
        "properties": {"delivery_mode": 2, "body_encoding": body_encoding, "delivery_tag": "x"},
    }
    return json.dumps(envelope | more).encode()


def kept(ledger: Ledger) -> list[Letter]:
    with ledger.database.connect() as connection:
        return dead_letters.letters(connection)


def send_callbacks(ledger: Ledger) -> None:
    for destination in (Tasks(ledger.settings), Results(ledger.settings)):
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
    "a time limit that is none": item(headers={"timelimit": "x"}),  # and a command all the same
    "a body with NUL in it": item([[], FIELDS | {"description": "a\x00b"}, {}]),
    "an event with a lone surrogate": item(
        [[], {"tenant_id": "shop", "user_id": "a", "event_type": "\ud800"}, {}],
        headers={"task": "points.apply_rule"},
    ),
}


def test_whatever_lies_in_the_queue_is_a_command_or_kept_and_what_is_behind_it_goes_on(
    ledger: Ledger, taker: ByName, mailbox: Mailbox, redis: Redis
) -> None:
    redis.lpush("points.commands", *GARBAGE.values(), item())
    counts = taker.step(mailbox)
    assert counts == {"dead": len(GARBAGE) - 1, "accepted": 2}
    lists = [key for key in redis.keys("*points.commands*") if redis.type(key) == b"list"]
    assert lists == []
    assert len(kept(ledger)) == len(GARBAGE) - 1
    ledger.drain()
    assert ledger.balance("anna") == 10


def test_messages_under_an_older_versions_prefix_are_taken_too(
    ledger: Ledger, taker: ByName, mailbox: Mailbox, settings: Settings, redis: Redis
) -> None:
    with Celery(broker=settings.broker, set_as_current=False) as older:
        older.conf.broker_transport_options = {"global_keyprefix": "{pointledger}:"}
        older.send_task("points.earn", kwargs=FIELDS, queue="points.commands")
    assert redis.llen("{pointledger}:points.commands") == 1
    assert taker.step(mailbox) == {"accepted": 1}
    assert redis.llen("{pointledger}:points.commands") == 0


def test_two_ledgers_share_a_redis_with_a_queue_each(
    ledger: Ledger, taker: ByName, mailbox: Mailbox, app: Celery, settings: Settings
) -> None:
    other = open_commands(settings.model_copy(update={"commands_queue": "cafe", "redis_prefix": "{cafe}"}))
    app.send_task("points.earn", kwargs=FIELDS, queue="cafe")
    assert taker.step(mailbox) == {}
    assert len(other.take(10, 0)) == 1
    other.close()


def test_what_a_taker_that_died_had_is_taken_by_another(
    ledger: Ledger, taker: ByName, mailbox: Mailbox, app: Celery, settings: Settings, redis: Redis
) -> None:
    sent = [app.send_task("points.earn", kwargs=FIELDS, queue="points.commands", priority=n) for n in (0, 5)]
    dying = open_commands(settings)
    assert len(dying.take(10, 0)) == 2
    redis.delete(*redis.keys("*:alive:*"))  # half a minute later
    assert taker.step(mailbox) == {"accepted": 2}
    assert [ledger.client.outcome(one.id).state for one in sent] == ["pending", "pending"]


def test_a_letter_is_replayed_once_its_cause_is_put_right(
    ledger: Ledger, taker: ByName, mailbox: Mailbox, app: Celery, redis: Redis
) -> None:
    late = app.send_task(
        "points.earn", kwargs=FIELDS, queue="points.commands", expires=-1, link=app.signature("shop.next")
    )
    wrong = app.send_task("points.earn", kwargs={"amount": 1}, queue="points.commands")
    assert taker.step(mailbox) == {"dead": 2}
    by_id = {letter.task_id: letter for letter in kept(ledger)}
    for sent, goes in ((late, True), (wrong, False)):
        (letter,) = (one for one in by_id.values() if str(one.task_id) == sent.id)
        if goes:
            assert [ledger.client.outcome(task).state for task in taker.replay(letter)] == ["pending"]
        else:
            with pytest.raises(LetterUnfit, match="tenant_id: Field required"):
                taker.replay(letter)
    ledger.drain()
    send_callbacks(ledger)
    assert ledger.client.outcome(late.id).state == "applied"
    assert redis.llen("celery") == 1, "its link is sent, to Celery's own default queue"


def test_a_command_that_is_dead_is_told_as_a_failure_and_when_it_goes_on_as_applied(
    ledger: Ledger,
    taker: ByName,
    mailbox: Mailbox,
    app: Celery,
    redis: Redis,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    after, instead = app.signature("shop.next", queue="next"), app.signature("shop.sorry", queue="sorry")
    sent = app.send_task(
        "points.earn", kwargs=FIELDS, queue="points.commands", link=after, link_error=instead
    )
    taker.step(mailbox)
    with monkeypatch.context() as patch:
        patch.setattr("pointledger.engine.batch.decide_on_record", _fails)
        wait_until(lambda: bool(ledger.drain() or ledger.counts("failures") == [1]), "it has failed")
    assert ledger.client.outcome(sent.id).state == "dead"
    send_callbacks(ledger)
    with Celery(broker=settings.broker, backend=settings.result_url, set_as_current=False) as somebody:
        failed = somebody.AsyncResult(sent.id)
        assert failed.state == "FAILURE"
        assert type(failed.result).__name__ == "CommandDead"
        assert (redis.llen("next"), redis.llen("sorry")) == (0, 1)

        ledger.client.retry(sent.id, By())
        ledger.drain()
        send_callbacks(ledger)
        assert somebody.AsyncResult(sent.id).result["state"] == "applied"
    assert (redis.llen("next"), redis.llen("sorry")) == (1, 1)


def _fails(*_: object) -> None:
    raise ZeroDivisionError("a bug")


def test_callbacks_go_only_to_queues_that_are_allowed(
    ledger: Ledger, mailbox: Mailbox, app: Celery, settings: Settings
) -> None:
    narrow = settings.model_copy(update={"callback_queues": frozenset({"shop"})})
    acceptance = Acceptance(ledger.database, ledger.doorbells, narrow)
    taker = ByName(ledger.database, acceptance, narrow)
    allowed, other = (app.signature("shop.next", queue=queue) for queue in ("shop", "admin"))
    ours = app.signature("shop.next", queue="{pointledger}:points.lanes")
    for link in (allowed, other, ours):
        app.send_task("points.earn", kwargs=FIELDS, queue="points.commands", link=link)
    assert taker.step(mailbox) == {"accepted": 1, "dead": 2}


def test_while_the_results_server_is_away_tasks_are_sent_and_the_results_come_later(
    ledger: Ledger, taker: ByName, mailbox: Mailbox, app: Celery, redis: Redis, settings: Settings
) -> None:
    sent = app.send_task(
        "points.earn", kwargs=FIELDS, queue="points.commands", link=app.signature("shop.next", queue="shop")
    )
    taker.step(mailbox)
    ledger.drain()
    nowhere = Results(settings.model_copy(update={"result_url": "redis://127.0.0.1:1/0"}))
    stop = iter([False, False, True])
    with logged.records() as told:
        CallbackSender(ledger.database, settings, nowhere).run(
            lambda: next(stop), lambda: None, lambda _: None
        )
    assert [vars(line)["event"] for line in told] == ["callbacks_wait", "callbacks_wait"]
    send_callbacks(ledger)
    assert redis.llen("shop") == 1
    assert redis.exists(f"celery-task-meta-{sent.id}")


def test_a_user_who_is_erased_is_gone_from_what_was_sent(
    ledger: Ledger, taker: ByName, mailbox: Mailbox, app: Celery
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
    assert taker.step(mailbox) == {"accepted": 2, "held": 1}
    ledger.drain()
    send_callbacks(ledger)
    _finish_erasures(ledger)
    assert ledger.client.outcome(erase.id).state == "applied"
    assert ledger.client.outcome(later.id).reason == "CANCELLED"
    for table, column in (("callbacks", "message::text"), ("dead_letters", "convert_from(raw, 'UTF8')")):
        assert ledger.rows(f"SELECT FROM {table} WHERE {column} LIKE '%%anna%%'") == []


def _finish_erasures(ledger: Ledger) -> None:
    from pointledger.jobs.scheduler import Sweep  # noqa: PLC0415

    Sweep(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings)).finish_erasures()


@pytest.mark.long
@pytest.mark.parametrize("arguments", [{"x-max-priority": 10}, {"x-queue-type": "quorum"}, {}])
def test_a_queue_that_somebody_else_has_made_on_rabbitmq_is_taken_as_it_is(
    ledger: Ledger, taker: ByName, settings: Settings, rabbitmq_url: str, arguments: dict[str, Any]
) -> None:
    queue = f"commands-{uuid.uuid4()}"
    on_rabbit = settings.model_copy(update={"broker_url": rabbitmq_url, "commands_queue": queue})
    with Celery(broker=rabbitmq_url, set_as_current=False) as theirs:
        theirs.conf.task_queues = [Queue(queue, Exchange(queue), queue, queue_arguments=arguments)]
        sent = [theirs.send_task("points.earn", kwargs=FIELDS, queue=queue, priority=n) for n in range(10)]
        mailbox = open_commands(on_rabbit)
        found: Counter[str] = Counter()
        wait_until(
            lambda: bool(found.update(taker.step(mailbox)) or found["accepted"] == 10), "all are taken"
        )
        mailbox.close()
        sent.append(theirs.send_task("points.earn", kwargs=FIELDS, queue=queue, priority=5))
        again = open_commands(on_rabbit)
        wait_until(lambda: taker.step(again) == {"accepted": 1}, "and what comes afterwards")
        again.close()
    assert {ledger.client.outcome(one.id).state for one in sent} == {"pending"}


@pytest.mark.long
def test_a_link_goes_to_a_queue_of_rabbitmqs_whatever_its_kind_and_to_one_that_is_not_there_yet(
    ledger: Ledger, taker: ByName, settings: Settings, rabbitmq_url: str
) -> None:
    commands, quorum, fresh = (f"{name}-{uuid.uuid4()}" for name in ("commands", "quorum", "fresh"))
    on_rabbit = settings.model_copy(update={"broker_url": rabbitmq_url, "commands_queue": commands})
    with Celery(broker=rabbitmq_url, set_as_current=False) as theirs, Connection(rabbitmq_url) as connection:
        kind = {"x-queue-type": "quorum"}
        Queue(quorum, queue_arguments=kind)(connection.default_channel).declare()
        links = [theirs.signature("shop.next", queue=queue) for queue in (quorum, fresh)]
        theirs.send_task("points.earn", kwargs=FIELDS, queue=commands, link=links)
        mailbox = open_commands(on_rabbit)
        wait_until(lambda: taker.step(mailbox) == {"accepted": 1}, "it is taken")
        mailbox.close()
        ledger.drain()
        sender = CallbackSender(ledger.database, on_rabbit, Tasks(on_rabbit))
        assert sender.step() == 2
        sender.close()
        heard = [connection.default_channel.basic_get(queue, no_ack=True) for queue in (quorum, fresh)]
        assert [message.headers["task"] for message in heard] == ["shop.next"] * 2


@pytest.mark.long
def test_what_expires_at_rabbitmqs_before_anybody_reads_it_is_refused_where_the_readmes_policy_is_set(
    ledger: Ledger, taker: ByName, settings: Settings, rabbitmq: RabbitMQ
) -> None:
    readme = (ROOT / "README.md").read_text()
    (line,) = re.findall(r"^rabbitmqctl (set_policy .*)$", readme, re.MULTILINE)
    rabbitmq.control(*shlex.split(line))
    with Celery(broker=rabbitmq.url, set_as_current=False) as theirs:
        on_rabbit = settings.model_copy(update={"broker_url": rabbitmq.url})
        mailbox = open_commands(on_rabbit)
        mailbox.take(1, 0.1)  # its queues are there
        mailbox.close()
        sent = theirs.send_task("points.earn", kwargs=FIELDS, queue="points.commands", expires=0.01)
        again = open_commands(on_rabbit)
        wait_until(lambda: taker.step(again, wait_seconds=0.1)["dead"] == 1, "it came to the other queue")
        again.close()
    assert ledger.client.outcome(sent.id).reason == "EXPIRED"
    rabbitmq.control("clear_policy", "expired-commands")
