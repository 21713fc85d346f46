"""A web service that made its client at import: `gunicorn --preload web:application`. A POST to /USER grants
a point and tells which process did it."""

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from pointledger import Earn, PointsClient

client = PointsClient.connect()


def grant(user_id: str) -> str:
    task_id = client.enqueue(Earn(tenant_id="shop", user_id=user_id, amount=1))
    return client.wait(task_id, timeout=30).state


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    told = {"process": os.getpid(), "state": grant(environ["PATH_INFO"].strip("/"))}
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


assert grant("the-master") == "applied"  # so it has every kind of connection before it forks
