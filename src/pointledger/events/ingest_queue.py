"""Queues on which other services send, on Redis or RabbitMQ: messages are taken, and given up only when what
became of them is committed.

On RabbitMQ that is what acknowledging means. kombu's Redis transport takes a message off its list before it
notes it elsewhere, so whoever dies in between loses it, and what is no message of kombu's is lost with its
reader. Here a message moves from its list to the taker's own in one step of the server's (`LMOVE`) and lies
there until it is done with. A taker that does not show itself for half a minute is dead, and what it had goes
back, to the front.
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

_ALIVE_MS = 30_000  # far longer than a batch takes
_LOOK_SECONDS = 10.0  # between looks for what dead takers left
_AWAY = (redis.RedisError, KombuError, OSError)


class Message(NamedTuple):
    """What came: the body's bytes, and what stands beside it. `reply_to`, `content_type`, `content_encoding`
    and `correlation_id` are None where nothing is said."""

    raw: bytes
    headers: dict[str, Any]
    reply_to: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    correlation_id: str | None = None

    @property
    def text_headers(self) -> dict[str, str]:
        """Those of its headers that are text."""
        return {name: value for name, value in self.headers.items() if isinstance(value, str)}


class Mailbox(Protocol):
    """`take` gives the next messages, oldest first, and waits for the first; `done` gives up all that were
    taken. What is not done with comes again, perhaps to another taker. Both raise BrokerAway."""

    def take(self, most: int, wait_seconds: float) -> list[Message]: ...

    def done(self) -> None: ...

    def close(self) -> None: ...


def open_mailbox(url: str, queue: str, *, quorum: bool = False) -> Mailbox:
    """The mailbox of a queue. `quorum`: if it has to be made on RabbitMQ, it is made as a quorum queue, not
    as a classic one; one that is there is taken as it is."""
    return (
        RedisMailbox(url, [queue], own=queue) if broker.is_redis(url) else AmqpMailbox(url, [queue], quorum)
    )


# ---------------------------------------------------------------------------------------------- Redis

# KEYS: taken, takers, alive, then the lists, the most urgent first   ARGV: most, name, ttl
# -> all that is taken, newest first
_TAKE = """
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], '1', 'PX', ARGV[3])
local left = tonumber(ARGV[1]) - redis.call('LLEN', KEYS[1])
for i = 4, #KEYS do
    while left > 0 and redis.call('LMOVE', KEYS[i], KEYS[1], 'RIGHT', 'LEFT') do left = left - 1 end
end
return redis.call('LRANGE', KEYS[1], 0, -1)
"""

# KEYS: taken, takers, alive, the list that gets it   ARGV: name, whether alive counts
_GIVE_BACK = """
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
while redis.call('LMOVE', KEYS[1], KEYS[4], 'LEFT', 'RIGHT') do end
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[3])
return 1
"""


class RedisMailbox:
    """Lists that kombu's producers push to: `lists`, the most urgent first; who waits, waits at the first.
    `own` begins the names of the keys of ours."""

    def __init__(self, url: str, lists: Sequence[str], *, own: str) -> None:
        self._connection = broker.connect(url)
        self._lists = list(lists)
        self._own = own
        self._name = token_hex(8)
        self._look_at = 0.0
        self._client: redis.Redis | None = None

    def take(self, most: int, wait_seconds: float) -> list[Message]:
        try:
            client = self._opened()
            self._look_after_the_dead(client)
            items = self._take(client, most)
            if not items and wait_seconds:
                taken = self._keys(self._name)[0]
                client.execute_command(  # type: ignore[no-untyped-call]  # redis-py
                    "BLMOVE", self._lists[0], taken, "RIGHT", "LEFT", min(wait_seconds, 1.0)
                )
                items = self._take(client, most)
        except _AWAY as error:
            raise self._lost(error) from error
        return [_unpacked(item) for item in reversed(items)]

    def done(self) -> None:
        try:
            self._opened().delete(self._keys(self._name)[0])
        except _AWAY as error:
            raise self._lost(error) from error

    def close(self) -> None:
        with suppress(*_AWAY):  # half a minute later another one gives back what is left
            self._give_back(self._opened(), self._name, "0")
        self._connection.release()

    def _opened(self) -> redis.Redis:
        """kombu's own client: so a URL means here what it means to Celery, Sentinel's, too."""
        if self._client is None:
            self._client = self._connection.default_channel.client
        return self._client

    def _lost(self, error: BaseException) -> BrokerAway:
        """Begins anew with the next call."""
        self._client = None
        self._connection.release()
        return BrokerAway(type(error).__name__)

    def _take(self, client: redis.Redis, most: int) -> list[bytes]:
        keys = [*self._keys(self._name), *self._lists]
        found: list[bytes] = client.register_script(_TAKE)(keys=keys, args=(most, self._name, _ALIVE_MS))
        return found

    def _look_after_the_dead(self, client: redis.Redis) -> None:
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_SECONDS
        for name in client.smembers(f"{self._own}:takers"):
            self._give_back(client, bytes_to_str(name), "1")

    def _give_back(self, client: redis.Redis, name: str, alive_counts: str) -> None:
        keys = [*self._keys(name), self._lists[0]]
        client.register_script(_GIVE_BACK)(keys=keys, args=(name, alive_counts))

    def _keys(self, name: str) -> list[str]:
        return [f"{self._own}:{part}" for part in (f"taken:{name}", "takers", f"alive:{name}")]


def _unpacked(item: bytes) -> Message:
    """kombu's message, unpacked; anything else as it is."""
    try:
        packed = json.loads(item)  # orjson has no lone surrogates, of which Celery writes some
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


class AmqpMailbox:
    """Queues of RabbitMQ; of each at most as many messages are on their way as are taken at once."""

    def __init__(self, url: str, names: Sequence[str], quorum: bool) -> None:
        self._url = url
        self._names = list(names)
        self._arguments = broker.queue_arguments(url) if quorum else {}
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
        channel.basic_qos(0, most, False)
        for name in self._names:
            broker.declare_as_it_is(connection, name, self._arguments)
            # The driver's own, not kombu's consumer: that would unpack what is compressed, however large.
            channel.basic_consume(name, callback=self._come.append)
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
    properties = message.properties
    names = ("reply_to", "content_type", "content_encoding", "correlation_id")
    told = (_text(properties.get(name)) for name in names)
    return Message(raw, dict(properties.get("application_headers") or {}), *told)
