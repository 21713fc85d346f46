"""Reads CloudEvents 1.0 in JSON, one or a list, as commands. Pure.

All that CloudEvents allows is accepted. A rejection names the invalid attribute. An event of a newer version
is deferred until a newer release can read it.
"""

import re
from base64 import b64decode
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pointledger.domain.commands import KINDS, AnyCommand
from pointledger.domain.events.producers import Producer
from pointledger.domain.values.extensions import check_extensions
from pointledger.domain.values.fields import EntityId, Label, Moment, TaskId
from pointledger.domain.values.json_values import read_json
from pointledger.domain.values.validation import describe
from pointledger.ids import milliseconds_of

MAX_BYTES = 64 * 1024  # per message: an event carries facts, not documents
MAX_EVENTS = 1000  # per message
VERSION = 1
_KNOWN_SPEC = (1, 0)
_OLDEST, _AHEAD = timedelta(hours=24), timedelta(seconds=60)  # of `iat`: an old message cannot be replayed
_KEY_CHARACTERS = 255  # the maximum of an idempotency key
_DIGEST_BYTES = 32  # of a pair that does not fit a key
_RANDOM_BYTES = 10

_SPEC = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_INTEGER = re.compile(r"-?[0-9]{1,10}")  # CloudEvents' integers have 32 bits
# `json`, or the structured suffix `+json` (RFC 6839), with or without parameters.
_JSON_TYPE = re.compile(r"[^/\s;]+/([^/\s;]+\+)?json\s*(;.*)?", re.IGNORECASE)
# Header prefixes for attributes in binary mode, by protocol binding: HTTP and RabbitMQ, Kafka, AMQP.
_HEADER_PREFIXES = ("ce-", "ce_", "cloudevents:", "cloudevents_")


class RejectReason(StrEnum):
    """The reasons why a message is not a command, in order of precedence."""

    TOO_LARGE = "TOO_LARGE"
    """The message has more than 64 KiB. Send fewer events at once."""

    REPLY_REFUSED = "REPLY_REFUSED"
    """The message asks for a reply to a queue. Ask for the outcome by its task id instead."""

    BINARY_MODE = "BINARY_MODE"
    """The attributes are in the headers, which the signature does not cover. Send structured mode."""

    UNSIGNED = "UNSIGNED"
    """The producer or its key is unknown, or the signature does not fit the bytes. Sign exactly the bytes
    that are sent."""

    QUOTA = "QUOTA"
    """The producer has sent more than its `per_minute`. The message is deferred, and tried again by
    itself."""

    UNREADABLE = "UNREADABLE"
    """The body is not strict JSON in UTF-8. The error says where."""

    UNKNOWN_VERSION = "UNKNOWN_VERSION"
    """The event is of a newer version than this program knows. The message is deferred, and tried again
    by itself."""

    INVALID_EVENT = "INVALID_EVENT"
    """An attribute is missing, unknown or wrong. The error names it."""

    STALE = "STALE"
    """`iat` is older than 24 hours, or more than 60 seconds ahead. Send the event anew, and set the
    clock."""

    NOT_ALLOWED = "NOT_ALLOWED"
    """The producer may not send this kind of command, or not for this tenant. An operator can allow it in
    the file of producers."""

    KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    """The event id was used before with other content. Send the same content, or choose a new id."""


# The ledger retries these messages; an operator replays the others.
DEFERRED = frozenset({RejectReason.QUOTA, RejectReason.UNKNOWN_VERSION})


class InvalidEvent(Exception):
    """A message, or an event in it, is not a command. The text describes the error."""

    def __init__(self, reject_reason: RejectReason, error: str) -> None:
        super().__init__(error)
        self.reject_reason = reject_reason


def _uri(value: str) -> str:
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError("printable ASCII without blanks")
    return value


def _integer(value: object) -> object:
    """Accept text, because CloudEvents writes an integer as text if a broker does not know its type."""
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else value


Uri = Annotated[str, Field(min_length=1), AfterValidator(_uri)]


class IncomingEvent(BaseModel):
    """A CloudEvent with extensions of the ledger's: `tenantid`, `iat`, `kind`, `version` and `taskid`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    specversion: Literal["1.0"] = Field(description="The version of CloudEvents.")
    id: Annotated[str, Field(min_length=1)] = Field(
        description="The event's id. With `source` it is the command's idempotency key."
    )
    source: Uri = Field(description="Where the event comes from.")
    type: Label = Field(description="Of `apply-rule`: the type of event, which selects the rules.")
    subject: EntityId = Field(description="The user.")
    time: Moment | None = Field(default=None, description="When it happened. Now, if not given.")
    datacontenttype: str | None = Field(
        default=None, description="A JSON type, like `application/json`. JSON, if not given."
    )
    dataschema: Uri | None = Field(default=None, description="Allowed, and not read.")
    data: Any = Field(
        default=None,
        description="A JSON object: of `apply-rule` the `metadata`, of other kinds the command's fields. "
        "Text that holds a JSON object is taken, too.",
    )
    data_base64: str | None = Field(
        default=None, description="The same as bytes in base64, instead of `data`."
    )
    tenantid: EntityId = Field(description="The tenant.")
    iat: Moment = Field(
        description="When it was sent. Older than 24 hours, or ahead by more than 60 seconds, is rejected."
    )
    kind: str = Field(default="apply-rule", description="The kind of command.")
    version: Annotated[int, BeforeValidator(_integer), Field(ge=VERSION, le=VERSION)] = Field(
        default=VERSION, description="The version of the command's fields."
    )
    taskid: TaskId | None = Field(default=None, description="The id by which the outcome is looked up.")


_ATTRIBUTES = frozenset(IncomingEvent.model_fields)
# The event's name for a field of a command; other fields are in `data`.
_ATTRIBUTE_OF = {
    "id": "taskid", "tenant_id": "tenantid", "user_id": "subject", "occurred_at": "time",
    "event_type": "type", "metadata": "data", "body": "data",
}  # fmt: skip


def require_structured(raw: bytes, headers: Iterable[str]) -> None:
    """Raise InvalidEvent for an event in binary mode, because the signature does not cover its headers.

    An event in structured mode may repeat its attributes in headers; only its bytes count.
    """
    if b'"specversion"' in raw or not any(name.lower().startswith(_HEADER_PREFIXES) for name in headers):
        return
    raise InvalidEvent(
        RejectReason.BINARY_MODE,
        "binary mode: the attributes are headers, which the signature does not cover; send structured mode, "
        "with the whole event as JSON in the body",
    )


def commands_of(raw: bytes, producer: Producer, first_seen_at: datetime | None) -> list[AnyCommand]:
    """Read all commands of a signed message. Raises InvalidEvent.

    `iat` is compared with `first_seen_at`, so that time in the ledger's own queue does not make an event
    stale. None skips the comparison.
    """
    try:
        document = read_json(raw)
    except ValueError as error:  # UnicodeDecodeError, JSONDecodeError
        raise InvalidEvent(
            RejectReason.UNREADABLE, f"not strict JSON: {type(error).__name__}: {error}"
        ) from None
    events = document if isinstance(document, list) else [document]
    if len(events) > MAX_EVENTS or not all(isinstance(event, dict) for event in events):
        raise InvalidEvent(RejectReason.INVALID_EVENT, f"one CloudEvent, or a list of at most {MAX_EVENTS}")
    if any(_is_newer(event) for event in events):
        raise InvalidEvent(
            RejectReason.UNKNOWN_VERSION, f"this release supports specversion 1.0 and version {VERSION}"
        )
    return [
        _command(event, producer, first_seen_at, f"event {place}: " if len(events) > 1 else "")
        for place, event in enumerate(events, 1)
    ]


def _is_newer(event: dict[str, Any]) -> bool:
    version, spec = _integer(event.get("version")), event.get("specversion")
    if isinstance(version, int) and version > VERSION:
        return True
    found = _SPEC.fullmatch(spec) if isinstance(spec, str) else None
    return found is not None and (int(found[1]), int(found[2])) > _KNOWN_SPEC


def _command(fields: dict[str, Any], producer: Producer, now: datetime | None, where: str) -> AnyCommand:
    """Read the command of one event. Raises InvalidEvent, whose text starts with `where`."""
    event, data, extensions = _parts(fields, where)
    if event.kind not in KINDS:
        raise InvalidEvent(RejectReason.INVALID_EVENT, f"{where}kind: one of {', '.join(KINDS)}")
    if now and not now - _OLDEST <= event.iat <= now + _AHEAD:
        raise InvalidEvent(
            RejectReason.STALE, f"{where}iat: older than 24 hours, or ahead by more than 60 seconds"
        )
    if not producer.may(event.tenantid, event.kind):
        raise InvalidEvent(
            RejectReason.NOT_ALLOWED, f"{where}{producer.name} may not send {event.kind} for this tenant"
        )
    attributes = {
        "id": event.taskid or _id_of(event, producer),
        "tenant_id": event.tenantid,
        "user_id": event.subject,
        "actor": producer.name,
        "idempotency_key": _key_of(event),
        "occurred_at": event.time,
        "extensions": extensions or None,
    }
    if "sender" in KINDS[event.kind].model_fields:
        attributes["sender"] = "service"  # as every producer is, by any name
    payload = {"event_type": event.type, "metadata": data} if event.kind == "apply-rule" else data
    if duplicates := sorted(set(attributes) & set(payload)):
        raise InvalidEvent(
            RejectReason.INVALID_EVENT, f"{where}data: {', '.join(duplicates)} are the event's own"
        )
    try:
        return KINDS[event.kind].model_validate({**payload, **attributes})
    except ValidationError as error:
        raise InvalidEvent(RejectReason.INVALID_EVENT, where + describe(error, _attribute_of)) from None


def _parts(fields: dict[str, Any], where: str) -> tuple[IncomingEvent, dict[str, Any], dict[str, Any]]:
    """Validate the attributes, the JSON object and the extensions of one event."""
    given = {name: value for name, value in fields.items() if value is not None}  # null means absent
    extensions = {name: value for name, value in given.items() if name not in _ATTRIBUTES}
    try:
        event = IncomingEvent.model_validate({name: given[name] for name in given.keys() & _ATTRIBUTES})
        check_extensions(extensions)
        return event, _data_of(event), extensions
    except ValidationError as error:
        raise InvalidEvent(RejectReason.INVALID_EVENT, where + describe(error)) from None
    except ValueError as error:
        raise InvalidEvent(RejectReason.INVALID_EVENT, f"{where}{error}") from None


def _attribute_of(field: str) -> str:
    return _ATTRIBUTE_OF.get(field, f"data.{field}")


def _data_of(event: IncomingEvent) -> dict[str, Any]:
    """Return the event's JSON object, empty if it has none. Raises ValueError, which names the attribute.

    SDKs write bytes as `data_base64`, and JSON text as text. Both can only mean the object inside.
    """
    name = "data" if event.data_base64 is None else "data_base64"
    content = event.data if event.data_base64 is None else event.data_base64
    if content is None:
        return {}
    if event.datacontenttype is not None and not _JSON_TYPE.fullmatch(event.datacontenttype):
        raise ValueError("datacontenttype: application/json, or another JSON type")
    if event.data is not None and event.data_base64 is not None:
        raise ValueError("data_base64: an event has data or data_base64, not both")
    try:
        if name == "data_base64":
            content = b64decode(content, validate=True)
        found = read_json(content) if isinstance(content, str | bytes) else content
    except ValueError as error:
        raise ValueError(f"{name}: not JSON: {type(error).__name__}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{name}: a JSON object")
    return found


def _key_of(event: IncomingEvent) -> str:
    """Return `source` and `id`, or their digest if they do not fit a key.

    CloudEvents allows other characters and any length. A digest has no blank, so it is never another event's
    pair.
    """
    pair = f"{event.source} {event.id}"
    if pair.isascii() and pair.isprintable() and len(pair) <= _KEY_CHARACTERS:
        return pair
    return blake2b(pair.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _id_of(event: IncomingEvent, producer: Producer) -> UUID:
    """Derive the id from the message, so that a second delivery has no effect."""
    text = "\x00".join((producer.name, event.tenantid, event.kind, event.source, event.id))
    digest = blake2b(text.encode(), digest_size=_RANDOM_BYTES).digest()
    return UUID(int=max(milliseconds_of(event.iat), 0) << 8 * _RANDOM_BYTES | int.from_bytes(digest, "big"))
