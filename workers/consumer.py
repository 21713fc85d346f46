"""Drops and logs malformed messages.

Celery itself would stop the worker and return the message to the queue, where it would stop the next worker.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.worker.consumer import Consumer as CelerysConsumer
from kombu.message import Message

from pointledger.logs import Log

# Celery raises these for a message whose parts have unexpected types. It handles the errors of tasks itself.
_MALFORMED = (TypeError, ValueError, LookupError, AttributeError)

_WAKE_SECONDS = 0.25  # as long as a time slice

_NAME = "pointledger.workers"
_log = Log(_NAME)


class Consumer(CelerysConsumer):
    """Celery's consumer, which drops malformed messages and stops in time."""

    def register_with_event_loop(self, hub: Any) -> None:
        """Wake the loop now and then. On RabbitMQ it sleeps until a message arrives, so SIGTERM took 10 s."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(_WAKE_SECONDS, lambda: None)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Message], None]:
        """Return the handler of messages."""
        handle = super().create_task_handler(*args, **kwargs)

        def handle_or_drop(message: Message) -> None:
            message.ack_log_error = partial(_ack, message)
            try:
                handle(message)
            except _MALFORMED as error:
                _log.error("message_refused", action="task", rule="malformed", error=type(error).__name__)
                if not message.acknowledged:
                    message.ack_log_error(logging.getLogger(_NAME), self.connection_errors)

        return handle_or_drop


def _ack(message: Message, _log_of_celery: Any, errors: tuple[type[Exception], ...], **options: Any) -> None:
    """Acknowledge a message. If that fails, raise, so that Celery connects again.

    kombu would only log it and count the message as being worked on. A worker takes one at a time, so it
    would never take another.
    """
    try:
        message.ack(**options)
    except errors as error:
        _log.warning("ack_failed", action="task", error=type(error).__name__)
        raise
