"""Rings doorbells: Celery messages that name a lane with pending commands.

A doorbell carries no work, so it can be lost, doubled or late. Beat rings every lane whose commands wait.
One doorbell on its way suffices for all lanes: Redis has the set of those that wait, and a worker takes all.
A worker that is idle needs no doorbell, because it receives the ring through Redis (`workers/idle.py`).
"""

import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
import redis
from celery import Celery
from kombu.connection import ConnectionPool
from kombu.exceptions import KombuError
from kombu.pools import ProducerPool
from kombu.utils.uuid import uuid

from pointledger import failpoints
from pointledger.logs import Log, Outage
from pointledger.messaging import contract
from pointledger.messaging.contract import LOOKING_MS, busy_key, idle_key, turn_keys
from pointledger.messaging.notifications import channel_of, notification_of
from pointledger.settings import Settings

_RUNG_TTL_MS = 2_000  # a lost doorbell keeps others quiet for no longer
_RING_LIVES_SECONDS = 60  # rings must not pile up under a long backlog; far more than clocks differ
_PAUSE_SECONDS = 1.0  # after Redis failed: until then callers do not wait for it again
_POOL_WAIT_SECONDS = 1.0
_BEAT_TTL_MS = 3_600_000  # beyond an hour the exact age of the last beat does not matter

_MAX_CONNECTIONS = 10  # to the broker: a publish takes a fraction of a millisecond

_LOOKING, _IDLE, _NONE = range(3)  # the workers of whom one suffices in place of a doorbell

# Wakes an idle worker, the one with the warmest caches. If none listens, it returns whether a doorbell is
# needed: none is on its way, and no worker takes the waiting lanes soon.
# KEYS: waiting, backlogs, hurry, door, looking, ahead, idle, busy, then `busy` of the live tenants
# ARGV: ttl, who suffices, number of lanes, these, then the live lanes, each with the position of its tenant
_RING = f"""
local live = 4 + tonumber(ARGV[3])
for i = 4, live - 1 do
    if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then redis.call('SADD', KEYS[1], ARGV[i]) end
end
if ARGV[live] and redis.call('EXISTS', KEYS[8]) == 1 then
    for i = live, #ARGV, 2 do
        if redis.call('EXISTS', KEYS[9 + ARGV[i + 1]]) == 0 then
            redis.call('SADD', KEYS[6], ARGV[i])
            redis.call('SET', KEYS[3], '1', 'PX', ARGV[1])
        end
    end
end
if ARGV[2] == '{_LOOKING}' and redis.call('EXISTS', KEYS[5]) == 1 then return 0 end
local idle = ARGV[2] ~= '{_NONE}' and redis.call('ZPOPMAX', KEYS[7])[1]
while idle do
    local receivers = redis.pcall('PUBLISH', KEYS[7] .. ':' .. idle, ARGV[4])
    if type(receivers) == 'number' and receivers > 0 then
        redis.call('SET', KEYS[5], idle, 'PX', {LOOKING_MS})
        return 0
    end
    idle = redis.call('ZPOPMAX', KEYS[7])[1]
end
if redis.call('SET', KEYS[4], '1', 'NX', 'PX', ARGV[1]) then return 1 end
return 0
"""

_log = Log(__name__)


class _Connections(ConnectionPool):  # type: ignore[misc]  # kombu has no types
    """A pool whose connections survive a fork; kombu's pool would close those of the parent process."""

    close_after_fork = False


class Doorbells:
    """Rings lanes through Celery, with at most one doorbell on its way; best effort, with time-outs."""

    def __init__(self, client: redis.Redis, app: Celery, settings: Settings) -> None:
        """Connect on first use."""
        self._client = client
        self._app = app
        self._settings = settings
        self._ring = client.register_script(_RING)
        self._turn_keys = turn_keys(settings.redis_prefix)
        self._queue = app.amqp.queues[contract.LANES_QUEUE]
        self._broker = app.connection_for_write()
        # Not the app's own pool: every user of kombu in the process shares it, and it is bounded.
        connections = _Connections(self._broker, limit=_MAX_CONNECTIONS)
        self._producers = ProducerPool(connections, limit=_MAX_CONNECTIONS, close_after_fork=False)
        self._errors = (*self._broker.connection_errors, *self._broker.channel_errors)
        self._errors += (redis.RedisError, KombuError, OSError)
        self._quiet_until = 0.0
        self._is_closed = False
        self._bell = Outage(_log, "ring", "doorbell_failed", "doorbell_works")
        self._redis = Outage(_log, "notify")

    def ring(
        self,
        lanes: Iterable[int],
        *,
        force: bool = False,
        beside: bool = False,
        live: Collection[tuple[int, str]] = (),
    ) -> None:
        """Note that the lanes wait. Wake an idle worker or send a doorbell, unless one is on its way or a
        worker looks soon.

        `beside`: send it although a worker looks soon, because that one has enough to do. `force`: send it
        in any case.

        Workers take the lanes with a backlog in turns. But if a tenant is busy, they look at the lanes of
        `live` as soon as they end a batch, unless their own tenant is busy.
        """
        wanted = sorted(set(lanes))
        if not wanted or self._is_closed or time.monotonic() < self._quiet_until:
            return
        try:
            unrung = (
                self._without_redis(wanted, live)
                if force
                else self._unrung(wanted, live, _IDLE if beside else _LOOKING)
            )
            if unrung:
                failpoints.before("publish")
                self._publish(unrung)
                failpoints.after("publish")
        except Exception as error:
            if self._is_closed:
                return  # `close` closed the connections while they were in use
            if not isinstance(error, self._errors):
                raise
            self._quiet_until = time.monotonic() + _PAUSE_SECONDS
            self._bell.noticed(error)
        else:
            self._bell.over()

    def notify(self, lanes: Iterable[int]) -> None:
        """Notify callers that wait for outcomes of the lanes."""
        failpoints.before("notify")
        try:
            self._client.publish(channel_of(self._settings), notification_of(lanes))
        except redis.RedisError as error:
            self._redis.noticed(error)
        else:
            self._redis.over()
        failpoints.after("notify")

    def lost(self, lanes: list[int]) -> list[int]:
        """Return the lanes that no worker holds while no doorbell is queued: theirs were lost.

        Return none if Redis is unavailable, because that explains the delay.
        """
        try:
            prefix = self._settings.redis_prefix
            tokens = self._client.mget([contract.lane_key(prefix, lane) for lane in lanes])
            if self._queued():
                return []
        except self._errors as error:
            self._redis.noticed(error)
            return []
        return [lane for lane, token in zip(lanes, tokens, strict=True) if token is None]

    def _queued(self) -> int:
        """Return the number of doorbells in Celery's queue."""
        with self._app.connection_for_read() as connection:
            try:
                queue = connection.default_channel.queue_declare(contract.LANES_QUEUE, passive=True)
            except connection.channel_errors:  # Redis has no empty lists
                return 0
            return int(queue.message_count)

    def record_beat(self) -> None:
        """Record that beat runs, and that a worker has received its message."""
        try:
            self._client.set(_beat_key(self._settings.redis_prefix), "1", px=_BEAT_TTL_MS)
        except redis.RedisError as error:
            self._redis.noticed(error)

    def close(self) -> None:
        """Close all connections. From now on `ring` does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._hang_up()
        self._client.close()
        self._app.close()

    def _hang_up(self) -> None:
        """Close the connections to the broker."""
        self._producers.force_close_all()
        self._producers.connections.force_close_all()

    def _without_redis(self, lanes: list[int], live: Collection[tuple[int, str]]) -> list[int]:
        """Return the lanes to name in doorbells: one, or all if Redis cannot note that they wait."""
        try:
            return self._unrung(lanes, live, _NONE) or lanes[:1]
        except redis.RedisError as error:
            self._redis.noticed(error)
            return lanes

    def _unrung(self, lanes: list[int], live: Collection[tuple[int, str]], suffices: int) -> list[int]:
        """Note that the lanes wait. Return the lane that a doorbell names, or none if none is needed."""
        prefix, tenants = self._settings.redis_prefix, sorted({tenant_id for _, tenant_id in live})
        positions = {tenant_id: position for position, tenant_id in enumerate(tenants)}
        busy_keys = [busy_key(prefix, tenant_id) for tenant_id in (None, *tenants)]
        keys = [*self._turn_keys, idle_key(prefix), *busy_keys]
        pairs = [part for lane, tenant_id in live for part in (lane, positions[tenant_id])]
        failpoints.before("mark-rung")
        is_new = self._ring(keys=keys, args=[_RUNG_TTL_MS, suffices, len(lanes), *lanes, *pairs])
        failpoints.after("mark-rung")
        return lanes[:1] if is_new else []

    def _publish(self, lanes: list[int]) -> None:
        # Not with `send_task`: it calls the program's signal handlers and makes a child of the current task.
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
                    argsrepr="-",  # building both takes a sixth of a publish (measured)
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


def seconds_since_beat(client: redis.Redis, settings: Settings) -> float | None:
    """Return the seconds since the last beat by the clock of Redis, or None if they are unknown."""
    try:
        milliseconds_left: int = client.pttl(_beat_key(settings.redis_prefix))
    except redis.RedisError:
        return None
    return (_BEAT_TTL_MS - milliseconds_left) / 1000 if milliseconds_left > 0 else None


class QueuedDoorbells(NamedTuple):
    """Doorbells in Celery's queue. `oldest_seconds` is None if there is none, or if it cannot be read."""

    waiting: int
    oldest_seconds: float | None


def queued_doorbells(broker: redis.Redis, settings: Settings) -> QueuedDoorbells:
    """Return the queued doorbells. `broker` is Celery's broker, a Redis. Raise RedisError."""
    queue = f"{settings.redis_prefix}:{contract.LANES_QUEUE}"
    waiting: int = broker.llen(queue)
    oldest = broker.lindex(queue, -1)
    if oldest is None:
        return QueuedDoorbells(waiting, None)
    try:
        ends_at = datetime.fromisoformat(orjson.loads(oldest)["headers"]["expires"])
        seconds_left = (ends_at - datetime.now(UTC)).total_seconds()
    except (ValueError, LookupError, TypeError):
        return QueuedDoorbells(waiting, None)
    return QueuedDoorbells(waiting, _RING_LIVES_SECONDS - seconds_left)


def _beat_key(prefix: str) -> str:
    return f"{prefix}:beat"
