"""Sends the callbacks of commands by name, at least once, after the outcome is final.

    claim some that are due -> read their outcomes -> send those that match the outcome -> mark them, COMMIT

A callback becomes due in the transaction of the outcome, and never delays it. If the sender dies before it
marks a callback, the callback is sent again under the same task id. If the server is away, callbacks stay
due. After any other error the sender retries that callback with growing delays, and `pointledger doctor`
reports it.
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
from pointledger.events.retry import run_with_backoff
from pointledger.ids import is_id
from pointledger.integrations.celery_results import ResultWriter
from pointledger.logs import Log, Outage
from pointledger.messaging.celery_app import broker_for_kombu
from pointledger.messaging.redis_url import is_redis
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.queries import outcomes as outcome_queries
from pointledger.storage.queue import callbacks
from pointledger.storage.queue.callbacks import DueCallback

_BATCH_SIZE = 100
_PRUNE_SECONDS = 60.0
_TIMEOUT_SECONDS = 4  # shorter than Postgres' idle timeout, because the sender waits in a transaction
_DEFAULT_QUEUE = "celery"  # Celery's own default
_AWAY = (OperationalError, OSError, amqp.ConnectionError, redis.ConnectionError, redis.TimeoutError)
_AFTER = {"link": ("applied",), "chain": ("applied",), "link_error": ("refused", "dead")}

_log = Log(__name__)


class Destination(Protocol):
    """Where callbacks of a kind go. `send` raises BrokerAway if the server does not answer."""

    def send(self, due: DueCallback, outcome: Outcome) -> None: ...

    def close(self) -> None: ...


class TaskDestination:
    """Celery's broker: sends `link`, `link_error` and `chain` as a Celery worker would.

    The outcome is the first argument of each task, unless its signature is immutable.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.broker
        kombu = broker_for_kombu(settings.broker, settings.setting_of("broker"))
        self._app = Celery("pointledger.integrations.celery_callbacks", set_as_current=False)
        self._app.conf.update(
            broker_url=kombu.url,
            broker_use_ssl=kombu.ssl,
            broker_connection_timeout=_TIMEOUT_SECONDS,
            broker_pool_limit=10,  # each chain uses another connection
            broker_pool_acquire_timeout=_TIMEOUT_SECONDS,
            broker_transport_options=broker.options(settings.broker) | kombu.transport_options,
            task_publish_retry=False,  # the row remains, so the sender retries
            task_serializer="json",
            # A task without a queue goes to Celery's default queue, a command to the commands queue.
            task_default_queue=_DEFAULT_QUEUE,
            task_routes={task_name(kind): {"queue": settings.commands_queue} for kind in KINDS},
        )

    def send(self, due: DueCallback, outcome: Outcome) -> None:
        parent = str(due.task_id)
        options: dict[str, Any] = {"parent_id": parent, "root_id": parent}
        signature = due.message
        if due.kind == "chain":
            *left, signature = due.message["chain"]
            options["chain"] = left
        if "task_id" not in (signature.get("options") or {}):
            # Derived, so that it is the same each time the callback is sent.
            options["task_id"] = str(uuid5(due.task_id, f"{due.kind} {due.place}"))
        try:
            self._declare_queues(signature)
            Signature.from_dict(signature, app=self._app).apply_async(
                (outcome.as_json(),), declare=[], **options
            )
        except _AWAY as error:
            raise BrokerAway(type(error).__name__) from error

    def _declare_queues(self, signature: dict[str, Any]) -> None:
        """Declare the queues, because RabbitMQ silently drops messages to a queue that does not exist."""
        if is_redis(self._url):
            return
        with self._app.pool.acquire(block=True, timeout=_TIMEOUT_SECONDS) as connection:
            for task in first_tasks(signature):
                routed = self._app.conf.task_routes.get(task["task"], {"queue": _DEFAULT_QUEUE})
                queue = (task.get("options") or {}).get("queue") or routed["queue"]
                broker.declare_as_it_is(connection, queue, {})

    def close(self) -> None:
        self._app.close()


class ResultDestination:
    """The Redis of POINTLEDGER_RESULT_URL: stores outcomes as Celery's results."""

    def __init__(self, settings: Settings) -> None:
        self._writer = ResultWriter(settings)

    def send(self, due: DueCallback, outcome: Outcome) -> None:
        # Stored under the id as the sender wrote it: a client looks it up by that text.
        as_sent = due.message["task_id"]
        self._writer.send(as_sent, outcome if is_id(as_sent) else replace(outcome, task_id=as_sent))

    def close(self) -> None:
        self._writer.close()


class CallbackSender:
    """Sends due callbacks to one destination: results or tasks. Any number of senders may run."""

    def __init__(self, database: sa.Engine, settings: Settings, destination: Destination) -> None:
        self._database = database
        self._settings = settings
        self._destination = destination
        self._sends_results = isinstance(destination, ResultDestination)
        self._prune_at = 0.0

    def step(self) -> int:
        """Send a batch of due callbacks and return its size.

        Raises BrokerAway after it has marked the callbacks that were sent. After a database error they
        are sent again.
        """
        away: BrokerAway | None = None
        with transaction(self._database, self._settings) as connection:
            due = callbacks.take_due(connection, _BATCH_SIZE, results=self._sends_results)
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
        """Send callbacks until `stopping()` is true, with retries. Call `idle` when none is due."""

        def step() -> None:
            self._prune()
            if not self.step():
                idle()

        outage = Outage(_log, "callbacks", "callbacks_wait", "callbacks_continue")
        # This is the only sender to its destination in this process, so it must survive every error.
        run_with_backoff(step, stopping, pause, outage=outage, expected=(BrokerAway,), survives_bugs=True)

    def close(self) -> None:
        """Close its connections."""
        self._destination.close()

    def _is_done(self, connection: sa.Connection, due: DueCallback, outcome: Outcome) -> bool:
        """Send the callback if it matches its outcome. False: it has no outcome yet, or sending failed."""
        if not outcome.is_final:
            callbacks.put_off(connection, due.id, None)
            return False
        if outcome.state not in _AFTER.get(due.kind, (outcome.state,)):
            return True
        try:
            self._destination.send(due, outcome)
        except BrokerAway:
            raise
        except Exception as error:  # a signature may contain anything, so any error is possible
            _log.warning("callback_not_sent", action="callbacks", kind=due.kind, error=type(error).__name__)
            callbacks.put_off(connection, due.id, f"{type(error).__name__}: {error}")
            return False
        return True

    def _prune(self) -> None:
        """Delete some old callbacks, once a minute."""
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + _PRUNE_SECONDS
        with transaction(self._database, self._settings) as connection:
            callbacks.prune(connection, self._settings.result_seconds)
