"""Waits for the results of Celery tasks, in many threads at once.

One thread listens for all of them. That takes half of the client time of Celery's `get`, which subscribes for
each task, and whose threads read from one connection without a lock.
"""

import json
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.backends.base import KeyValueStoreBackend
from redis import Redis
from redis.client import PubSub

from tests.bench.environment import BenchmarkStuck

_WAIT_SECONDS = 30.0  # for one result; a longer wait counts as a failure
_SUBSCRIBE_SECONDS = 10.0
_CHECK_SECONDS = 0.1  # how soon the thread ends; a message wakes it at once
_FINAL = ("SUCCESS", "FAILURE")  # states; RETRY comes before


class CeleryResults:
    """Sends tasks and waits for their results.

    The workers' result backend is the Valkey at the URL. The sending app has none, so it does not subscribe.
    """

    def __init__(self, app: Celery, results_url: str) -> None:
        self._app = app
        self._waiting: dict[str, SimpleQueue[Mapping[str, Any]]] = {}
        self._client = Redis.from_url(results_url)
        self._subscription: PubSub = self._client.pubsub()  # type: ignore[no-untyped-call]

    def __enter__(self) -> "CeleryResults":
        pattern = f"{KeyValueStoreBackend.task_keyprefix}*"
        self._subscription.psubscribe(**{pattern: self._hand_over})
        if self._subscription.get_message(timeout=_SUBSCRIBE_SECONDS) is None:
            raise BenchmarkStuck("Valkey does not confirm a subscription")
        self._listener = self._subscription.run_in_thread(sleep_time=_CHECK_SECONDS, daemon=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.stop()
        self._listener.join()
        self._client.close()

    def result_of(self, task: str, arguments: Sequence[Any] = (), **fields: Any) -> Mapping[str, Any]:
        """Send a task, wait, and return its `status` and `result`. Raises TimeoutError."""
        task_id = str(uuid4())
        answer = self._waiting[task_id] = SimpleQueue()
        self._app.send_task(task, arguments, fields, task_id=task_id, argsrepr="-", kwargsrepr="-")
        try:
            return answer.get(timeout=_WAIT_SECONDS)
        except Empty:
            raise TimeoutError(f"no result of {task} after {_WAIT_SECONDS:.0f} s") from None
        finally:
            del self._waiting[task_id]

    def _hand_over(self, message: Mapping[str, Any]) -> None:
        result = json.loads(message["data"])
        if result["status"] in _FINAL and (answer := self._waiting.get(result["task_id"])):
            answer.put(result)
