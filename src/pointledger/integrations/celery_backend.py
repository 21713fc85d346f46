"""Celery's result backend over the journal, read-only: `AsyncResult(task_id).get()` is the outcome, for ever,
whichever door the command came through.

What it calls a result is said in `celery_results.py`.
"""

from typing import Any

from celery.backends.base import BaseBackend
from celery.exceptions import TimeoutError as CeleryTimeoutError

from pointledger.client.client import PointsClient
from pointledger.domain.commands.outcomes import INVALID_COMMAND, Outcome
from pointledger.errors import InvalidCommand, WaitTimedOut
from pointledger.integrations.celery_results import state_and_result

_FOR_EVER_SECONDS = 365 * 86_400.0  # what Celery means by no timeout


class OutcomeBackend(BaseBackend):
    """Reads outcomes as Celery results.

    Set `result_backend = "pointledger.integrations.celery_backend:OutcomeBackend"`. `POINTLEDGER_...` in the
    environment, or the app's `pointledger_settings`, name the servers.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Outcomes do not change, and who asks again asks Postgres again: a cache would be one more lock.
        super().__init__(*args, **kwargs | {"max_cached_results": -1})
        self.thread_safe = True  # one client for all threads, instead of one for each
        self._connected: PointsClient | None = None

    def wait_for(self, task_id: str, timeout: float | None = None, **_: Any) -> dict[str, Any]:
        """Celery's meta of the task once its outcome is final. Raises Celery's TimeoutError."""
        seconds = _FOR_EVER_SECONDS if timeout is None else timeout
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
        """Nothing: an outcome is kept; what this process remembers of it is gone by now."""

    def store_result(self, *_: Any, **__: Any) -> None:
        """Nothing: outcomes are written with their effects, and by nobody else."""

    def _client(self) -> PointsClient:
        """Made when it is first needed; processes that are forked may share it."""
        if self._connected is None:
            made = PointsClient.connect(self.app.conf.get("pointledger_settings"))
            self._connected = self._connected or made  # another thread may have been faster
        return self._connected


def _refused(task_id: str, error: InvalidCommand) -> Outcome:
    """What is no ULID and no UUID can be no command's id: who sent one under it shall not wait for ever."""
    return Outcome(task_id, state="refused", reason=INVALID_COMMAND, message=str(error))


def _meta(task_id: str, outcome: Outcome) -> dict[str, Any]:
    status, result = state_and_result(outcome)
    return {"task_id": task_id, "status": status, "result": result, "traceback": None, "children": []}
