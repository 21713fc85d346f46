"""Produces events as another service does."""

import json
from datetime import UTC, datetime
from typing import Any

from kombu import Producer, Queue

from pointledger.domain.events.producers import Producers, producers_from, sign
from pointledger.events import broker
from pointledger.events.ingest_queue import IngestQueue, open_ingest_queue
from pointledger.settings import Settings

OLD_KEY, NEW_KEY = "an old key that is about to be removed", "a new key that was added beside the old"


def producers(**more: Any) -> Producers:
    """Return a shop that may send events and earns, and a bank."""
    shop = {
        "name": "web-shop",
        "keys": [{"id": "old", "secret": OLD_KEY}, {"id": "new", "secret": NEW_KEY}],
        "tenants": ["shop", "nowhere"],
        "kinds": ["apply-rule", "earn", "spend"],
        **more,
    }
    bank = {"name": "bank", "keys": [{"id": "b", "secret": "b" * 32}], "tenants": "all", "kinds": ["earn"]}
    return producers_from({"producers": [shop, bank]})


def event(number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a visit of the user anna."""
    return {
        "specversion": "1.0",
        "id": f"visit-{number}",
        "source": "/shop/web",
        "type": "visit",
        "subject": "anna",
        "tenantid": "shop",
        "iat": datetime.now(UTC).isoformat(),
        "data": {},
        **more,
    }


def earn(number: int = 1, amount: Any = 5, **more: Any) -> dict[str, Any]:
    return event(number, kind="earn", data={"amount": amount}, **more)


def signed(raw: bytes, key: str = NEW_KEY, key_id: str = "new", name: str = "web-shop") -> dict[str, str]:
    """Return the headers of a signed message."""
    return {"x-producer": name, "x-key": key_id, "x-signature": sign(raw, key)}


def opened_ingest_queue(settings: Settings) -> IngestQueue:
    """Return the ingest queue as the command line opens it."""
    return open_ingest_queue(settings.events, settings.ingest_queue, quorum=True)


class Sender:
    """Sends messages, signed by default."""

    def __init__(self, settings: Settings) -> None:
        self._connection = broker.connect(settings.events)
        arguments = broker.queue_arguments(settings.events)
        self._queue = Queue(settings.ingest_queue, queue_arguments=arguments, durable=True)
        self._queue(self._connection.default_channel).declare()
        self._queue(self._connection.default_channel).purge()

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.release()

    def send(self, content: object, headers: dict[str, str] | None = None, **properties: Any) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        Producer(self._connection.default_channel).publish(
            raw,
            routing_key=self._queue.name,
            headers=signed(raw) if headers is None else headers,
            content_type="application/cloudevents+json",
            content_encoding="binary",
            **properties,
        )

    def count(self) -> int:
        """Return the number of messages in the queue."""
        return int(self._queue(self._connection.default_channel).queue_declare().message_count)
