"""The queue on which other services send events, on Redis or RabbitMQ: messages are taken, and given up only
when what became of them is committed.

On RabbitMQ that is what acknowledging means. kombu's Redis transport takes a message off its list before it
notes it elsewhere, so whoever dies in between loses it, and what is no message of kombu's is lost with its
reader. Here a message moves from the queue's list to the taker's own in one step of the server's (`LMOVE`)
and lies there until it is done with. A taker that does not show itself for half a minute is dead, and what it
had goes back, to the front.
"""

import base64
import binascii
import time
from collections import deque
from contextlib import suppress
from secrets import token_hex
from typing import Any, NamedTuple, Protocol

import orjson
import redis
from kombu import Connection, Consumer, Queue
from kombu.utils.encoding import bytes_to_str

from pointledger import broker
from pointledger.errors import BrokerAway
from pointledger.settings import Settings

_ALIVE_MS = 30_000  # far longer than a batch takes
_LOOK_SECONDS = 10.0  # between looks for what dead takers left
_TIMEOUT_SECONDS = 4.0


class Message(NamedTuple):
    """What came: the bytes that were signed, and the headers that say by whom."""

    raw: bytes
    headers: dict[str, str]
    reply_to: str | None = None


class Mailbox(Protocol):
    """`take` gives the next messages, oldest first, and waits for the first; `done` gives up all that were
    taken. What is not done with comes again, perhaps to another taker. Both raise BrokerAway."""

    def take(self, most: int, wait_seconds: float) -> list[Message]: ...

    def done(self) -> None: ...

    def close(self) -> None: ...


def open_mailbox(settings: Settings) -> Mailbox:
    """The mailbox on the broker of events."""
    return RedisMailbox(settings) if broker.is_redis(settings.events) else AmqpMailbox(settings)


# ---------------------------------------------------------------------------------------------- Redis

# KEYS: queue, taken, takers, alive   ARGV: most, name, ttl   -> all that is taken, newest first
_TAKE = """
redis.call('SADD', KEYS[3], ARGV[2])
redis.call('SET', KEYS[4], '1', 'PX', ARGV[3])
for i = redis.call('LLEN', KEYS[2]) + 1, tonumber(ARGV[1]) do
    if not redis.call('LMOVE', KEYS[1], KEYS[2], 'RIGHT', 'LEFT') then break end
end
return redis.call('LRANGE', KEYS[2], 0, -1)
"""

# KEYS: queue, taken, takers, alive   ARGV: name, whether alive counts
_GIVE_BACK = """
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
while redis.call('LMOVE', KEYS[2], KEYS[1], 'LEFT', 'RIGHT') do end
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4])
return 1
"""


class RedisMailbox:
    """A list that kombu's producers push to."""

    def __init__(self, settings: Settings) -> None:
        self._client = redis.Redis.from_url(
            settings.events, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        )
        self._queue = settings.intake_queue
        self._name = token_hex(8)
        self._look_at = 0.0
        self._take = self._client.register_script(_TAKE)
        self._give_back = self._client.register_script(_GIVE_BACK)

    def take(self, most: int, wait_seconds: float) -> list[Message]:
        try:
            self._look_after_the_dead()
            keys, arguments = self._keys(self._name), (most, self._name, _ALIVE_MS)
            items = self._take(keys=keys, args=arguments)
            if not items and wait_seconds:
                self._client.execute_command(  # type: ignore[no-untyped-call]  # redis-py
                    "BLMOVE", self._queue, keys[1], "RIGHT", "LEFT", min(wait_seconds, 1.0)
                )
                items = self._take(keys=keys, args=arguments)
        except redis.RedisError as error:
            raise BrokerAway(type(error).__name__) from error
        return [_unpacked(item) for item in reversed(items)]

    def done(self) -> None:
        try:
            self._client.delete(self._keys(self._name)[1])
        except redis.RedisError as error:
            raise BrokerAway(type(error).__name__) from error

    def close(self) -> None:
        with suppress(redis.RedisError):  # half a minute later another one gives back what is left
            self._give_back(keys=self._keys(self._name), args=(self._name, "0"))
        self._client.close()

    def _look_after_the_dead(self) -> None:
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_SECONDS
        for name in self._client.smembers(f"{self._queue}:takers"):
            self._give_back(keys=self._keys(bytes_to_str(name)), args=(name, "1"))

    def _keys(self, name: str) -> list[str]:
        rest = (f"taken:{name}", "takers", f"alive:{name}")
        return [self._queue, *(f"{self._queue}:{part}" for part in rest)]


def _unpacked(item: bytes) -> Message:
    """kombu's message, unpacked; anything else as it is."""
    try:
        packed = orjson.loads(item)
        properties = packed["properties"]
        body = packed["body"].encode()
        if properties.get("body_encoding") == "base64":
            body = base64.b64decode(body, validate=True)
        return Message(body, _texts(packed["headers"]), properties.get("reply_to"))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        return Message(item, {})


def _texts(headers: Any) -> dict[str, str]:
    return {name: value for name, value in dict(headers or {}).items() if isinstance(value, str)}


# ------------------------------------------------------------------------------------------- RabbitMQ


class AmqpMailbox:
    """A quorum queue; at most as many messages are on their way as are taken at once."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.events
        self._name = settings.intake_queue
        self._connection: Connection | None = None
        self._come: deque[Any] = deque()
        self._taken: list[Any] = []

    def take(self, most: int, wait_seconds: float) -> list[Message]:
        if self._taken:
            return [_of_amqp(message) for message in self._taken]
        connection = self._connection or broker.connect(self._url)
        try:
            if self._connection is None:
                self._listen(connection, most)
            wait = wait_seconds or 0.05
            while len(self._come) < most:
                try:
                    connection.drain_events(timeout=0.01 if self._come else wait)
                except TimeoutError:
                    break
        except broker.away(connection) as error:
            raise self._lost(connection, error) from error
        self._taken = [self._come.popleft() for _ in range(min(most, len(self._come)))]
        return [_of_amqp(message) for message in self._taken]

    def done(self) -> None:
        if not self._taken or self._connection is None:
            return
        try:
            self._taken[-1].channel.basic_ack(self._taken[-1].delivery_tag, multiple=True)
        except broker.away(self._connection) as error:
            raise self._lost(self._connection, error) from error
        self._taken = []

    def close(self) -> None:
        if self._connection is not None:
            self._connection.release()  # what is not acknowledged goes back
        self._connection = None

    def _listen(self, connection: Connection, most: int) -> None:
        channel = connection.default_channel
        queue = Queue(self._name, durable=True, queue_arguments=broker.queue_arguments(self._url))
        consumer = Consumer(channel, [queue], on_message=self._come.append, prefetch_count=most)
        consumer.consume()
        self._connection = connection

    def _lost(self, connection: Connection, error: BaseException) -> BrokerAway:
        """What was not done with comes again."""
        connection.release()
        self._connection = None
        self._come.clear()
        self._taken = []
        return BrokerAway(type(error).__name__)


def _of_amqp(message: Any) -> Message:
    body = message.body
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body or b"")
    return Message(raw, _texts(message.headers), message.properties.get("reply_to"))
