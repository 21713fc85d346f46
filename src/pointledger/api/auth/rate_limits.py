"""How often one may ask: token buckets, kept in Redis for all gateways together, drawn on in portions so that
few requests ask Redis. Without Redis each gateway counts for itself: limited still."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis.asyncio
from redis.exceptions import RedisError

from pointledger.logs import Log, Outage

_KEPT = 10_000  # principals; one that is forgotten starts with what Redis knows
_PORTION = 20  # of a burst, drawn at once: so much may a gateway that ends take with it
_PAUSE_SECONDS = 1.0  # after Redis failed, how long it is not asked

# KEYS[1]: the bucket. ARGV: tokens a second, most tokens, tokens wanted. Gives how many it grants and, where
# none, in how many milliseconds there is one.
_DRAW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local rate, most, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = most
if kept[1] then
  tokens = math.min(most, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * rate / 1000)
end
local granted = math.min(wanted, math.floor(tokens))
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - granted), 'at', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(most / rate * 1000) + 1000)
if granted > 0 then return {granted, 0} end
return {0, math.ceil((1 - tokens) / rate * 1000)}
"""

_log = Log(__name__)


@dataclass(slots=True)
class _Bucket:
    """One principal's, in this process: what it has drawn, and what it counts by itself without Redis."""

    drawn: int = 0
    empty_until: float = 0.0
    own: float = math.inf  # tokens left, while Redis is away; capped by the burst
    own_at: float = 0.0
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Buckets:
    """The buckets of one kind. `rate`: tokens a second; `burst`: the most that lie in a bucket."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        prefix: str,
        rate: int,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._draw = client.register_script(_DRAW)
        self._prefix = prefix
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._portion = max(1, burst // _PORTION)
        self._buckets: dict[str, _Bucket] = {}
        self._without_redis_until = 0.0
        self._redis = Outage(_log, "rate_limit")

    async def take(self, name: str) -> int | None:
        """Takes one token; None, or in how many seconds to ask again."""
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= _KEPT:
                self._buckets.clear()
            bucket = self._buckets[name] = _Bucket()
        if not bucket.drawn:
            async with bucket.drawing:  # one draws for all: each with a portion, they would empty it unused
                return await self._take(name, bucket)
        bucket.drawn -= 1
        return None

    async def _take(self, name: str, bucket: _Bucket) -> int | None:
        if bucket.drawn:  # by the one before
            bucket.drawn -= 1
            return None
        now = self._clock()
        if now < bucket.empty_until:
            return math.ceil(bucket.empty_until - now)
        if now < self._without_redis_until:
            return self._take_own(bucket, now)
        try:
            key = f"{self._prefix}:{name}"
            granted, wait_ms = await self._draw(keys=[key], args=[self._rate, self._burst, self._portion])
        except (RedisError, OSError) as error:
            self._without_redis_until = self._clock() + _PAUSE_SECONDS
            self._redis.noticed(error)
            return self._take_own(bucket, now)
        self._redis.over()
        if granted:
            bucket.drawn += int(granted) - 1
            return None
        bucket.empty_until = now + int(wait_ms) / 1000
        return max(1, math.ceil(int(wait_ms) / 1000))

    def _take_own(self, bucket: _Bucket, now: float) -> int | None:
        bucket.own = min(self._burst, bucket.own + (now - bucket.own_at) * self._rate)
        bucket.own_at = now
        if bucket.own < 1:
            return math.ceil((1 - bucket.own) / self._rate)
        bucket.own -= 1
        return None
