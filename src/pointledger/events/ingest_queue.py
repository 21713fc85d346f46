"""Receives messages from queues of other services, and acknowledges them when their results are committed.

On RabbitMQ this is AMQP's acknowledgement. On Redis, kombu removes a message from its list before it saves it
elsewhere, so a crash in between loses the message, and so does a message that kombu cannot read. Here `LMOVE`
moves a message to the receiver's own list in one step, and it stays there until `ack`. A receiver that shows
no sign of life for 30 seconds is dead, and its messages return to the front of the queue.
"""

import base64
import json
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from secrets import token_hex
from typing import Any, NamedTuple, Protocol

import redis
from kombu import Connection
from kombu.exceptions import KombuError
from kombu.utils.encoding import bytes_to_str

from pointledger.errors import BrokerAway
from pointledger.events import broker
from pointledger.messaging.redis_url import is_redis

_ALIVE_MS = 30_000  # far longer than a batch takes
_RECOVER_SECONDS = 10.0  # between searches for messages of dead receivers
_UNAVAILABLE = (redis.RedisError, KombuError, OSError)


class Message(NamedTuple):
    """A received message: the bytes of its body, its headers, and properties that are None if missing."""

    raw: bytes
    headers: dict[str, Any]
    reply_to: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    correlation_id: str | None = None

    @property
    def text_headers(self) -> dict[str, str]:
        """The headers whose values are text."""
        return {name: value for name, value in self.headers.items() if isinstance(value, str)}


class IngestQueue(Protocol):
    """A queue of messages.

    `receive` returns the next messages, oldest first, and waits for the first one. `ack` acknowledges all
    received messages. Unacknowledged messages are delivered again, perhaps to another receiver. Both raise
    BrokerAway.
    """

    def receive(self, most: int, wait_seconds: float) -> list[Message]: ...

    def ack(self) -> None: ...

    def close(self) -> None: ...


def open_ingest_queue(url: str, queue: str, *, quorum: bool = False) -> IngestQueue:
    """Return the queue at `url`.

    `quorum`: if the queue does not exist on RabbitMQ, declare a quorum queue instead of a classic one.
    """
    if is_redis(url):
        return RedisIngestQueue(url, [queue], own=queue)
    return AmqpIngestQueue(url, [queue], quorum)


# ---------------------------------------------------------------------------------------------- Redis

# KEYS: taken, takers, alive, then the lists, the most urgent first   ARGV: most, name, ttl
# -> all unacknowledged messages of this receiver, newest first
_RECEIVE = """
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], '1', 'PX', ARGV[3])
local left = tonumber(ARGV[1]) - redis.call('LLEN', KEYS[1])
for i = 4, #KEYS do
    while left > 0 and redis.call('LMOVE', KEYS[i], KEYS[1], 'RIGHT', 'LEFT') do left = left - 1 end
end
return redis.call('LRANGE', KEYS[1], 0, -1)
"""

# KEYS: taken, takers, alive, the list that gets the messages   ARGV: name, 1 to do nothing if it is alive
_RETURN = """
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
while redis.call('LMOVE', KEYS[1], KEYS[4], 'LEFT', 'RIGHT') do end
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[3])
return 1
"""


class RedisIngestQueue:
    """Redis lists that kombu's producers push to.

    `lists` begins with the most urgent list; `receive` waits for the first list only. `own` is the prefix of
    this queue's own keys.
    """

    def __init__(self, url: str, lists: Sequence[str], *, own: str) -> None:
        self._connection = broker.connect(url)
        self._lists = list(lists)
        self._own = own
        self._name = token_hex(8)
        self._recover_at = 0.0
        self._client: redis.Redis | None = None

    def receive(self, most: int, wait_seconds: float) -> list[Message]:
        try:
            client = self._opened()
            self._recover(client)
            items = self._receive(client, most)
            if not items and wait_seconds:
                taken = self._keys(self._name)[0]
                client.execute_command(  # type: ignore[no-untyped-call]  # redis-py
                    "BLMOVE", self._lists[0], taken, "RIGHT", "LEFT", min(wait_seconds, 1.0)
                )
                items = self._receive(client, most)
        except _UNAVAILABLE as error:
            raise self._lost(error) from error
        return [_unpacked(item) for item in reversed(items)]

    def ack(self) -> None:
        try:
            self._opened().delete(self._keys(self._name)[0])
        except _UNAVAILABLE as error:
            raise self._lost(error) from error

    def close(self) -> None:
        with suppress(*_UNAVAILABLE):  # otherwise another receiver returns the messages 30 seconds later
            self._return(self._opened(), self._name, "0")
        self._connection.release()

    def _opened(self) -> redis.Redis:
        """Return kombu's client, so that a URL means the same as for Celery, also with Sentinel."""
        if self._client is None:
            self._client = self._connection.default_channel.client
        return self._client

    def _lost(self, error: BaseException) -> BrokerAway:
        """Close the connection, so that the next call reconnects."""
        self._client = None
        self._connection.release()
        return BrokerAway(type(error).__name__)

    def _receive(self, client: redis.Redis, most: int) -> list[bytes]:
        keys = [*self._keys(self._name), *self._lists]
        found: list[bytes] = client.register_script(_RECEIVE)(keys=keys, args=(most, self._name, _ALIVE_MS))
        return found

    def _recover(self, client: redis.Redis) -> None:
        """Return the messages of dead receivers to the queue, now and then."""
        if time.monotonic() < self._recover_at:
            return
        self._recover_at = time.monotonic() + _RECOVER_SECONDS
        for name in client.smembers(f"{self._own}:takers"):
            self._return(client, bytes_to_str(name), "1")

    def _return(self, client: redis.Redis, name: str, unless_alive: str) -> None:
        keys = [*self._keys(name), self._lists[0]]
        client.register_script(_RETURN)(keys=keys, args=(name, unless_alive))

    def _keys(self, name: str) -> list[str]:
        return [f"{self._own}:{part}" for part in (f"taken:{name}", "takers", f"alive:{name}")]


def _unpacked(item: bytes) -> Message:
    """Unpack kombu's message; return anything else as it is."""
    try:
        packed = json.loads(item)  # orjson rejects lone surrogates, which Celery can write
        properties = packed.get("properties") or {}
        body = packed["body"].encode()
        if properties.get("body_encoding") == "base64":
            body = base64.b64decode(body, validate=True)
        return Message(
            body,
            dict(packed.get("headers") or {}),
            _text(properties.get("reply_to")),
            _text(packed.get("content-type")),
            _text(packed.get("content-encoding")),
            _text(properties.get("correlation_id")) or _text(properties.get("correlationId")),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Message(item, {})


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


# ------------------------------------------------------------------------------------------- RabbitMQ


class AmqpIngestQueue:
    """RabbitMQ queues. Each prefetches at most as many messages as `receive` returns at once."""

    def __init__(self, url: str, names: Sequence[str], quorum: bool) -> None:
        self._url = url
        self._names = list(names)
        self._arguments = broker.queue_arguments(url) if quorum else {}
        self._connection: Connection | None = None
        self._arrived: deque[Any] = deque()
        self._unacked: list[Any] = []

    def receive(self, most: int, wait_seconds: float) -> list[Message]:
        if self._unacked:
            return [_of_amqp(message) for message in self._unacked]
        connection = self._connection or broker.connect(self._url)
        try:
            if self._connection is None:
                self._listen(connection, most)
            wait = wait_seconds or 0.05
            while len(self._arrived) < most:
                try:
                    connection.drain_events(timeout=0.01 if self._arrived else wait)
                except TimeoutError:
                    break
        except broker.away(connection) as error:
            raise self._lost(connection, error) from error
        self._unacked = [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]
        return [_of_amqp(message) for message in self._unacked]

    def ack(self) -> None:
        if not self._unacked or self._connection is None:
            return
        try:
            self._unacked[-1].channel.basic_ack(self._unacked[-1].delivery_tag, multiple=True)
        except broker.away(self._connection) as error:
            raise self._lost(self._connection, error) from error
        self._unacked = []

    def close(self) -> None:
        if self._connection is not None:
            self._connection.release()  # RabbitMQ returns unacknowledged messages to the queue
        self._connection = None

    def _listen(self, connection: Connection, most: int) -> None:
        channel = connection.default_channel
        channel.basic_qos(0, most, False)
        for name in self._names:
            broker.declare_as_it_is(connection, name, self._arguments)
            # Not kombu's consumer, because it decompresses messages of any size.
            channel.basic_consume(name, callback=self._arrived.append)
        self._connection = connection

    def _lost(self, connection: Connection, error: BaseException) -> BrokerAway:
        """Close the connection; RabbitMQ delivers unacknowledged messages again."""
        connection.release()
        self._connection = None
        self._arrived.clear()
        self._unacked = []
        return BrokerAway(type(error).__name__)


def _of_amqp(message: Any) -> Message:
    body = message.body
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body or b"")
    properties = message.properties
    names = ("reply_to", "content_type", "content_encoding", "correlation_id")
    texts = (_text(properties.get(name)) for name in names)
    return Message(raw, dict(properties.get("application_headers") or {}), *texts)
