"""A web service that creates its client at import: `gunicorn --preload web:application`. A POST to /USER
grants a point and returns the process id."""

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
    result = {"process": os.getpid(), "state": grant(environ["PATH_INFO"].strip("/"))}
    body = json.dumps(result).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


assert grant("the-master") == "applied"  # opens every kind of connection before the fork
