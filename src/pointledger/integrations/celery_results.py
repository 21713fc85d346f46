"""Maps outcomes to Celery's results.

Applied and refused outcomes are results, because a refusal is a valid answer. A dead command is a failure:
`get()` raises `CommandDead`.
"""

from typing import Any

from celery import Celery, states
from redis.exceptions import RedisError

from pointledger.domain.commands.outcomes import Outcome
from pointledger.errors import BrokerAway, CommandDead
from pointledger.messaging import redis_url
from pointledger.messaging.redis_url import KombuUrl
from pointledger.settings import Settings

_TIMEOUT_SECONDS = 4.0

Result = dict[str, Any] | CommandDead | None


def state_and_result(outcome: Outcome) -> tuple[str, Result]:
    """Map an outcome to SUCCESS with its JSON, FAILURE with an exception, or PENDING with None."""
    if outcome.state == "dead":
        return states.FAILURE, CommandDead(f"{outcome.task_id}: {outcome.message}")
    if outcome.is_final:
        return states.SUCCESS, outcome.as_json()
    return states.PENDING, None


def _backend(url: str) -> KombuUrl:
    """Return the URL for Celery's Redis backend, which names a Unix socket without `redis+`."""
    redis = redis_url.for_kombu(redis_url.read(url, "POINTLEDGER_RESULT_URL"))
    return redis._replace(url=redis.url.removeprefix("redis+"))


class ResultWriter:
    """Writes outcomes to Redis in the format of Celery's Redis backend.

    Any Celery client can read and await them. Their keys expire after `result_seconds`.
    """

    def __init__(self, settings: Settings) -> None:
        self._app = Celery("pointledger.results", set_as_current=False)
        redis = _backend(settings.result_url) if settings.result_url else KombuUrl("", {}, None)
        self._app.conf.update(
            result_backend=redis.url or None,
            redis_backend_use_ssl=redis.ssl,
            result_expires=settings.result_seconds,
            result_serializer="json",
            # No retries here, because the callback sender retries.
            result_backend_transport_options={
                "retry_policy": {"max_retries": 0, "timeout": _TIMEOUT_SECONDS},
                **redis.transport_options,
            },
            redis_socket_timeout=_TIMEOUT_SECONDS,
            redis_socket_connect_timeout=_TIMEOUT_SECONDS,
            redis_backend_health_check_interval=10,
            redis_retry_on_timeout=False,
        )

    def send(self, task_id: str, outcome: Outcome) -> None:
        """Store the result and notify clients that wait for it. Raises BrokerAway."""
        state, result = state_and_result(outcome)
        try:
            self._app.backend.store_result(task_id, result, state)
        except (RedisError, OSError) as error:
            raise BrokerAway(f"POINTLEDGER_RESULT_URL: {type(error).__name__}") from error

    def close(self) -> None:
        """Close its connections."""
        self._app.close()
