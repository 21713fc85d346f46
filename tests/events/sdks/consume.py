"""A service that has CloudEvents' SDK, version 1 or 2, and kombu: it hears events from the queue.

usage: consume.py URL COUNT; prints what the SDK read, as a list.
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
    """The attributes and the data, as the SDK has them."""
    if not rabbitmq:
        event = from_http({"content-type": content_type}, body)
        return {**{name: event[name] for name in event}, "data": event.get_data()}
    event = rabbitmq.from_rabbitmq_event(rabbitmq.RabbitMQMessage({}, content_type, body))
    assert isinstance(event.get_time(), datetime)
    return {**event.get_attributes(), "time": event.get_time().isoformat(), "data": event.get_data()}


def main() -> None:
    heard: list[dict[str, Any]] = []

    def hear(body: str, message: Any) -> None:
        heard.append(read(message.content_type, body.encode()))
        message.ack()

    with Connection(URL) as connection:
        queue = Queue("points.events", no_declare=True)
        with Consumer(connection, [queue], callbacks=[hear], accept=None):
            while len(heard) < COUNT:
                connection.drain_events(timeout=30)
    print(json.dumps(heard))


main()
