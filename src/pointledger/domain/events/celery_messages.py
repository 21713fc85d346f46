"""Reads messages of Celery's protocol, versions 1 and 2, as commands. Pure.

Any client in any language can send them, so this module checks everything. `read` never raises: a message
that is not a command carries a rejection and all that could be read. Its sender waits for an outcome under
the task id.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from pointledger.domain.commands import KINDS, AnyCommand, command_from
from pointledger.domain.events.celery_body import JSON, document_of
from pointledger.domain.events.celery_callbacks import Callback, Unsupported, callbacks_of, refuse_chord
from pointledger.domain.events.celery_rejections import (
    QUOTED_CHARACTERS,
    Rejected,
    Rejection,
    TaskReject,
    quoted,
    unreadable,
)
from pointledger.domain.values.actor import check_actor
from pointledger.domain.values.fields import EARLIEST, LATEST
from pointledger.errors import InvalidCommand


def task_name(kind: str) -> str:
    """Return the name of the Celery task for a kind of command, like `points.apply_rule`."""
    return f"points.{kind.replace('-', '_')}"


_KINDS = {task_name(kind): kind for kind in KINDS}


@dataclass(slots=True)
class TaskMessage:
    """The readable parts of a message.

    `task_id` has the sender's spelling. `eta` and `expires` are in UTC. `rejection` says why the message is
    not a command, as far as that does not depend on the time.
    """

    task_id: str | None = None
    name: str | None = None
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    eta: datetime | None = None
    expires: datetime | None = None
    callbacks: tuple[Callback, ...] = ()
    wants_result: bool = True
    rejection: Rejection | None = None
    embedded: dict[str, Any] = field(default_factory=dict)  # callbacks as received

    @property
    def kind(self) -> str | None:
        """The kind of command that the message requests."""
        return _KINDS.get(self.name or "")

    @property
    def tenant_id(self) -> str | None:
        """The tenant that the message names, if any."""
        named = self.kwargs.get("tenant_id")
        return named if isinstance(named, str) else None

    def command(self, now: datetime) -> AnyCommand:
        """Build the command that the message requests. Raises Rejected."""
        if self.rejection:
            raise Rejected(*self.rejection)
        if self.expires and self.expires <= max(now, self.eta or now):
            raise Rejected(TaskReject.EXPIRED, f"expires: {_iso(self.expires)} had passed when it was read")
        if self.args:
            raise Rejected(
                TaskReject.POSITIONAL_ARGUMENTS,
                "args: fields are given by name, as kwargs; behind another task make the signature immutable",
            )
        if "id" in self.kwargs:
            raise Rejected(TaskReject.INVALID_COMMAND, "id: the message's task id is the command's id")
        try:
            check_actor(self.kwargs.get("actor"))
        except ValueError as error:
            raise Rejected(TaskReject.INVALID_COMMAND, str(error)) from None
        try:
            return command_from(self.kind, {**self.kwargs, "id": self.task_id})
        except InvalidCommand as error:
            raise Rejected(TaskReject.INVALID_COMMAND, str(error.args[0])) from None

    def as_json(self) -> bytes:
        """Serialize the message as a body of protocol 1, which `read` accepts."""
        moments = {"eta": self.eta, "expires": self.expires}
        document = (
            {"task": self.name, "id": self.task_id, "args": self.args, "kwargs": self.kwargs}
            | {name: moment.isoformat() for name, moment in moments.items() if moment}
            | {name: value for name, value in self.embedded.items() if value}
            | ({} if self.wants_result else {"ignore_result": True})
        )
        return json.dumps(document).encode()  # orjson has no integers beyond 64 bits, and no lone surrogates


def read(
    body: bytes,
    headers: Mapping[str, Any] | None = None,
    *,
    content_type: str | None = JSON,
    content_encoding: str | None = "utf-8",
    correlation_id: str | None = None,
) -> TaskMessage:
    """Read a message of either protocol, as the broker delivered it."""
    found = TaskMessage()
    headers = headers or {}
    try:
        found.name, found.task_id = _text(headers.get("task")), _text(headers.get("id")) or correlation_id
        found.wants_result = not headers.get("ignore_result", False)
        document = document_of(body, headers.get("compression"), content_type, content_encoding)
        if isinstance(document, dict):
            _read_version_1(found, document)
        else:
            _read_version_2(found, document, headers)
        _check(found)
    except Rejected as error:
        found.rejection = Rejection(error.reason, str(error))
    return found


def _read_version_1(found: TaskMessage, document: dict[str, Any]) -> None:
    """Read protocol 1, which has everything in the body."""
    found.name = _text(document.get("task")) or found.name
    found.task_id = _text(document.get("id")) or found.task_id
    found.wants_result = found.wants_result and not document.get("ignore_result", False)
    _read_arguments(found, document.get("args"), document.get("kwargs"), document)
    _read_moments(found, document)


def _read_version_2(found: TaskMessage, document: Any, headers: Mapping[str, Any]) -> None:
    """Read protocol 2, which has name, id and moments in the headers, arguments and callbacks in the body."""
    if not isinstance(document, list) or len(document) != 3:  # noqa: PLR2004  (the protocol's number)
        raise unreadable("body: protocol 2 requires a list of args, kwargs and callbacks")
    args, kwargs, embedded = document
    _read_arguments(found, args, kwargs, embedded or {})
    _read_moments(found, headers)


def _read_arguments(found: TaskMessage, args: Any, kwargs: Any, embedded: Any) -> None:
    args, kwargs = args or [], kwargs or {}
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not isinstance(embedded, dict):
        raise unreadable("body: args is a list, kwargs an object, callbacks an object")
    found.args, found.kwargs = args, kwargs
    found.embedded = {name: embedded.get(name) for name in ("callbacks", "errbacks", "chain", "chord")}


def _read_moments(found: TaskMessage, fields: Mapping[str, Any]) -> None:
    found.eta, found.expires = _moment(fields, "eta"), _moment(fields, "expires")


def _moment(fields: Mapping[str, Any], name: str) -> datetime | None:
    """Parse a moment in ISO 8601. The protocol defines a moment without an offset as UTC."""
    text = fields.get(name)
    if text in (None, "", False):
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if EARLIEST <= moment < LATEST:
            return moment
    except (TypeError, ValueError, OverflowError):
        pass
    raise unreadable(f"{name}: a moment between the years 1900 and 9000 in ISO 8601")


def _check(found: TaskMessage) -> None:
    """Check what does not depend on the time. Raises Rejected."""
    try:
        found.callbacks = callbacks_of(found.embedded)
        refuse_chord(found.embedded)
    except Unsupported as error:
        raise Rejected(TaskReject.UNSUPPORTED, str(error)) from None
    if found.kind is None:
        raise Rejected(TaskReject.UNKNOWN_TASK, _no_such_task(found.name))
    if found.task_id is None:
        raise Rejected(TaskReject.INVALID_COMMAND, "id: the message has no task id")


def _no_such_task(name: str | None) -> str:
    if not name:
        return "task: the message names no task"
    close = get_close_matches(name[:QUOTED_CHARACTERS], _KINDS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the tasks are {', '.join(sorted(_KINDS))}"
    return f"task: no command has the name {quoted(name)}; {hint}"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
