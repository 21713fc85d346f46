"""A read-only Celery result backend over the journal: `AsyncResult(task_id).get()` returns the outcome.

It finds the outcomes of commands from every entry point, and they do not expire. `celery_results.py` maps
outcomes to Celery's states.
"""

from typing import Any

from celery.backends.base import BaseBackend
from celery.exceptions import TimeoutError as CeleryTimeoutError

from pointledger.client.client import PointsClient
from pointledger.domain.commands.outcomes import INVALID_COMMAND, Outcome
from pointledger.errors import InvalidCommand, WaitTimedOut
from pointledger.integrations.celery_results import state_and_result

_NO_TIMEOUT_SECONDS = 365 * 86_400.0  # Celery's `timeout=None` waits without limit; a year is as good


class OutcomeBackend(BaseBackend):
    """Reads outcomes as Celery results.

    Set `result_backend = "pointledger.integrations.celery_backend:OutcomeBackend"`. Name the servers with
    `POINTLEDGER_...` variables, or with `pointledger_settings` in the app's configuration.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # No cache: reading Postgres again costs little, and the cache would add a lock.
        super().__init__(*args, **kwargs | {"max_cached_results": -1})
        self.thread_safe = True  # all threads share one client
        self._connected: PointsClient | None = None

    def wait_for(self, task_id: str, timeout: float | None = None, **_: Any) -> dict[str, Any]:
        """Wait for the final outcome and return Celery's task meta. Raises Celery's TimeoutError."""
        seconds = _NO_TIMEOUT_SECONDS if timeout is None else timeout
        try:
            return _meta(task_id, self._client().wait(task_id, seconds))
        except InvalidCommand as error:
            return _meta(task_id, _refused(task_id, error))
        except WaitTimedOut as error:
            raise CeleryTimeoutError(str(error)) from None

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        try:
            return _meta(task_id, self._client().outcome(task_id))
        except InvalidCommand as error:
            return _meta(task_id, _refused(task_id, error))

    def _forget(self, task_id: str) -> None:
        """Do nothing: the journal keeps outcomes, and this backend caches none."""

    def store_result(self, *_: Any, **__: Any) -> None:
        """Do nothing: only the engine writes outcomes, in the transaction of their effects."""

    def _client(self) -> PointsClient:
        """Return the client, connected on first use. Forked processes may share it."""
        if self._connected is None:
            connected = PointsClient.connect(self.app.conf.get("pointledger_settings"))
            self._connected = self._connected or connected  # another thread may have connected first
        return self._connected


def _refused(task_id: str, error: InvalidCommand) -> Outcome:
    """Refuse a text that is neither ULID nor UUID: no command has it, so a wait for it would never end."""
    return Outcome(task_id, state="refused", reason=INVALID_COMMAND, message=str(error))


def _meta(task_id: str, outcome: Outcome) -> dict[str, Any]:
    status, result = state_and_result(outcome)
    return {"task_id": task_id, "status": status, "result": result, "traceback": None, "children": []}
