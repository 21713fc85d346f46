"""Rate limits: token buckets in Redis, shared by all API processes.

A process draws tokens in portions, so few requests need Redis. If Redis is down, each process limits by
itself.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis.asyncio
from redis.exceptions import RedisError

from pointledger.logs import Log, Outage

_MAX_BUCKETS = 10_000  # principals in memory; Redis keeps the tokens of the others
_PORTIONS = 20  # per burst; a process that ends loses at most one portion
_PAUSE_SECONDS = 1.0  # without requests to Redis, after an error

# KEYS[1]: the bucket. ARGV: tokens per second, burst, tokens wanted, tokens needed at least. Returns the
# number of tokens granted, 0 if there are too few, and as text those that are left.
_DRAW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local rate, most, wanted, least = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = most
if kept[1] then
  tokens = math.min(most, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * rate / 1000)
end
local granted = math.min(wanted, math.floor(tokens))
if granted < least then granted = 0 end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - granted), 'at', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(most / rate * 1000) + 1000)
return {granted, tostring(tokens - granted)}
"""

_log = Log(__name__)


@dataclass(slots=True)
class _Bucket:
    """One principal in this process: tokens drawn from Redis, and a local bucket for when Redis is down."""

    drawn: int = 0
    in_redis: float = math.inf  # tokens at most in Redis at `in_redis_at`; other processes draw them, too
    in_redis_at: float = 0.0
    local: float = math.inf  # tokens left while Redis is down; capped by the burst
    local_at: float = 0.0
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)


class RateLimits:
    """The buckets of one kind. `rate` is tokens per second, `burst` the capacity of a bucket."""

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
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._portion = max(1, burst // _PORTIONS)
        self._buckets: dict[str, _Bucket] = {}
        self._without_redis_until = 0.0
        self._redis = Outage(_log, "rate_limit")

    async def take(self, name: str, cost: int = 1) -> int | None:
        """Take tokens, all or none. Returns None, or the seconds until a retry can succeed."""
        assert cost <= self.burst, "a bucket can never hold more"
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= _MAX_BUCKETS:
                self._buckets.clear()
            bucket = self._buckets[name] = _Bucket()
        if bucket.drawn < cost:
            async with bucket.drawing:  # one request draws for all; a portion for each would waste tokens
                return await self._take(name, bucket, cost)
        bucket.drawn -= cost
        return None

    async def _take(self, name: str, bucket: _Bucket, cost: int) -> int | None:
        if bucket.drawn >= cost:  # drawn by the request that held the lock
            bucket.drawn -= cost
            return None
        now = self._clock()
        if now < self._without_redis_until:
            return self._take_local(bucket, cost, now)
        least = cost - bucket.drawn
        if (at_most := bucket.in_redis + (now - bucket.in_redis_at) * self.rate) < least:
            return self._seconds_until(least - at_most)
        try:
            key = f"{self._prefix}:{name}"
            wanted = max(self._portion, least)
            granted, left = await self._draw(keys=[key], args=[self.rate, self.burst, wanted, least])
        except (RedisError, OSError) as error:
            self._without_redis_until = self._clock() + _PAUSE_SECONDS
            self._redis.noticed(error)
            return self._take_local(bucket, cost, now)
        self._redis.over()
        if granted:
            bucket.drawn += int(granted) - cost
            bucket.in_redis = math.inf
            return None
        bucket.in_redis, bucket.in_redis_at = float(left), now
        return self._seconds_until(least - float(left))

    def _take_local(self, bucket: _Bucket, cost: int, now: float) -> int | None:
        bucket.local = min(self.burst, bucket.local + (now - bucket.local_at) * self.rate)
        bucket.local_at = now
        if bucket.local < cost:
            return self._seconds_until(cost - bucket.local)
        bucket.local -= cost
        return None

    def _seconds_until(self, missing: float) -> int:
        return max(1, math.ceil(missing / self.rate))
