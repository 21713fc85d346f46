"""Connects to Redis with bounded timeouts and retries."""

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from pointledger.errors import NotConfigured
from pointledger.settings import Settings

_TIMEOUT_SECONDS = 1.0  # the ledger works without Redis, so it does not wait for a slow one
_RETRIES = 2


def connect(settings: Settings) -> redis.Redis:
    """Return a client that gives up soon, because the ledger works without Redis. Raise NotConfigured."""
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
