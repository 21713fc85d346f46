"""Doorbells: telling workers that a lane has work, and those who wait that something was applied.

Nothing here is of value: a ring may be lost, doubled or late. The beat rings every lane that waits.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
import redis
from celery import Celery
from kombu import Connection
from kombu.connection import ConnectionPool
from kombu.exceptions import KombuError
from kombu.pools import ProducerPool
from kombu.utils.uuid import uuid

from pointledger import failpoints
from pointledger.errors import NotConfigured
from pointledger.logs import Log, Outage
from pointledger.messaging import contract
from pointledger.messaging.notifications import APPLIED, channel_of
from pointledger.settings import Settings

_DOOR_TTL_MS = 2_000  # a ring that was lost keeps its lane quiet no longer
_RING_LIVES_SECONDS = 60  # under a long backlog rings would pile up; far more than clocks may differ
_PAUSE_SECONDS = 1.0  # after Redis failed, how long callers are not made to wait for it again
_POOL_WAIT_SECONDS = 1.0
_BEAT_KNOWN_MS = 3_600_000  # an hour after beat was last heard nobody knows when

_MOST_CONNECTIONS = 10  # to the broker: a publish takes a fraction of a millisecond

_log = Log(__name__)


class _Connections(ConnectionPool):  # type: ignore[misc]  # kombu has no types
    """After a fork kombu would end the connections that a child has inherited, and so the parent's."""

    close_after_fork = False


class Doorbells:
    """Rings lanes through Celery, at most one waiting message per lane; best effort, within a deadline."""

    def __init__(self, client: redis.Redis, app: Celery, settings: Settings) -> None:
        """Connects when it must. Raises NotConfigured for a broker's URL that cannot be read."""
        self._client = client
        self._app = app
        self._settings = settings
        self._queue = app.amqp.queues[contract.LANES_QUEUE]
        self._broker = _broker_of(app)
        # Not the app's own pool: that is shared, and bounded, with all that use kombu in the same process.
        connections = _Connections(self._broker, limit=_MOST_CONNECTIONS)
        self._producers = ProducerPool(connections, limit=_MOST_CONNECTIONS, close_after_fork=False)
        self._errors = (*self._broker.connection_errors, *self._broker.channel_errors)
        self._errors += (redis.RedisError, KombuError, OSError)
        self._quiet_until = 0.0
        self._is_closed = False
        self._bell = Outage(_log, "ring", "doorbell_failed", "doorbell_works")
        self._redis = Outage(_log, "tell")

    def ring(self, lanes: Iterable[int], *, whatever_the_door_says: bool = False) -> None:
        """Tells the workers, unless a message for the lane is still on its way."""
        wanted = sorted(set(lanes))
        if not wanted or self._is_closed or time.monotonic() < self._quiet_until:
            return
        try:
            silent = wanted if whatever_the_door_says else self._silent(wanted)
            if silent:
                failpoints.before("publish")
                self._publish(silent)
                failpoints.after("publish")
        except Exception as error:
            if self._is_closed:
                return  # its connections were closed while it used them
            if not isinstance(error, self._errors):
                raise
            self._quiet_until = time.monotonic() + _PAUSE_SECONDS
            self._bell.noticed(error)
        else:
            self._bell.over()

    def tell(self, lane: int) -> None:
        """Wakes those who wait for outcomes of the lane."""
        failpoints.before("tell")
        try:
            self._client.publish(channel_of(self._settings, lane), APPLIED)
        except redis.RedisError as error:
            self._redis.noticed(error)
        else:
            self._redis.over()
        failpoints.after("tell")

    def unheard(self, lanes: list[int]) -> list[int]:
        """Those that nobody is at while no doorbell is on its way: theirs were lost. None, if Redis is away:
        then there is more to tell than that."""
        try:
            held = self._client.mget([f"{self._settings.redis_prefix}:lane:{lane}" for lane in lanes])
            if self._on_their_way():
                return []
        except self._errors as error:
            self._redis.noticed(error)
            return []
        return [lane for lane, token in zip(lanes, held, strict=True) if token is None]

    def _on_their_way(self) -> int:
        """How many doorbells lie in Celery's queue."""
        with self._app.connection_for_read() as connection:
            try:
                queue = connection.default_channel.queue_declare(contract.LANES_QUEUE, passive=True)
            except connection.channel_errors:  # Redis has no list that is empty
                return 0
            return int(queue.message_count)

    def hear_beat(self) -> None:
        """Notes that beat lives, and a worker that answers it."""
        try:
            self._client.set(_beat_key(self._settings.redis_prefix), "1", px=_BEAT_KNOWN_MS)
        except redis.RedisError as error:
            self._redis.noticed(error)

    def close(self) -> None:
        """Gives its connections back; from now on it rings no more."""
        self._is_closed = True
        self._producers.force_close_all()
        self._producers.connections.force_close_all()
        self._client.close()
        self._app.close()

    def _silent(self, lanes: list[int]) -> list[int]:
        """Those whose doorbell was not rung yet; now it is."""
        pipeline = self._client.pipeline(transaction=False)
        for lane in lanes:
            pipeline.set(f"{self._settings.redis_prefix}:door:{lane}", "1", nx=True, px=_DOOR_TTL_MS)
        failpoints.before("door")
        rung = pipeline.execute()
        failpoints.after("door")
        return [lane for lane, is_new in zip(lanes, rung, strict=True) if is_new]

    def _publish(self, lanes: list[int]) -> None:
        # Not by `send_task`: that calls the program's signal handlers, and makes a child of the task at hand.
        with (
            self._producers.acquire(block=True, timeout=_POOL_WAIT_SECONDS) as producer,
            producer.batch(),
        ):
            for lane in lanes:
                message = self._app.amqp.as_task_v2(
                    uuid(),
                    contract.DRAIN_TASK,
                    args=(lane,),
                    expires=_RING_LIVES_SECONDS,
                    ignore_result=True,
                    argsrepr="-",  # building them costs a sixth of a publish (measured)
                    kwargsrepr="-",
                )
                producer.publish(
                    message.body,
                    exchange="",
                    routing_key=self._queue.name,
                    declare=[self._queue],
                    serializer="json",
                    headers=message.headers,
                    **message.properties,
                )


def _broker_of(app: Celery) -> Connection:
    try:
        broker = app.connection_for_write()
        broker.get_transport_cls()
    except ImportError as error:
        raise NotConfigured(f"POINTLEDGER_BROKER_URL needs a library more: {error}") from error
    except (ValueError, LookupError) as error:  # whose text may be a part of a password
        raise NotConfigured("POINTLEDGER_BROKER_URL is not like redis://host or amqp://host") from error
    return broker


def beat_heard_seconds(client: redis.Redis, settings: Settings) -> float | None:
    """How long ago beat was heard, by Redis' own clock; None where nobody knows."""
    try:
        milliseconds_left: int = client.pttl(_beat_key(settings.redis_prefix))
    except redis.RedisError:
        return None
    return (_BEAT_KNOWN_MS - milliseconds_left) / 1000 if milliseconds_left > 0 else None


class Rings(NamedTuple):
    """Doorbells in Celery's queue. `oldest_seconds`: None when there is none, or the oldest is none."""

    waiting: int
    oldest_seconds: float | None


def rings(broker: redis.Redis, settings: Settings) -> Rings:
    """What nobody has answered yet. `broker` is Celery's, a Redis. Raises RedisError."""
    queue = f"{settings.redis_prefix}:{contract.LANES_QUEUE}"
    waiting: int = broker.llen(queue)
    oldest = broker.lindex(queue, -1)
    if oldest is None:
        return Rings(waiting, None)
    try:
        ends_at = datetime.fromisoformat(orjson.loads(oldest)["headers"]["expires"])
        seconds_left = (ends_at - datetime.now(UTC)).total_seconds()
    except (ValueError, LookupError, TypeError):
        return Rings(waiting, None)
    return Rings(waiting, _RING_LIVES_SECONDS - seconds_left)


def _beat_key(prefix: str) -> str:
    return f"{prefix}:beat"
