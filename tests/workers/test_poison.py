"""What nobody who is trusted would write to Celery's own queues: of what looks like a message no worker dies;
of raw bytes one may, and whatever starts workers again lets the ledger go on."""

import base64
import json
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from redis import Redis

from pointledger import Earn
from pointledger.messaging.contract import DRAIN_TASK, LANES_QUEUE
from pointledger_demo.programme import TENANT
from pointledger_demo.system import System
from tests.ledger import Ledger
from tests.waiting import wait_until


def _message(body: object = "[[0], {}, {}]", *, body_encoding: str = "base64", **headers: Any) -> bytes:
    """As kombu writes a doorbell to a list of Redis, but for what is given."""
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

# Of these kombu may die before anybody of ours sees them; they are gone then.
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
    "a time limit that is none": _message(timelimit="x"),
    "an object as id": _message(id={}),
    "an object as task": _message(task={}),
    "no task": _message(task=None),
    "an unknown task": _message(task="os.system"),
    "pickle": _message(content_type="application/x-python-serialize"),
    "a body that is no JSON": _message("{"),
    "wrong arguments": _message([["x", "y", "z"], {"a": 1}, {}]),
    "no such lane": _message([[10**30], {}, {}]),
    "an eta that is none": _message(eta="tomorrow"),
    "an eta beyond all": _message(eta="9999-12-31T00:00:00"),
    "a time limit below nothing": _message(timelimit=[-1, -1]),
    "callbacks": _message([[0], {}, {"callbacks": [_EVIL]}]),
    "errbacks": _message([["x"], {}, {"errbacks": [_EVIL]}]),
}


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Redis]:
    """As it comes: texts are bytes."""
    with Redis.from_url(ledger.settings.redis) as opened:
        yield opened


def goes_on(ledger: Ledger, system: System, client: Redis, user_id: str, poison: dict[str, bytes]) -> int:
    """Each is taken, and a command of this user applied after it; how many workers were started again."""
    queue, deaths = f"{ledger.settings.redis_prefix}:{LANES_QUEUE}", 0

    def is_done(raw: bytes, task_id: str) -> bool:
        nonlocal deaths
        for position in system.dead():
            deaths += 1
            system.workers[position] = system.start_worker(position + 1)
        taken = raw not in client.lrange(queue, 0, -1)
        return taken and ledger.client.outcome(task_id).state == "applied"

    for name, raw in poison.items():
        client.rpush(queue, raw)  # the next to be taken
        task_id = ledger.client.enqueue(Earn(tenant_id=TENANT, user_id=user_id, amount=1))
        wait_until(partial(is_done, raw, task_id), f"a command is applied after: {name}")
    assert ledger.balance(user_id, TENANT) == len(poison)
    assert ledger.rows("SELECT FROM accounts WHERE user_id = 'mallory'") == []
    return deaths


@pytest.mark.fault
def test_a_message_that_is_none_ends_no_worker(ledger: Ledger, system: System, client: Redis) -> None:
    assert goes_on(ledger, system, client, "anna", MESSAGES) == 0
    assert system.dead() == []


@pytest.mark.fault
def test_after_raw_bytes_in_a_queue_the_ledger_goes_on(ledger: Ledger, system: System, client: Redis) -> None:
    assert goes_on(ledger, system, client, "ben", RAW) <= len(RAW)
