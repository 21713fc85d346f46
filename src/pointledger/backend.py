"""Celery's result backend over the journal, read-only: `AsyncResult(task_id).get()` is the outcome, for ever,
whichever door the command came through.

Applied and refused are results: a refusal is an answer. Dead is a failure and raises `CommandDead`.
"""

import os
from typing import Any

from celery import states
from celery.backends.base import BaseBackend
from celery.exceptions import TimeoutError as CeleryTimeoutError

from pointledger.client import PointsClient
from pointledger.domain.outcomes import Outcome
from pointledger.errors import CommandDead, InvalidCommand, WaitTimedOut
from pointledger.settings import Settings

_FOR_EVER_SECONDS = 365 * 86_400.0  # what Celery means by no timeout


class OutcomeBackend(BaseBackend):
    """Set `result_backend = "pointledger.backend:OutcomeBackend"`; the servers are named by
    `POINTLEDGER_...` in the environment, or by the app's `pointledger_settings`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connected: tuple[int, PointsClient] | None = None

    def wait_for(self, task_id: str, timeout: float | None = None, **_: Any) -> dict[str, Any]:
        """Celery's meta of the task once its outcome is final. Raises Celery's TimeoutError."""
        seconds = _FOR_EVER_SECONDS if timeout is None else timeout
        try:
            return _meta(task_id, self._client().wait(task_id, seconds))
        except WaitTimedOut as error:
            raise CeleryTimeoutError(str(error)) from None

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        try:
            return _meta(task_id, self._client().outcome(task_id))
        except InvalidCommand:
            return _meta(task_id, Outcome(task_id))

    def store_result(self, *_: Any, **__: Any) -> None:
        """Nothing: outcomes are written with their effects, and by nobody else."""

    def _client(self) -> PointsClient:
        """This process's own: connections do not survive a fork."""
        if self._connected is None or self._connected[0] != os.getpid():
            settings = self.app.conf.get("pointledger_settings") or Settings()
            self._connected = os.getpid(), PointsClient.connect(settings)
        return self._connected[1]


def _meta(task_id: str, outcome: Outcome) -> dict[str, Any]:
    status = states.PENDING
    result: dict[str, Any] | CommandDead | None = None
    if outcome.state == "dead":
        status, result = states.FAILURE, CommandDead(f"{outcome.task_id}: {outcome.message}")
    elif outcome.is_final:
        status, result = states.SUCCESS, outcome.as_json()
    return {"task_id": task_id, "status": status, "result": result, "traceback": None, "children": []}
