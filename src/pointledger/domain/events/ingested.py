"""Incoming events: CloudEvents 1.0 in JSON, one or a list, as commands. Pure.

What CloudEvents allows is taken. An attribute that cannot be taken is named in the refusal. An event of a
newer version waits for a program that knows it.
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
from pointledger.domain.values.validation import explain
from pointledger.ids import milliseconds_of

MAX_BYTES = 64 * 1024  # of a message: an event's facts, not its documents
MAX_EVENTS = 1000  # of one message
VERSION = 1
_KNOWN_SPEC = (1, 0)
_OLDEST, _AHEAD = timedelta(hours=24), timedelta(seconds=60)  # of `iat`: an old message sent again is refused
_KEY_CHARACTERS = 255  # of every idempotency key
_DIGEST_BYTES = 32  # of what does not fit a key
_RANDOM_BYTES = 10

_SPEC = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_INTEGER = re.compile(r"-?[0-9]{1,10}")  # CloudEvents' integers have 32 bits
# `json`, or a structured suffix that says the same (RFC 6839), with or without parameters.
_JSON_TYPE = re.compile(r"[^/\s;]+/([^/\s;]+\+)?json\s*(;.*)?", re.IGNORECASE)
# Where protocol bindings put the attributes of an event in binary mode: HTTP and RabbitMQ, Kafka, AMQP.
_IN_HEADERS = ("ce-", "ce_", "cloudevents:", "cloudevents_")


class Misfit(StrEnum):
    """Why a message became no command, in order of precedence."""

    TOO_LARGE = "TOO_LARGE"
    REPLY_REFUSED = "REPLY_REFUSED"
    BINARY_MODE = "BINARY_MODE"
    UNSIGNED = "UNSIGNED"
    QUOTA = "QUOTA"
    UNREADABLE = "UNREADABLE"
    UNKNOWN_VERSION = "UNKNOWN_VERSION"
    INVALID_EVENT = "INVALID_EVENT"
    STALE = "STALE"
    NOT_ALLOWED = "NOT_ALLOWED"
    KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"


HELD = frozenset({Misfit.QUOTA, Misfit.UNKNOWN_VERSION})  # tried again by itself; the others by a person


class Unfit(Exception):
    """A message, or an event in it, is no command: for which reason, and what is wrong with it."""

    def __init__(self, misfit: Misfit, error: str) -> None:
        super().__init__(error)
        self.misfit = misfit


def _uri(value: str) -> str:
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError("printable ASCII without blanks")
    return value


def _integer(value: object) -> object:
    """CloudEvents writes an integer as text where a broker did not know its type."""
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else value


Uri = Annotated[str, Field(min_length=1), AfterValidator(_uri)]


class IncomingEvent(BaseModel):
    """A CloudEvent with our extensions: `tenantid`, `iat` (when it was sent), `kind`, `version`, `taskid`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1)]
    source: Uri
    type: Label
    subject: EntityId
    time: Moment | None = None
    datacontenttype: str | None = None
    dataschema: Uri | None = None
    data: Any = None
    data_base64: str | None = None
    tenantid: EntityId
    iat: Moment
    kind: str = "apply-rule"
    version: Annotated[int, BeforeValidator(_integer), Field(ge=VERSION, le=VERSION)] = VERSION
    taskid: TaskId | None = None


_ATTRIBUTES = frozenset(IncomingEvent.model_fields)
# What a field of a command is called in an event; other fields stand in `data`.
_ATTRIBUTE_OF = {
    "id": "taskid", "tenant_id": "tenantid", "user_id": "subject", "occurred_at": "time",
    "event_type": "type", "metadata": "data", "body": "data",
}  # fmt: skip


def require_structured(raw: bytes, headers: Iterable[str]) -> None:
    """Raises Unfit for an event in binary mode: its attributes are headers, which no signature covers. An
    event in structured mode may repeat its attributes there; only its bytes count."""
    if b'"specversion"' in raw or not any(name.lower().startswith(_IN_HEADERS) for name in headers):
        return
    raise Unfit(
        Misfit.BINARY_MODE,
        "binary mode: the attributes are headers, which the signature does not cover; send structured mode, "
        "with the whole event as JSON in the body",
    )


def commands_of(raw: bytes, producer: Producer, first_seen_at: datetime | None) -> list[AnyCommand]:
    """The commands that a signed message asks for, all of them. `first_seen_at`: what `iat` is compared with,
    so that what had to wait here is not stale for it; None: nothing is. Raises Unfit."""
    try:
        document = read_json(raw)
    except ValueError as error:  # UnicodeDecodeError, JSONDecodeError
        raise Unfit(Misfit.UNREADABLE, f"not strict JSON: {type(error).__name__}: {error}") from None
    events = document if isinstance(document, list) else [document]
    if len(events) > MAX_EVENTS or not all(isinstance(event, dict) for event in events):
        raise Unfit(Misfit.INVALID_EVENT, f"one CloudEvent, or a list of {MAX_EVENTS} at most")
    if any(_is_newer(event) for event in events):
        raise Unfit(Misfit.UNKNOWN_VERSION, f"this program knows specversion 1.0 and version {VERSION}")
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
    """The command that one event asks for. Raises Unfit, whose text begins with `where`."""
    given = {name: value for name, value in fields.items() if value is not None}  # null: as if left out
    extensions = {name: value for name, value in given.items() if name not in _ATTRIBUTES}
    try:
        event = IncomingEvent.model_validate({name: given[name] for name in given.keys() & _ATTRIBUTES})
        check_extensions(extensions)
        data = _data_of(event)
    except ValidationError as error:
        raise Unfit(Misfit.INVALID_EVENT, where + explain(error)) from None
    except ValueError as error:
        raise Unfit(Misfit.INVALID_EVENT, f"{where}{error}") from None
    if event.kind not in KINDS:
        raise Unfit(Misfit.INVALID_EVENT, f"{where}kind: one of {', '.join(KINDS)}")
    if now and not now - _OLDEST <= event.iat <= now + _AHEAD:
        raise Unfit(Misfit.STALE, f"{where}iat: older than 24 hours, or ahead by more than 60 seconds")
    if not producer.may(event.tenantid, event.kind):
        raise Unfit(Misfit.NOT_ALLOWED, f"{where}{producer.name} may not send {event.kind} for this tenant")
    about = {
        "id": event.taskid or _id_of(event, producer),
        "tenant_id": event.tenantid,
        "user_id": event.subject,
        "actor": producer.name,
        "idempotency_key": _key_of(event),
        "occurred_at": event.time,
        "extensions": extensions or None,
    }
    asked = {"event_type": event.type, "metadata": data} if event.kind == "apply-rule" else data
    if twice := sorted(set(about) & set(asked)):
        raise Unfit(Misfit.INVALID_EVENT, f"{where}data: {', '.join(twice)} are the event's own")
    try:
        return KINDS[event.kind].model_validate({**asked, **about})
    except ValidationError as error:
        raise Unfit(Misfit.INVALID_EVENT, where + explain(error, _attribute_of)) from None


def _attribute_of(field: str) -> str:
    return _ATTRIBUTE_OF.get(field, f"data.{field}")


def _data_of(event: IncomingEvent) -> dict[str, Any]:
    """The JSON object that the event carries; none is an empty one. Raises ValueError, which names the
    attribute.

    The SDKs write bytes as `data_base64`, and text as text, also text that holds JSON. Neither can mean
    anything but the object that is in it.
    """
    name = "data" if event.data_base64 is None else "data_base64"
    content = event.data if event.data_base64 is None else event.data_base64
    if content is None:
        return {}
    if event.datacontenttype is not None and not _JSON_TYPE.fullmatch(event.datacontenttype):
        raise ValueError("datacontenttype: application/json, or another JSON type")
    if event.data is not None and event.data_base64 is not None:
        raise ValueError("data_base64: there is data, too; an event has one of both")
    try:
        if name == "data_base64":
            content = b64decode(content, validate=True)
        found = read_json(content) if isinstance(content, str | bytes) else content
    except ValueError as error:
        raise ValueError(f"{name}: no JSON in it: {type(error).__name__}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{name}: a JSON object")
    return found


def _key_of(event: IncomingEvent) -> str:
    """`source` and `id`, as they are. Where CloudEvents allows what a key does not, other letters and any
    length, their digest: it has no blank, so it is no other event's pair."""
    pair = f"{event.source} {event.id}"
    if pair.isascii() and pair.isprintable() and len(pair) <= _KEY_CHARACTERS:
        return pair
    return blake2b(pair.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _id_of(event: IncomingEvent, producer: Producer) -> UUID:
    """The same for the same message, so that one that is delivered again leaves no trace."""
    text = "\x00".join((producer.name, event.tenantid, event.kind, event.source, event.id))
    digest = blake2b(text.encode(), digest_size=_RANDOM_BYTES).digest()
    return UUID(int=max(milliseconds_of(event.iat), 0) << 8 * _RANDOM_BYTES | int.from_bytes(digest, "big"))
