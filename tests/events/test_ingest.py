"""Ingest turns a valid event into one command, and no message gets lost."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from pointledger import Earn, SetStatus
from pointledger.events.ingest import Ingest
from pointledger.events.ingest_queue import IngestQueue, Message
from pointledger.settings import Settings
from tests.cli.conftest import Run
from tests.events.ingesting import ingest_all, kept, received
from tests.events.sender import NEW_KEY, OLD_KEY, Sender, earn, event, opened_ingest_queue, signed
from tests.ledger import Ledger

# ---------------------------------------------------------------------------------------- valid events


def test_an_event_becomes_a_command_and_leaves_the_queue(
    ledger: Ledger, ingest: Ingest, sender: Sender, ingest_queue: IngestQueue
) -> None:
    happened = datetime(2026, 3, 1, 10, tzinfo=UTC)
    sender.send(event(1, time=happened.isoformat(), data={"app": True}))
    sender.send([earn(2), earn(3, amount=7)])
    assert ingest_all(ingest, ingest_queue, 2) == {"accepted": 2}
    ledger.drain()

    assert ledger.balance("anna") == 3 + 5 + 7
    assert sender.count() == 0
    assert ledger.counts("dead_letters") == [0]
    first = ledger.rows("SELECT kind, actor, idempotency_key, occurred_at FROM journal ORDER BY seq LIMIT 1")
    assert tuple(first[0]) == ("apply-rule", "web-shop", "/shop/web visit-1", happened)


def test_an_event_that_is_sent_again_is_one_command(ledger: Ledger, ingest: Ingest) -> None:
    later = earn(1) | {"iat": (datetime.now(UTC) - timedelta(minutes=5)).isoformat()}
    for _ in range(2):
        assert received(ingest, later) == {"accepted": 1}
    assert received(ingest, earn(1)) == {"accepted": 1}, "with a new signature"
    ledger.drain()
    assert ledger.balance("anna") == 5
    assert ledger.counts("journal", "dead_letters", "aliases") == [1, 0, 1]


def test_each_of_a_producers_two_keys_is_valid(ledger: Ledger, ingest: Ingest) -> None:
    for number, (key, key_id) in enumerate([(OLD_KEY, "old"), (NEW_KEY, "new")]):
        raw = json.dumps(earn(number)).encode()
        assert received(ingest, raw, signed(raw, key, key_id)) == {"accepted": 1}


def test_a_producer_can_choose_the_task_id(ledger: Ledger, ingest: Ingest) -> None:
    received(ingest, earn(1, taskid="01HZZZZZZZZZZZZZZZZZZZZZZZ"))
    ledger.drain()
    assert ledger.client.outcome("01HZZZZZZZZZZZZZZZZZZZZZZZ").state == "applied"


def test_the_extensions_of_an_event_are_kept_with_its_command_and_do_not_affect_it(
    ledger: Ledger, ingest: Ingest, run: Run
) -> None:
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    received(ingest, event(1, **trace, partitionkey="anna"))
    again = event(1, traceparent="00-11111111111111111111111111111111-2222222222222222-01")
    assert received(ingest, again) == {"accepted": 1}, "a duplicate from another request"
    ledger.drain()
    (entry,) = ledger.entries("anna")
    explanation = run("explain", "shop", entry["id"], "--json").json
    assert explanation["command"]["extensions"] == {**trace, "partitionkey": "anna"}
    assert f"Its extension traceparent: {trace['traceparent']}." in explanation["sentences"]
    (exported,) = run("export", "shop", "anna").json["commands"]
    assert exported["extensions"] == explanation["command"]["extensions"]
    assert "traceparent" not in exported["payload"]
    assert ledger.counts("journal", "dead_letters") == [1, 0]


def test_an_empty_batch_has_no_command(ledger: Ledger, ingest: Ingest) -> None:
    assert received(ingest, []) == {"accepted": 1}
    assert ledger.counts("journal", "dead_letters") == [0, 0]


def test_a_refusal_is_an_outcome_and_not_a_dead_letter(ledger: Ledger, ingest: Ingest) -> None:
    """Q18, Q19: an unknown tenant, a closed account."""
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=1))
    ledger.apply(SetStatus(tenant_id="shop", user_id="anna", status="closed", reason="gone"))
    received(ingest, [earn(1), earn(2, tenantid="nowhere")])
    ledger.drain()
    reasons = {row[0] for row in ledger.rows("SELECT reason FROM outcomes WHERE state = 'refused'")}
    assert reasons == {"ACCOUNT_CLOSED", "TENANT_UNKNOWN"}
    assert ledger.counts("dead_letters") == [0]


# -------------------------------------------------------------------------------- no message gets lost


def test_unacknowledged_messages_are_delivered_again(
    ledger: Ledger, ingest: Ingest, sender: Sender, settings: Settings
) -> None:
    sender.send(earn(1))
    sender.send(earn(2))
    dying = opened_ingest_queue(settings)
    messages: list[Message] = []
    while len(messages) < 2:
        messages = list(dying.receive(10, 1.0))
    ingest.receive(messages)  # committed, but not acknowledged
    dying.close()

    again = opened_ingest_queue(settings)
    assert ingest_all(ingest, again, 2) == {"accepted": 2}
    again.close()
    ledger.drain()
    assert ledger.balance("anna") == 10
    assert sender.count() == 0


def test_messages_of_a_dead_receiver_return_to_the_front(redis_url: str, settings: Settings) -> None:
    on_redis = settings.model_copy(update={"events_url": redis_url})
    with Sender(on_redis) as sender, Redis.from_url(redis_url) as client:
        for number in range(4):
            sender.send(earn(number))
        dead = opened_ingest_queue(on_redis)
        first = dead.receive(2, 0)
        living = opened_ingest_queue(on_redis)
        assert len(living.receive(1, 0)) == 1, "the first receiver is alive, so only the rest is free"
        living.close()
        client.delete(*client.keys("points.ingest:alive:*"))  # as after 30 seconds

        successor = opened_ingest_queue(on_redis)
        messages = successor.receive(10, 0)
        assert [message.raw for message in messages[:2]] == [message.raw for message in first]
        assert len(messages) == 4
        assert successor.receive(10, 0) == messages, "until they are acknowledged"
        successor.ack()
        assert client.keys("points.ingest*") != []
        successor.close()
        assert client.keys("points.ingest*") == []


def test_raw_bytes_in_the_queue_are_kept(
    ledger: Ledger, ingest: Ingest, redis_url: str, settings: Settings
) -> None:
    """kombu's reader loses such items of the list."""
    garbage = [
        b"",
        b"\xff\x00",
        b"null",
        b"[]",
        b'{"body": 7}',
        b"[" * 2_000,
        b'{"headers": [], "properties": {}}',
    ]
    with Redis.from_url(redis_url) as client:
        client.lpush("points.ingest", *garbage)
    ingest_queue = opened_ingest_queue(settings.model_copy(update={"events_url": redis_url}))
    assert ingest_all(ingest, ingest_queue, len(garbage)) == {"dead": len(garbage)}
    ingest_queue.close()
    assert {dead_letter.raw for dead_letter in kept(ledger)} == set(garbage)
    assert {dead_letter.reason for dead_letter in kept(ledger)} == {"UNSIGNED"}


def test_ingest_keeps_its_messages_and_continues_after_the_database_was_unavailable(
    ledger: Ledger, ingest: Ingest, sender: Sender, ingest_queue: IngestQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.send(earn(1))
    real, fails = ingest.receive, iter([True, True])
    stop = threading.Event()

    def flaky(messages: Any) -> Any:
        if next(fails, False):
            with ledger.database.connect() as connection:
                connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        counts = real(messages)
        stop.set()
        return counts

    monkeypatch.setattr(ingest, "receive", flaky)
    paused: list[float] = []
    ingest.run(ingest_queue, stop.is_set, paused.append)
    assert paused == [0.5, 1.0]
    ledger.drain()
    assert ledger.balance("anna") == 5
