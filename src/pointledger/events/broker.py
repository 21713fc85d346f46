"""Connects to the broker of events through kombu, with a time-out for each operation.

These are not Celery's queues: other services can reach them, so their messages stay away from the workers.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from amqp.exceptions import ChannelError, NotFound
from kombu import Connection, Exchange, Producer, Queue
from kombu.exceptions import InconsistencyError, KombuError

from pointledger.domain.events.outgoing import Event
from pointledger.domain.values.json_values import write_json
from pointledger.errors import BrokerAway
from pointledger.messaging.celery_app import broker_for_kombu
from pointledger.messaging.redis_url import is_redis
from pointledger.settings import Settings

CONTENT_TYPE = "application/cloudevents+json"
_SETTING = "POINTLEDGER_EVENTS_URL, or else POINTLEDGER_BROKER_URL or POINTLEDGER_REDIS_URL,"
_CONNECT_SECONDS = 4
_REPLY_SECONDS = 4  # less than Postgres' idle time-out, because a relay waits inside a transaction
_HEALTH_SECONDS = 10
_UNACKED_SECONDS = 300  # then kombu gives a message to another consumer; a batch takes seconds
_RESTORE_SECONDS = 5
_MESSAGES_PER_PIPELINE = 100  # kombu's default


def connect(url: str) -> Connection:
    """Return a connection that opens on first use. Raises NotConfigured for a malformed URL of a Redis."""
    broker = broker_for_kombu(url, _SETTING)
    return Connection(
        broker.url,
        connect_timeout=_CONNECT_SECONDS,
        transport_options=options(url) | broker.transport_options,
        ssl=broker.ssl or False,
    )


def options(url: str) -> dict[str, Any]:
    if not is_redis(url):
        return {
            # RabbitMQ confirms each message once it is safe; without this a publish returns before that.
            "confirm_publish": True,
            # RabbitMQ stops to read from a publisher when its memory or disk is full, and confirms nothing.
            "read_timeout": _REPLY_SECONDS,
            "write_timeout": _REPLY_SECONDS,
        }
    return {
        "visibility_timeout": _UNACKED_SECONDS,
        "unacked_restore_interval": _RESTORE_SECONDS,
        "unacked_restore_throttle": 1,
        "socket_timeout": _REPLY_SECONDS,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": _HEALTH_SECONDS,
        "priority_steps": [0],  # one list per queue
    }


def queue_arguments(url: str) -> dict[str, Any]:
    """Return the arguments of a replicated queue on disk on RabbitMQ; Redis has no kinds of queues."""
    return {} if is_redis(url) else {"x-queue-type": "quorum"}


def declare_as_it_is(connection: Connection, name: str, arguments: dict[str, Any]) -> None:
    """Declare a durable queue on RabbitMQ, unless one of this name exists.

    That one may have other arguments (priorities, a type), and RabbitMQ would refuse another declaration.
    """
    try:
        with connection.channel() as trial:  # a refusal closes the channel
            trial.queue_declare(name, passive=True)
    except NotFound:
        connection.default_channel.queue_declare(
            name, durable=True, auto_delete=False, arguments=arguments or None
        )


def away(connection: Connection) -> tuple[type[BaseException], ...]:
    """Return the exceptions that mean that the broker is unavailable."""
    return (*connection.connection_errors, *connection.channel_errors, KombuError, OSError)


class QueueLength(NamedTuple):
    """The number of messages in a queue."""

    messages: int
    queue: str


def _length(channel: Any, queue: str) -> int:
    """Return the number of messages in a queue, 0 if there is no such queue, as on Redis if it is empty."""
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0


class Publisher:
    """Sends events to the exchange, and declares the queues that get every event."""

    def __init__(self, settings: Settings) -> None:
        url = settings.events
        self._url = url
        self._source = settings.events_source
        self._exchange = Exchange(settings.events_exchange, type="topic", durable=True)
        self._queues = [
            Queue(name, self._exchange, routing_key="#", durable=True, queue_arguments=queue_arguments(url))
            for name in settings.events_queues
        ]
        self._connection = connect(url)
        self._producer: Producer | None = None

    def prepare(self) -> QueueLength:
        """Connect if necessary, declare exchange and queues, and return the longest queue.

        It declares them each time, because a broker that has lost them would accept events and drop them. On
        Redis it also measures the queues that others have bound to the exchange. Raise BrokerAway.
        """
        try:
            if self._producer is None:
                self._producer = Producer(
                    self._connection.default_channel, self._exchange, auto_declare=False
                )
            channel = self._producer.channel
            if state := getattr(channel, "state", None):  # kombu's cache of its declarations in Redis
                state.clear()
            self._exchange(channel).declare()
            for queue in self._queues:
                queue(channel).declare()
            lengths = [QueueLength(_length(channel, name), name) for name in self._names(channel)]
            return max(lengths, default=QueueLength(0, ""))
        except away(self._connection) as error:
            raise self._lost(error) from error

    def _names(self, channel: Any) -> set[str]:
        """Return the queues that get events. RabbitMQ does not tell which ones others have bound."""
        own = {queue.name for queue in self._queues}
        if not is_redis(self._url):
            return own
        with suppress(InconsistencyError):  # no queue is bound
            own |= {queue for _, _, queue in channel.get_table(self._exchange.name)}
        return own

    def publish(self, events: Sequence[Event]) -> None:
        """Send all events in order. Raise BrokerAway; then the broker may have some of them."""
        assert self._producer is not None, "call prepare first"
        try:
            with self._producer.batch(max_size=_MESSAGES_PER_PIPELINE):
                for event in events:
                    self._producer.publish(
                        write_json(event.as_cloud_event(self._source)).decode(),
                        routing_key=event.type,
                        content_type=CONTENT_TYPE,
                        content_encoding="utf-8",
                        retry=False,  # the relay sends the whole row again, in order
                    )
        except away(self._connection) as error:
            raise self._lost(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._producer = None
        self._connection.release()

    def _lost(self, error: BaseException) -> BrokerAway:
        """Close the connection, so that the next call reconnects."""
        self._producer = None
        self._connection.release()
        return BrokerAway(type(error).__name__)
