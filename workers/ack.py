"""Acknowledges messages to the broker."""

from typing import Any

from kombu.message import Message

from pointledger.logs import Log

_log = Log("pointledger.workers")


def ack(message: Message, _log_of_celery: Any, errors: tuple[type[Exception], ...], **options: Any) -> None:
    """Acknowledge a message. If that fails, raise, so that Celery connects again.

    kombu would only log it and count the message as being worked on. A worker takes one at a time, so it
    would never take another.
    """
    try:
        message.ack(**options)
    except errors as error:
        _log.warning("ack_failed", action="task", error=type(error).__name__)
        raise
