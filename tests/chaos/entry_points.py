"""The entry points for a client's commands: the library, the API, the ingest queue, and Celery by name.

Each returns when the commands are durable. If that is not certain it raises, and the client repeats the call.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import httpx
from celery import Celery
from kombu import Connection, Producer
from kombu.exceptions import KombuError
from redis import RedisError

from pointledger import AnyCommand, ApplyRule, Earn, PointsClient, Spend, Transfer
from pointledger.domain.events.producers import sign
from pointledger.events import broker
from pointledger.ids import parse_id, show_id
from pointledger.settings import Settings
from tests.chaos.load import TENANT

LIBRARY, API, QUEUE, BY_NAME, BULK = "library", "api", "queue", "by-name", "bulk"

_PRODUCER, _KEY_ID, _SECRET = "chaos", "first", "chaos" * 7
PRODUCERS = json.dumps(
    {
        "producers": [
            {
                "name": _PRODUCER,
                "keys": [{"id": _KEY_ID, "secret": _SECRET}],
                "tenants": [TENANT],
                "kinds": ["earn"],
            }
        ]
    }
)
_ANSWER_SECONDS = 5.0
_KNOWN_SECONDS, _POLL_SECONDS = 3.0, 0.05  # until a message by name is sent again; between queries
_ACCEPTED = 202  # the client asks for no outcome
_TOO_MANY = 429


class Unavailable(Exception):
    """It is not certain that the commands were accepted."""


class EntryPoint(Protocol):
    """Where commands are sent to. `send` returns the ids under which they are accepted."""

    def send(self, commands: Sequence[AnyCommand]) -> list[UUID]: ...


class Library:
    """Accepts any commands in one transaction."""

    def __init__(self, client: PointsClient) -> None:
        self._client = client

    def send(self, commands: Sequence[AnyCommand]) -> list[UUID]:
        self._client.accept(commands)
        return [command.id for command in commands]


# The path and the body of each kind of command.
_REQUESTS: dict[type[AnyCommand], Callable[[Any], tuple[str, dict[str, Any]]]] = {
    ApplyRule: lambda c: (
        "/admin/points/apply-rule",
        {"user_id": c.user_id, "event_type": c.event_type, "metadata": c.metadata},
    ),
    Earn: lambda c: (f"/points/{c.user_id}/earn", {"amount": c.amount}),
    Spend: lambda c: (f"/points/{c.user_id}/spend", {"amount": c.amount}),
    Transfer: lambda c: (f"/points/{c.user_id}/transfer", {"to_user_id": c.to_user_id, "amount": c.amount}),
}


class HttpApi:
    """Sends one command per request. Its id is the idempotency key, and the API gives it another id."""

    def __init__(self) -> None:
        token = Path(os.environ["CHAOS_TOKEN"]).read_text()
        headers = {"Authorization": f"Bearer {token}", "Prefer": "respond-async"}
        self._client = httpx.Client(
            base_url=os.environ["CHAOS_API_URL"], headers=headers, timeout=_ANSWER_SECONDS
        )

    def send(self, commands: Sequence[AnyCommand]) -> list[UUID]:
        (command,) = commands
        path, body = _REQUESTS[type(command)](command)
        try:
            answer = self._client.post(path, json=body, headers={"X-Idempotency-Key": show_id(command.id)})
        except httpx.HTTPError as error:
            raise Unavailable(type(error).__name__) from error
        if answer.status_code == _ACCEPTED:
            return [parse_id(answer.json()["data"]["task_id"])]
        assert answer.is_server_error or answer.status_code == _TOO_MANY, answer.text
        raise Unavailable(answer.status_code)


class ByName:
    """Sends one command with Celery's own client.

    The broker may lose it, so the message is sent again under its id until the ledger knows it.
    """

    def __init__(self, client: PointsClient, settings: Settings) -> None:
        self._client = client
        self._app = Celery(broker=settings.broker, set_as_current=False)
        self._app.conf.update(
            broker_connection_timeout=_ANSWER_SECONDS,
            broker_transport_options={"socket_timeout": _ANSWER_SECONDS},
        )

    def send(self, commands: Sequence[AnyCommand]) -> list[UUID]:
        (command,) = commands
        name = f"points.{command.kind.replace('-', '_')}"
        fields = command.model_dump(mode="json", exclude={"id"}, exclude_none=True)
        task_id = str(command.id)
        try:
            self._app.send_task(name, kwargs=fields, task_id=task_id, queue="points.commands", retry=False)
        except (KombuError, RedisError, OSError) as error:
            raise Unavailable(type(error).__name__) from error
        give_up_at = time.monotonic() + _KNOWN_SECONDS
        while (state := self._client.outcome(task_id).state) == "unknown":
            if time.monotonic() > give_up_at:
                raise Unavailable("the ledger does not know it yet")
            time.sleep(_POLL_SECONDS)
        assert state != "refused" or self._client.outcome(task_id).accepted_at, "it is a command"
        return [command.id]


class IngestQueue:
    """Sends earns in one signed message. The queue is durable; when they are accepted is unknown."""

    def __init__(self, settings: Settings, source: str) -> None:
        self._url, self._queue, self._source = settings.events, settings.ingest_queue, source
        self._connection: Connection | None = None

    def send(self, commands: Sequence[AnyCommand]) -> list[UUID]:
        raw = json.dumps([self._event(command) for command in commands]).encode()
        self._connection = self._connection or broker.connect(self._url)
        try:
            Producer(self._connection.default_channel).publish(
                raw,
                routing_key=self._queue,
                headers={"x-producer": _PRODUCER, "x-key": _KEY_ID, "x-signature": sign(raw, _SECRET)},
                content_type=broker.CONTENT_TYPE,
                content_encoding="binary",
                retry=False,
            )
        except broker.away(self._connection) as error:
            self._connection.release()
            self._connection = None
            raise Unavailable(type(error).__name__) from error
        return [command.id for command in commands]

    def _event(self, command: AnyCommand) -> dict[str, Any]:
        assert isinstance(command, Earn)
        name = show_id(command.id)
        return {
            "specversion": "1.0",
            "id": name,
            "source": self._source,
            "type": "chaos",
            "subject": command.user_id,
            "tenantid": TENANT,
            "iat": datetime.now(UTC).isoformat(),
            "kind": command.kind,
            "taskid": name,
            "data": {"amount": command.amount},
        }
