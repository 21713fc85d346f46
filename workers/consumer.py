"""Keeps a worker alive when its broker fails, and drops and logs malformed messages.

Celery itself would end the worker at an error like READONLY, and would return a malformed message to the
queue, where it would stop the next worker.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.concurrency.solo import TaskPool
from celery.worker.consumer import Consumer as CelerysConsumer
from celery.worker.state import maybe_shutdown
from kombu.exceptions import KombuError
from kombu.message import Message
from redis.exceptions import RedisError

from pointledger.logs import Log, Outage
from pointledger.messaging.contract import LANES_QUEUE

from .ack import ack
from .celery import heartbeat
from .compressed import refuse_compressed_messages
from .idle import IdleWorker
from .lookout import Lookout

# Celery raises these for a message whose parts have unexpected types. It handles the errors of tasks itself.
_MALFORMED = (TypeError, ValueError, LookupError, AttributeError)

_WAKE_SECONDS = 0.25  # as long as a time slice
_POLL_SECONDS = 0.05  # while it pauses, so that SIGTERM stops it soon

# Redis reports an outage in three ways: as a lost connection, as an error reply (READONLY, OOM, BUSY and so
# on), and as an error that kombu has wrapped.
_BROKER_ERRORS = (RedisError, KombuError, OSError)
_BACKOFF_SECONDS = (0.25, 0.5, 1.0, 2.0)  # at most 2 s, so that the worker returns soon after the broker
_STEADY_SECONDS = (
    3.0  # a read-only Redis accepts connections and fails the first read, so the end comes later
)

# Their loggers repeat each error of the broker, some with a traceback, for as long as an outage lasts.
_REPEATING = ("kombu.asynchronous.hub", "celery.worker.consumer.consumer")

_NAME = "pointledger.workers"
_log = Log(_NAME)


class Consumer(CelerysConsumer):
    """Celery's consumer, which survives its broker, drops malformed messages and stops in time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refuse_compressed_messages()
        known: tuple[type[BaseException], ...] = self.conninfo.channel_errors
        self.channel_errors = (*known, *_BROKER_ERRORS)
        self._outage = Outage(_log, "receive", "broker_is_away", "broker_is_back")
        self._lookout = Lookout()
        self._idle = IdleWorker(self._takes_lanes)
        self._failures = 0
        self._failed_at = 0.0
        for name in _REPEATING:
            logging.getLogger(name).addFilter(self._is_news)

    def register_with_event_loop(self, hub: Any) -> None:
        """Wake the loop now and then. On RabbitMQ it sleeps until a message arrives, so SIGTERM took 10 s.

        The worker also beats, and looks for commands whose doorbells do not arrive. Celery cancels all
        timers when the connection fails.
        """
        super().register_with_event_loop(hub)
        hub.call_repeatedly(_WAKE_SECONDS, heartbeat.beat)
        hub.call_repeatedly(_POLL_SECONDS, self._lookout.look)
        hub.call_repeatedly(_STEADY_SECONDS, self._end_outage_if_steady)
        self._idle.open(hub)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, with pauses that stay short; Celery's own grow to half a minute."""

        def noticed(error: BaseException, _seconds: float) -> None:
            self._notice(error)

        first, *_, longest = _BACKOFF_SECONDS
        conn.ensure_connection(
            noticed,
            interval_start=first,
            interval_step=first,
            interval_max=longest,
            callback=self._continue_without_broker,
        )
        self.first_connection_attempt = False
        return conn

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        """Pause before Celery connects again."""
        self._pause(exc)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Let Celery close the connection, then pause before it connects again."""
        self._notice(exc)
        super().on_connection_error_after_connected(exc)
        self._pause(exc)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Message], None]:
        """Return the handler of messages."""
        handle = super().create_task_handler(*args, **kwargs)

        def handle_or_drop(message: Message) -> None:
            heartbeat.beat()
            self._lookout.note_message()
            message.ack_log_error = partial(ack, message)
            self._idle.leave()
            try:
                handle(message)
            except _MALFORMED as error:
                _log.error("message_refused", action="task", rule="malformed", error=type(error).__name__)
                if not message.acknowledged:
                    message.ack_log_error(logging.getLogger(_NAME), self.connection_errors)
            self._idle.wait()

        return handle_or_drop

    def on_close(self) -> None:
        """Let no ring wake this worker until it is connected again."""
        self._idle.close()
        super().on_close()

    def stop(self) -> None:
        """Stop. Rings go to others from now on."""
        self._idle.close()
        super().stop()

    def _takes_lanes(self) -> bool:
        """Return whether this worker runs its tasks itself, and receives doorbells."""
        consumer = self.task_consumer
        return isinstance(self.pool, TaskPool) and bool(consumer) and consumer.consuming_from(LANES_QUEUE)

    def _pause(self, error: BaseException) -> None:
        """Pause, longer after each failure, unless the worker must stop."""
        self._notice(error)
        end_at = time.monotonic() + _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += 1
        while time.monotonic() < end_at:
            self._continue_without_broker()
            time.sleep(_POLL_SECONDS)

    def _continue_without_broker(self) -> None:
        heartbeat.beat()
        maybe_shutdown()
        self._lookout.look()

    def _notice(self, error: BaseException) -> None:
        self._failed_at = time.monotonic()
        self._outage.noticed(error)

    def _end_outage_if_steady(self) -> None:
        if time.monotonic() - self._failed_at >= _STEADY_SECONDS:
            self._failures = 0
            self._outage.over()

    def _is_news(self, record: logging.LogRecord) -> bool:
        """Return False for a line about an error of the broker, because the outage has its own lines."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        errors = [record.exc_info[1] if record.exc_info else None, *arguments]
        found = next((error for error in errors if isinstance(error, _BROKER_ERRORS)), None)
        if found is not None:
            self._notice(found)
        return found is None
