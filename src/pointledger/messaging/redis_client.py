"""Connects to Redis with bounded timeouts and retries."""

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from pointledger.messaging import redis_url
from pointledger.settings import Settings

_TIMEOUT_SECONDS = 1.0  # the ledger works without Redis, so it does not wait for a slow one
_RETRIES = 2
_MOST_IN_LOOP = 10  # connections: a subscription, and rings of a fraction of a millisecond each
_BACKOFF = ExponentialBackoff(cap=0.1, base=0.01)
_SETTING = "POINTLEDGER_REDIS_URL"


class _PoolInLoop(redis.asyncio.BlockingConnectionPool):
    """Lets tasks wait for a connection: there can be many more of them than threads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_connections": _MOST_IN_LOOP, "timeout": _TIMEOUT_SECONDS, **options})


def connect(settings: Settings) -> redis.Redis:
    """Return a client that gives up soon, because the ledger works without Redis. Raise NotConfigured."""
    return redis_url.client(
        redis_url.read(settings.redis, _SETTING), **_bounded(), retry=Retry(_BACKOFF, _RETRIES)
    )


def connect_in_loop(settings: Settings) -> redis.asyncio.Redis:
    """Return the same for the tasks of one event loop. Raise NotConfigured."""
    retry = redis.asyncio.retry.Retry(_BACKOFF, _RETRIES)
    url = redis_url.read(settings.redis, _SETTING)
    return redis_url.asyncio_client(url, _PoolInLoop, **_bounded(), retry=retry)


def connect_asyncio(
    settings: Settings, timeout_seconds: float | None, connect_seconds: float
) -> redis.asyncio.Redis:
    """Return a client for asyncio. `timeout_seconds` is None for a subscription. Raise NotConfigured."""
    return redis_url.asyncio_client(
        redis_url.read(settings.redis, _SETTING),
        decode_responses=True,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=connect_seconds,
        socket_keepalive=True,
    )


def _bounded() -> dict[str, Any]:
    return {
        "decode_responses": True,
        "socket_timeout": _TIMEOUT_SECONDS,
        "socket_connect_timeout": _TIMEOUT_SECONDS,
        "health_check_interval": 10,
    }
