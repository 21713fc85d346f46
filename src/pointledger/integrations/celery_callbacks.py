"""Callbacks of commands by name: sent when their outcome is final, at least once, and never in its way.

    take some that are due -> their outcomes -> send each that its outcome asks for -> mark them, COMMIT

They become due in the transaction of the outcome. Whoever dies between sending and marking has them sent
again, under the same task ids. A server that is away leaves them due. What can't be sent for another reason
is tried again by itself, more and more rarely, and `pointledger doctor` tells of it.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol
from uuid import uuid5

import amqp
import redis
import sqlalchemy as sa
from celery import Celery, Signature
from kombu.exceptions import OperationalError

from pointledger import failpoints
from pointledger.domain.commands import KINDS
from pointledger.domain.commands.outcomes import Outcome
from pointledger.domain.events.celery_callbacks import first_tasks
from pointledger.domain.events.celery_messages import task_name
from pointledger.errors import BrokerAway
from pointledger.events import broker
from pointledger.events.retry import go_on
from pointledger.ids import is_id
from pointledger.integrations.celery_results import ResultWriter
from pointledger.logs import Log
from pointledger.messaging.celery_app import tls_options
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.queries import outcomes as outcome_queries
from pointledger.storage.queue import callbacks
from pointledger.storage.queue.callbacks import Due

_AT_ONCE = 100
_PRUNE_SECONDS = 60.0
_TIMEOUT_SECONDS = 4  # less than Postgres lets a transaction stand still: a sender waits within one
_DEFAULT_QUEUE = "celery"  # as every client of Celery's has it that says nothing else
_AWAY = (OperationalError, OSError, amqp.ConnectionError, redis.ConnectionError, redis.TimeoutError)
_AFTER = {"link": ("applied",), "chain": ("applied",), "link_error": ("refused", "dead")}

_log = Log(__name__)


class Destination(Protocol):
    """Where callbacks of a kind go. `send` raises BrokerAway when nobody is there."""

    def send(self, due: Due, outcome: Outcome) -> None: ...

    def close(self) -> None: ...


class Tasks:
    """Celery's broker: `link`, `link_error` and `chain` are sent as a worker of Celery's would send them,
    with the outcome as their first argument unless they are immutable."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.broker
        self._app = Celery("pointledger.integrations.celery_callbacks", set_as_current=False)
        self._app.conf.update(
            broker_url=settings.broker,
            broker_use_ssl=tls_options(settings.broker),
            broker_connection_timeout=_TIMEOUT_SECONDS,
            broker_pool_limit=10,  # a chain takes a connection of its own
            broker_pool_acquire_timeout=_TIMEOUT_SECONDS,
            broker_transport_options=broker.options(settings.broker),
            task_publish_retry=False,  # the row is still there
            task_serializer="json",
            # A queue that is not named is Celery's own default, but for commands of ours.
            task_default_queue=_DEFAULT_QUEUE,
            task_routes={task_name(kind): {"queue": settings.commands_queue} for kind in KINDS},
        )

    def send(self, due: Due, outcome: Outcome) -> None:
        parent = str(due.task_id)
        options: dict[str, Any] = {"parent_id": parent, "root_id": parent}
        signature = due.message
        if due.kind == "chain":
            *left, signature = due.message["chain"]
            options["chain"] = left
        if "task_id" not in (signature.get("options") or {}):
            # The same however often it is sent.
            options["task_id"] = str(uuid5(due.task_id, f"{due.kind} {due.place}"))
        try:
            self._make_queues(signature)
            Signature.from_dict(signature, app=self._app).apply_async(
                (outcome.as_json(),), declare=[], **options
            )
        except _AWAY as error:
            raise BrokerAway(type(error).__name__) from error

    def _make_queues(self, signature: dict[str, Any]) -> None:
        """RabbitMQ drops without a word what is sent to a queue that is not there."""
        if broker.is_redis(self._url):
            return
        with self._app.pool.acquire(block=True, timeout=_TIMEOUT_SECONDS) as connection:
            for task in first_tasks(signature):
                routed = self._app.conf.task_routes.get(task["task"], {"queue": _DEFAULT_QUEUE})
                queue = (task.get("options") or {}).get("queue") or routed["queue"]
                broker.declare_as_it_is(connection, queue, {})

    def close(self) -> None:
        self._app.close()


class Results:
    """Celery's result backend, where one is set up."""

    def __init__(self, settings: Settings) -> None:
        self._writer = ResultWriter(settings)

    def send(self, due: Due, outcome: Outcome) -> None:
        # Under the id as it was sent; one that no command can have is nowhere else to be found.
        as_sent = due.message["task_id"]
        self._writer.send(as_sent, outcome if is_id(as_sent) else replace(outcome, task_id=as_sent))

    def close(self) -> None:
        self._writer.close()


class CallbackSender:
    """Sends what is due to one destination: results, or tasks. Any number may run, in any process."""

    def __init__(self, database: sa.Engine, settings: Settings, destination: Destination) -> None:
        self._database = database
        self._settings = settings
        self._destination = destination
        self._sends_results = isinstance(destination, Results)
        self._prune_at = 0.0

    def step(self) -> int:
        """Sends some; how many were looked at. Raises BrokerAway, when what was sent by then is marked, and
        what the database raises; then it is sent again."""
        away: BrokerAway | None = None
        with transaction(self._database, self._settings) as connection:
            due = callbacks.take_due(connection, _AT_ONCE, results=self._sends_results)
            outcomes = outcome_queries.outcomes(connection, list({one.task_id for one in due}))
            done: list[int] = []
            failpoints.before("callbacks-send")
            try:
                for one in due:
                    if self._is_done(connection, one, outcomes[one.task_id]):
                        done.append(one.id)
            except BrokerAway as error:
                away = error
            failpoints.after("callbacks-send")
            callbacks.done(connection, done)
            failpoints.before("callbacks-commit")
        failpoints.after("callbacks-commit")
        if away:
            raise away
        return len(due)

    def run(
        self,
        stopping: Callable[[], bool],
        idle: Callable[[], object],
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Goes on, whatever is away, until `stopping`; `idle` waits while nothing is due."""

        def step() -> None:
            self._prune()
            if not self.step():
                idle()

        def tell(error: Exception, seconds: float) -> None:
            _log.warning("callbacks_wait", action="callbacks", error=str(error), seconds=seconds)

        # Nobody else in this process sends them: it goes on whatever happens.
        go_on(step, stopping, pause, passing=(Exception,), tell=tell)

    def close(self) -> None:
        """Gives its connections back."""
        self._destination.close()

    def _is_done(self, connection: sa.Connection, due: Due, outcome: Outcome) -> bool:
        """Sends it if its outcome asks for it. False: it has no outcome yet, or could not be sent."""
        if not outcome.is_final:
            callbacks.put_off(connection, due.id, None)
            return False
        if outcome.state not in _AFTER.get(due.kind, (outcome.state,)):
            return True
        try:
            self._destination.send(due, outcome)
        except BrokerAway:
            raise
        except Exception as error:  # what somebody wrote into a signature may be anything
            told = f"{type(error).__name__}: {error}"
            _log.warning("callback_not_sent", action="callbacks", kind=due.kind, error=type(error).__name__)
            callbacks.put_off(connection, due.id, told)
            return False
        return True

    def _prune(self) -> None:
        """Bounded, and now and then."""
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + _PRUNE_SECONDS
        with transaction(self._database, self._settings) as connection:
            callbacks.prune(connection, self._settings.result_seconds)
