"""What takes messages from the queues. One that Celery stumbles over is dropped, with a line in the log:
Celery itself would end the worker, give the message back, and the next worker would end of it, too."""

import logging
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer as CelerysConsumer
from kombu.message import Message

from pointledger.logs import Log

# What comes of a message whose parts are not of the types that Celery takes for granted. What a task raises
# does not come here: that is Celery's own to answer.
_MISSHAPEN = (TypeError, ValueError, LookupError, AttributeError)

_LOOK_SECONDS = 0.25  # as long as a turn

_NAME = "pointledger.workers"
_log = Log(_NAME)


class Consumer(CelerysConsumer):
    """Celery's, but for messages that are none, and it looks up when it is told to stop."""

    def register_with_event_loop(self, hub: Any) -> None:
        """On RabbitMQ its loop sleeps until something comes: SIGTERM was noticed after ten seconds."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(_LOOK_SECONDS, lambda: None)

    def create_task_handler(self, *given: Any, **more: Any) -> Callable[[Message], None]:
        """What is called with each message."""
        handle = super().create_task_handler(*given, **more)

        def handle_or_drop(message: Message) -> None:
            try:
                handle(message)
            except _MISSHAPEN as error:
                _log.error("message_refused", action="task", rule="misshapen", error=type(error).__name__)
                if not message.acknowledged:
                    message.ack_log_error(logging.getLogger(_NAME), self.connection_errors)

        return handle_or_drop
