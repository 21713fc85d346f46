"""Defines why a Celery message is rejected, and how a rejection quotes the message."""

from enum import StrEnum
from typing import Any, NamedTuple

from pointledger.domain.commands.outcomes import IDEMPOTENCY_KEY_REUSED as KEY_REUSED
from pointledger.domain.commands.outcomes import INVALID_COMMAND

QUOTED_CHARACTERS = 100  # of a sender's text in a message


class TaskReject(StrEnum):
    """The reasons why a message is not a command, in order of precedence."""

    TOO_LARGE = "TOO_LARGE"
    """The body has more than 256 KiB when it is unpacked. Send less at once."""

    NOT_JSON = "NOT_JSON"
    """The serializer is not JSON, or the encoding is not UTF-8. Use the serializer `json`."""

    UNREADABLE = "UNREADABLE"
    """The body, `eta` or `expires` is malformed. The message says where."""

    UNSUPPORTED = "UNSUPPORTED"
    """A chord, an unknown compression, or a callback to a queue that is not allowed. Send a group instead
    of a chord."""

    UNKNOWN_TASK = "UNKNOWN_TASK"
    """No kind of command has this task name. The message says the nearest one."""

    EXPIRED = "EXPIRED"
    """The message was read after its `expires`. Send it again if it still counts."""

    POSITIONAL_ARGUMENTS = "POSITIONAL_ARGUMENTS"
    """The task has positional arguments. Give the fields by name, as `kwargs`."""

    INVALID_COMMAND = INVALID_COMMAND
    """A field is missing, unknown or wrong. The message names it."""

    IDEMPOTENCY_KEY_REUSED = KEY_REUSED
    """The id or the key was used before with other content. Send the same content, or choose a new key."""


class Rejected(Exception):
    """The message is not a command. `reason` says why, and the text describes the error."""

    def __init__(self, reason: TaskReject, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Rejection(NamedTuple):
    """The reason why a message is not a command, and a sentence about it."""

    reason: TaskReject
    message: str


def unreadable(message: str) -> Rejected:
    """Return the error for a message that does not follow the protocol."""
    return Rejected(TaskReject.UNREADABLE, message)


def quoted(value: Any) -> str:
    """Escape and cut a sender's text, so that logs and terminals can show it."""
    return str(value)[:QUOTED_CHARACTERS].encode("unicode_escape").decode()
