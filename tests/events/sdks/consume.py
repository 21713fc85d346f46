"""Consumes events with CloudEvents' SDK, version 1 or 2, and kombu.

usage: consume.py URL COUNT; prints a list of the events as the SDK reads them.
"""

import json
import sys
from datetime import datetime
from typing import Any

from kombu import Connection, Consumer, Queue

try:
    from cloudevents.core.bindings import rabbitmq  # type: ignore[import-not-found]
except ModuleNotFoundError:
    from cloudevents.http import from_http  # type: ignore[import-not-found]

    rabbitmq = None

URL, COUNT = sys.argv[1], int(sys.argv[2])


def read(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the attributes and the data as the SDK has them."""
    if not rabbitmq:
        event = from_http({"content-type": content_type}, body)
        return {**{name: event[name] for name in event}, "data": event.get_data()}
    event = rabbitmq.from_rabbitmq_event(rabbitmq.RabbitMQMessage({}, content_type, body))
    assert isinstance(event.get_time(), datetime)
    return {**event.get_attributes(), "time": event.get_time().isoformat(), "data": event.get_data()}


def main() -> None:
    received: list[dict[str, Any]] = []

    def receive(body: str, message: Any) -> None:
        received.append(read(message.content_type, body.encode()))
        message.ack()

    with Connection(URL) as connection:
        queue = Queue("points.events", no_declare=True)
        with Consumer(connection, [queue], callbacks=[receive], accept=None):
            while len(received) < COUNT:
                connection.drain_events(timeout=30)
    print(json.dumps(received))


main()
