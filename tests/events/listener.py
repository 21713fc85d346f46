"""A consumer of outgoing events, as another service would have one."""

import json
from typing import Any

from kombu import Consumer, Queue

from pointledger.events import broker
from pointledger.events.broker import Publisher
from pointledger.events.relay import Relay, Sent
from pointledger.settings import Settings
from pointledger.storage.database import engine_for


class Listener:
    """`heard` has all events in the order in which they came, those that came twice twice."""

    def __init__(self, settings: Settings) -> None:
        self._connection = broker.connect(settings.events)
        arguments = broker.queue_arguments(settings.events)
        self._queue = Queue(settings.events_queues[0], queue_arguments=arguments, durable=True)
        self.heard: list[dict[str, Any]] = []
        self._queue(self._connection.default_channel).declare()
        self._queue(self._connection.default_channel).purge()

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self._queue(self._connection.default_channel).purge()
        self._connection.release()

    def listen(self, count: int) -> list[dict[str, Any]]:
        """Waits until so many events have come in all."""

        def take(body: Any, message: Any) -> None:
            assert message.content_type == broker.CONTENT_TYPE
            self.heard.append(json.loads(body))
            message.ack()

        with Consumer(self._connection, [self._queue], callbacks=[take], accept=None, no_ack=False):
            while len(self.heard) < count:
                self._connection.drain_events(timeout=30)
        return self.heard

    def all_waiting(self) -> int:
        """How many events lie in the queue."""
        return int(self._queue(self._connection.default_channel).queue_declare().message_count)


def relay_all(settings: Settings) -> Sent:
    """One relay sends what waits."""
    database = engine_for(settings.database)
    publisher = Publisher(settings)
    try:
        return Relay(database, publisher, settings).send_all()
    finally:
        publisher.close()
        database.dispose()
