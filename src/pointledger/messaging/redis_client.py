"""Connections to Redis, with bounded waits and retries."""

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from pointledger.errors import NotConfigured
from pointledger.settings import Settings

_TIMEOUT_SECONDS = 1.0  # a Redis that takes longer is done without


_RETRIES = 2


def connect(settings: Settings) -> redis.Redis:
    """A client that gives up soon: nothing of value waits for Redis. Raises NotConfigured."""
    try:
        return redis.Redis.from_url(
            settings.redis,
            decode_responses=True,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            health_check_interval=10,
            retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), _RETRIES),
        )
    except ValueError:
        raise NotConfigured("POINTLEDGER_REDIS_URL is not like redis://host:6379/0") from None
