"""Writes malformed messages to Celery's queues. A malformed message stops no worker. Raw bytes may stop one,
and the ledger continues when the worker is restarted."""

import base64
import json
import uuid
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
import redis
from kombu.message import Message
from redis import Redis

from pointledger import Earn
from pointledger.messaging.contract import DRAIN_TASK, LANES_QUEUE
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import TENANT
from tests.ledger import Ledger
from tests.waiting import wait_until
from workers.ack import ack


def _message(body: object = "[[0], {}, {}]", *, body_encoding: str = "base64", **headers: Any) -> bytes:
    """Return a doorbell as kombu writes it to a Redis list, with the given changes."""
    task_id = str(uuid.uuid4())
    written = body if isinstance(body, str) else json.dumps(body)
    envelope = {
        "body": base64.b64encode(written.encode()).decode(),
        "content-type": headers.pop("content_type", "application/json"),
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": DRAIN_TASK, "id": task_id} | headers,
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": LANES_QUEUE},
            "priority": 0,
            "body_encoding": body_encoding,
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    return json.dumps(envelope).encode()


_STOLEN = {"tenant_id": TENANT, "user_id": "mallory", "amount": 5}
_EVIL = {"task": "points.earn", "args": [], "kwargs": _STOLEN}

# These can stop kombu before the worker's consumer sees them; then they are gone.
RAW: dict[str, bytes] = {
    "not JSON": b"{",
    "empty": b"",
    "binary": bytes(range(256)),
    "a list": b"[]",
    "null": b"null",
    "nested": b"[" * 100_000,
    "no properties": b'{"body": "e30=", "headers": {}}',
    "an unknown body encoding": _message(body_encoding="rot13"),
}
MESSAGES: dict[str, bytes] = {
    "an object as body": _message("{}"),
    "an invalid time limit": _message(timelimit="x"),
    "an object as id": _message(id={}),
    "an object as task": _message(task={}),
    "no task": _message(task=None),
    "an unknown task": _message(task="os.system"),
    "pickle": _message(content_type="application/x-python-serialize"),
    "a body that is not JSON": _message("{"),
    "wrong arguments": _message([["x", "y", "z"], {"a": 1}, {}]),
    "no such lane": _message([[10**30], {}, {}]),
    "an invalid eta": _message(eta="tomorrow"),
    "an eta in the year 9999": _message(eta="9999-12-31T00:00:00"),
    "a negative time limit": _message(timelimit=[-1, -1]),
    "a compressed body": _message(zlib.compress(b" " * 10_000_000).decode("latin-1"), compression="zlib"),
    "callbacks": _message([[0], {}, {"callbacks": [_EVIL]}]),
    "errbacks": _message([["x"], {}, {"errbacks": [_EVIL]}]),
}


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Redis]:
    """A client that returns bytes."""
    with Redis.from_url(ledger.settings.redis) as opened:
        yield opened


def restarts_during(
    ledger: Ledger, system: ProcessGroup, client: Redis, user_id: str, poison: dict[str, bytes]
) -> int:
    """Return how many workers had to be restarted. A command is applied after each message."""
    queue, restarts = f"{ledger.settings.redis_prefix}:{LANES_QUEUE}", 0

    def is_done(raw: bytes, task_id: str) -> bool:
        nonlocal restarts
        for position in system.dead():
            restarts += 1
            system.workers[position] = system.start_worker(position + 1)
        taken = raw not in client.lrange(queue, 0, -1)
        return taken and ledger.client.outcome(task_id).state == "applied"

    for name, raw in poison.items():
        client.rpush(queue, raw)  # the next message that a worker receives
        task_id = ledger.client.enqueue(Earn(tenant_id=TENANT, user_id=user_id, amount=1))
        wait_until(partial(is_done, raw, task_id), f"a command is applied after: {name}")
    assert ledger.balance(user_id, TENANT) == len(poison)
    assert ledger.rows("SELECT FROM accounts WHERE user_id = 'mallory'") == []
    return restarts


@pytest.mark.fault
def test_a_malformed_message_stops_no_worker(ledger: Ledger, system: ProcessGroup, client: Redis) -> None:
    assert restarts_during(ledger, system, client, "anna", MESSAGES) == 0
    assert system.dead() == []


@pytest.mark.fault
def test_the_ledger_continues_after_raw_bytes_in_a_queue(
    ledger: Ledger, system: ProcessGroup, client: Redis
) -> None:
    assert restarts_during(ledger, system, client, "ben", RAW) <= len(RAW)


def test_a_worker_that_cannot_acknowledge_a_message_connects_again() -> None:
    """kombu would log it, and a worker that takes one message at a time would never take another."""
    channel = Mock()
    channel.basic_ack.side_effect = redis.TimeoutError
    message = Message(body="{}", delivery_tag="1", channel=channel)
    with pytest.raises(redis.TimeoutError):
        ack(message, None, (redis.TimeoutError,))
