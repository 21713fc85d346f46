"""Sends commands by Celery as the documentation shows: `client_program.py BROKER RESULTS`.

It does not import the ledger. It prints as JSON the outcome of each way to send a command.
"""

import json
import sys
from datetime import UTC, datetime, timedelta

from celery import Celery, Signature, chain, group
from celery.result import AsyncResult

FIELDS = {"tenant_id": "shop", "user_id": "plain", "amount": 5}
QUEUE = "points.commands"
SECONDS = 30

app = Celery(broker=sys.argv[1], backend=sys.argv[2])


def send(name: str = "points.earn", kwargs: object = FIELDS, **options: object) -> AsyncResult:
    return app.send_task(name, kwargs=kwargs, queue=QUEUE, **options)


def sign(immutable: bool = False) -> Signature:
    return app.signature("points.earn", kwargs=FIELDS, queue=QUEUE, immutable=immutable)


def in_protocol_1() -> object:
    with Celery(broker=sys.argv[1], backend=sys.argv[2], set_as_current=False) as old:
        old.conf.task_protocol = 1
        return old.send_task("points.earn", kwargs=FIELDS, queue=QUEUE).get(timeout=SECONDS)


now = datetime.now(UTC)
ways = {
    "as documented": send(),
    "compressed": send(compression="zlib"),
    "later": send(countdown=1),
    "at a moment": send(eta=now + timedelta(seconds=1)),
    "it happened before": send(kwargs={**FIELDS, "occurred_at": now - timedelta(days=1)}),
    "expired": send(expires=now - timedelta(seconds=1)),
    "pickled": send(serializer="pickle"),
    "misspelt": send("points.earnn"),
    "without a field": send(kwargs={"tenant_id": "shop", "user_id": "plain"}),
    "by position": send(args=["shop", "plain", 5]),
    "in a chain": chain(sign(), sign(immutable=True)).apply_async(),
    "tried again": send(retry=True, retry_policy={"max_retries": 2, "interval_start": 0}),
}
for priority in range(10):
    ways[f"priority {priority}"] = send(priority=priority)
outcomes = {way: result.get(timeout=SECONDS) for way, result in ways.items()}
outcomes["in protocol 1"] = in_protocol_1()
several = group(sign() for _ in range(3)).apply_async().get(timeout=SECONDS)
outcomes.update((f"in a group {number}", outcome) for number, outcome in enumerate(several))
print(json.dumps(outcomes))
