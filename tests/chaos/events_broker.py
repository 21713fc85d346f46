"""The broker of events as the checker reads it: a Valkey of its own, or RabbitMQ where that is installed."""

import base64
import subprocess
from typing import Any, Protocol

import orjson
from kombu import Connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pointledger.events import broker
from pointledger.settings import Settings
from tests.rabbitmq import RabbitMQ

_AT_ONCE = 1_000  # messages of a Valkey's queue
_ANSWER_SECONDS = 2


class EventsBroker(Protocol):
    """A broker and its queues.

    `ready` and `unacknowledged` count the messages of a queue that no consumer has, and those that one has
    taken. `received` returns the bodies of a queue in the order of their arrival; nothing else may take them.
    """

    def ready(self, queue: str) -> int: ...

    def unacknowledged(self, queue: str) -> int: ...

    def received(self, queue: str) -> list[bytes]: ...

    def close(self) -> None: ...


class ValkeyEvents:
    """A Valkey: queues are lists, the newest message first."""

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(
            url, decode_responses=True, socket_timeout=_ANSWER_SECONDS, retry=Retry(NoBackoff(), 0)
        )

    def ready(self, queue: str) -> int:
        return self._client.llen(queue)

    def unacknowledged(self, queue: str) -> int:
        takers = self._client.smembers(f"{queue}:takers")
        return sum(self._client.llen(f"{queue}:taken:{name!s}") for name in takers)

    def received(self, queue: str) -> list[bytes]:
        bodies: list[bytes] = []
        for start in range(0, self._client.llen(queue), _AT_ONCE):
            end = -1 - start
            packed = reversed(self._client.lrange(queue, end - _AT_ONCE + 1, end))
            bodies += [base64.b64decode(orjson.loads(each)["body"]) for each in packed]
        return bodies

    def close(self) -> None:
        self._client.close()


class RabbitEvents:
    """A RabbitMQ. What was received is kept here, because reading a queue takes its messages."""

    def __init__(self, server: RabbitMQ, ingest_queue: str) -> None:
        self._server = server
        self._connection = Connection(server.url, connect_timeout=_ANSWER_SECONDS)
        self._received: dict[str, list[bytes]] = {}
        # RabbitMQ drops a message for a queue that does not exist, and a client may send before ingest runs.
        arguments = broker.queue_arguments(server.url)
        broker.declare_as_it_is(self._connection, ingest_queue, arguments)

    def ready(self, queue: str) -> int:
        declared: Any = self._connection.default_channel.queue_declare(queue, passive=True)
        return int(declared.message_count)

    def unacknowledged(self, queue: str) -> int:
        command = self._server.command("--silent", "list_queues", "name", "messages_unacknowledged")
        done = subprocess.run(command, env=self._server.env, check=True, capture_output=True, text=True)
        counts = dict(line.split("\t") for line in done.stdout.splitlines())
        return int(counts[queue])

    def received(self, queue: str) -> list[bytes]:
        known = self._received.setdefault(queue, [])
        channel: Any = self._connection.default_channel
        while message := channel.basic_get(queue, no_ack=True):
            body = message.body
            known.append(body if isinstance(body, bytes) else body.encode())
        return known

    def close(self) -> None:
        self._connection.release()


def opened_events(rabbitmq: RabbitMQ | None, settings: Settings) -> EventsBroker:
    """Return the broker of events: this RabbitMQ, or else the Valkey of the settings."""
    if rabbitmq:
        return RabbitEvents(rabbitmq, settings.ingest_queue)
    return ValkeyEvents(settings.events)
