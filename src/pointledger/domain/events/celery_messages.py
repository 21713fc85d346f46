"""Messages of Celery's protocol, versions 1 and 2, as commands. Pure.

They come from any client in any language, so everything is checked here, and nothing raises: what is no
command is told by a reason and a sentence, beside as much as could be read. Its sender waits for an answer
under the task id.
"""

import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, NamedTuple

from pointledger.domain.commands import KINDS, AnyCommand, command_from
from pointledger.domain.commands.outcomes import IDEMPOTENCY_KEY_REUSED as KEY_REUSED
from pointledger.domain.commands.outcomes import INVALID_COMMAND
from pointledger.domain.events.celery_callbacks import Callback, Unsupported, callbacks_of, refuse_chord
from pointledger.domain.values.fields import EARLIEST, LATEST
from pointledger.domain.values.json_values import read_json
from pointledger.errors import InvalidCommand

MAX_BYTES = 256 * 1024  # of a body: an opening balance of a thousand lots is half as long
_SHOWN_CHARACTERS = 100  # of a text of the sender's making in a sentence of ours
_LZMA_BYTES = 64 * 1024 * 1024  # of memory for unpacking: what `xz -6` asks for, and some more

JSON = "application/json"


class TaskReject(StrEnum):
    """Why a message became no command, in order of precedence."""

    TOO_LARGE = "TOO_LARGE"
    NOT_JSON = "NOT_JSON"
    UNREADABLE = "UNREADABLE"
    UNSUPPORTED = "UNSUPPORTED"
    UNKNOWN_TASK = "UNKNOWN_TASK"
    EXPIRED = "EXPIRED"
    POSITIONAL_ARGUMENTS = "POSITIONAL_ARGUMENTS"
    INVALID_COMMAND = INVALID_COMMAND
    IDEMPOTENCY_KEY_REUSED = KEY_REUSED


class Rejected(Exception):
    """The message is no command: for which reason, and what is wrong with it."""

    def __init__(self, reason: TaskReject, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Rejection(NamedTuple):
    """Why a message is no command, in a word and in a sentence."""

    reason: TaskReject
    message: str


def task_name(kind: str) -> str:
    """The Celery task that asks for commands of this kind: `points.apply_rule`."""
    return f"points.{kind.replace('-', '_')}"


_KINDS = {task_name(kind): kind for kind in KINDS}


@dataclass(slots=True)
class TaskMessage:
    """What could be read of a message. `task_id` as its sender wrote it; `eta` and `expires` in UTC;
    `rejection`: why it is no command, as far as that can be told without a clock."""

    task_id: str | None = None
    name: str | None = None
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    eta: datetime | None = None
    expires: datetime | None = None
    callbacks: tuple[Callback, ...] = ()
    wants_result: bool = True
    rejection: Rejection | None = None
    embedded: dict[str, Any] = field(default_factory=dict)  # callbacks as they came

    @property
    def kind(self) -> str | None:
        """The kind of command that it asks for."""
        return _KINDS.get(self.name or "")

    @property
    def tenant_id(self) -> str | None:
        """The tenant that it names, if it names one."""
        named = self.kwargs.get("tenant_id")
        return named if isinstance(named, str) else None

    def command(self, now: datetime) -> AnyCommand:
        """The command that it asks for. Raises Rejected."""
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
            return command_from(self.kind, {**self.kwargs, "id": self.task_id})
        except InvalidCommand as error:
            raise Rejected(TaskReject.INVALID_COMMAND, str(error.args[0])) from None

    def as_json(self) -> bytes:
        """The message as a body of protocol 1, which `read` takes again."""
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
    """A message as the broker delivered it, whichever protocol it has."""
    found = TaskMessage()
    headers = headers or {}
    try:
        found.name, found.task_id = _text(headers.get("task")), _text(headers.get("id")) or correlation_id
        found.wants_result = not headers.get("ignore_result", False)
        document = _document(_plain(body, headers.get("compression")), content_type, content_encoding)
        if isinstance(document, dict):
            _take_version_1(found, document)
        else:
            _take_version_2(found, document, headers)
        _check(found)
    except Rejected as error:
        found.rejection = Rejection(error.reason, str(error))
    return found


# ----------------------------------------------------------------------------------------------- the body


def _plain(body: bytes, compression: Any) -> bytes:
    """Without compression. Raises Rejected for what unpacks to more than is taken."""
    if len(body) > MAX_BYTES:
        raise _too_large(f"{len(body)} bytes")
    if compression in (None, ""):
        return body
    unpack = _UNPACKERS.get(str(compression))
    if unpack is None:
        known = "zlib (gzip), bzip2 and lzma"
        raise Rejected(
            TaskReject.UNSUPPORTED, f"compression: {known} are understood, not {_show(compression)}"
        )
    try:
        plain, is_all = unpack(body)
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError):
        raise Rejected(TaskReject.UNREADABLE, f"body: is not {_show(compression)}") from None
    if not is_all:
        raise _too_large("more when unpacked")
    return plain


def _too_large(seen: str) -> Rejected:
    return Rejected(TaskReject.TOO_LARGE, f"body: {seen}; a message has {MAX_BYTES} bytes at most")


def _unzip(body: bytes) -> tuple[bytes, bool]:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # what kombu calls gzip is zlib's format: either is
    plain = unpacker.decompress(body, MAX_BYTES)
    return plain, unpacker.eof


def _unbz2(body: bytes) -> tuple[bytes, bool]:
    unpacker = bz2.BZ2Decompressor()
    plain = unpacker.decompress(body, MAX_BYTES)
    return plain, unpacker.eof


def _unlzma(body: bytes) -> tuple[bytes, bool]:
    unpacker = lzma.LZMADecompressor(memlimit=_LZMA_BYTES)
    plain = unpacker.decompress(body, MAX_BYTES)
    return plain, unpacker.eof


# By the names that kombu writes.
_UNPACKERS: dict[str, Callable[[bytes], tuple[bytes, bool]]] = {
    "application/x-gzip": _unzip,
    "application/x-bz2": _unbz2,
    "application/x-lzma": _unlzma,
}


def _document(body: bytes, content_type: str | None, content_encoding: str | None) -> Any:
    kind = (content_type or JSON).partition(";")[0].strip().lower()
    if kind != JSON:
        raise Rejected(TaskReject.NOT_JSON, f"content type: {_show(kind)}; send JSON: serializer='json'")
    if (content_encoding or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii", "binary"):
        raise Rejected(TaskReject.NOT_JSON, f"content encoding: {_show(content_encoding)}; send UTF-8")
    try:
        return _untyped(read_json(body))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError, JSONDecodeError
        told = str(error) if type(error) is ValueError else type(error).__name__
        raise Rejected(TaskReject.UNREADABLE, f"body: not strict JSON: {told}") from None


_TYPED = {"__type__", "__value__"}
_AS_TEXT = ("datetime", "date", "time", "decimal", "bytes")


def _untyped(value: Any) -> Any:
    """kombu writes what JSON has no form for with its type beside it; our fields take it as text."""
    if isinstance(value, list):
        return [_untyped(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == _TYPED:
        kind, inner = value["__type__"], value["__value__"]
        if kind in _AS_TEXT and isinstance(inner, str):
            return inner
        if kind == "uuid" and isinstance(inner, dict) and isinstance(inner.get("hex"), str):
            return _dashed(inner["hex"])
    return {name: _untyped(part) for name, part in value.items()}


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# ----------------------------------------------------------------------------------------- the protocols


def _take_version_1(found: TaskMessage, document: dict[str, Any]) -> None:
    """Everything is in the body."""
    found.name = _text(document.get("task")) or found.name
    found.task_id = _text(document.get("id")) or found.task_id
    found.wants_result = found.wants_result and not document.get("ignore_result", False)
    _take_arguments(found, document.get("args"), document.get("kwargs"), document)
    _take_moments(found, document)


def _take_version_2(found: TaskMessage, document: Any, headers: Mapping[str, Any]) -> None:
    """The name, the id and the moments are in the headers; the body has arguments and callbacks."""
    if not isinstance(document, list) or len(document) != 3:  # noqa: PLR2004  (as the protocol has it)
        raise _unreadable("body: a list of args, kwargs and callbacks, as protocol 2 has it")
    args, kwargs, embedded = document
    _take_arguments(found, args, kwargs, embedded or {})
    _take_moments(found, headers)


def _take_arguments(found: TaskMessage, args: Any, kwargs: Any, embedded: Any) -> None:
    args, kwargs = args or [], kwargs or {}
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not isinstance(embedded, dict):
        raise _unreadable("body: args is a list, kwargs an object, callbacks an object")
    found.args, found.kwargs = args, kwargs
    found.embedded = {name: embedded.get(name) for name in ("callbacks", "errbacks", "chain", "chord")}


def _take_moments(found: TaskMessage, told: Mapping[str, Any]) -> None:
    found.eta, found.expires = _moment(told, "eta"), _moment(told, "expires")


def _moment(told: Mapping[str, Any], name: str) -> datetime | None:
    """A moment in ISO 8601; without an offset it is in UTC, as the protocol has it."""
    text = told.get(name)
    if text in (None, "", False):
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if EARLIEST <= moment < LATEST:
            return moment
    except (TypeError, ValueError, OverflowError):
        pass
    raise _unreadable(f"{name}: a moment between the years 1900 and 9000 in ISO 8601")


def _check(found: TaskMessage) -> None:
    """What makes it no command whenever it is read."""
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
        return "task: the message names none"
    close = get_close_matches(name[:_SHOWN_CHARACTERS], _KINDS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(_KINDS))}"
    return f"task: no command is called {_show(name)}; {hint}"


def _unreadable(message: str) -> Rejected:
    return Rejected(TaskReject.UNREADABLE, message)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _show(value: Any) -> str:
    """A text of the sender's making, so that it spoils no log and no terminal."""
    return str(value)[:_SHOWN_CHARACTERS].encode("unicode_escape").decode()


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
