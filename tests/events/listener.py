"""Consumes outgoing events as another service does."""

import json
from typing import Any

from kombu import Consumer, Queue

from pointledger.events import broker
from pointledger.events.broker import Publisher
from pointledger.events.relay import Relay, RelayResult
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from tests.events.described import check_described


class Listener:
    """A consumer. `events` has all events in the order of arrival, with duplicates."""

    def __init__(self, settings: Settings) -> None:
        self._connection = broker.connect(settings.events)
        arguments = broker.queue_arguments(settings.events)
        self._queue = Queue(settings.events_queues[0], queue_arguments=arguments, durable=True)
        self.events: list[dict[str, Any]] = []
        self._queue(self._connection.default_channel).declare()
        self._queue(self._connection.default_channel).purge()

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self._queue(self._connection.default_channel).purge()
        self._connection.release()

    def listen(self, count: int) -> list[dict[str, Any]]:
        """Wait until `count` events have arrived in all, and return them."""

        def receive(body: Any, message: Any) -> None:
            assert message.content_type == broker.CONTENT_TYPE
            self.events.append(json.loads(body))
            check_described(self.events[-1])
            message.ack()

        with Consumer(self._connection, [self._queue], callbacks=[receive], accept=None, no_ack=False):
            while len(self.events) < count:
                self._connection.drain_events(timeout=30)
        return self.events

    def queued_count(self) -> int:
        """Return the number of events in the queue."""
        return int(self._queue(self._connection.default_channel).queue_declare().message_count)


def relay_all(settings: Settings) -> RelayResult:
    """Send all unsent events with one relay."""
    database = engine_for(settings.database)
    publisher = Publisher(settings)
    try:
        return Relay(database, publisher, settings).send_all()
    finally:
        publisher.close()
        database.dispose()
