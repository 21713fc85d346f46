"""Incoming events: CloudEvents 1.0 in JSON, one or a list, as commands. Pure, and strict: what is not
understood is refused with what is wrong; a version that is not known yet waits for one that knows it."""

from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pointledger.domain.commands import KINDS, AnyCommand, command_from
from pointledger.domain.fields import EntityId, Label, Moment, TaskId
from pointledger.domain.findings import explain
from pointledger.domain.json_values import read_json
from pointledger.domain.producers import Producer
from pointledger.errors import InvalidCommand
from pointledger.ids import milliseconds_of

MAX_BYTES = 64 * 1024  # of a message: an event's facts, not its documents
MAX_EVENTS = 1000  # of one message
SPEC_VERSION, VERSION = "1.0", 1
_OLDEST, _AHEAD = timedelta(hours=24), timedelta(seconds=60)  # of `iat`: an old message sent again is refused
_KEY_CHARACTERS = 255  # of `source` and `id` with a blank between them, as of every idempotency key
_RANDOM_BYTES = 10


class Misfit(StrEnum):
    """Why a message became no command, in order of precedence."""

    TOO_LARGE = "TOO_LARGE"
    REPLY_REFUSED = "REPLY_REFUSED"
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


def _name(value: str) -> str:
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError("printable ASCII without blanks")
    return value


Name = Annotated[str, Field(min_length=1, max_length=_KEY_CHARACTERS), AfterValidator(_name)]


class IncomingEvent(BaseModel):
    """A CloudEvent with our extensions: `tenantid`, `iat` (when it was sent), `kind`, `version`, `taskid`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    specversion: Literal["1.0"]
    id: Name
    source: Name
    type: Label
    subject: EntityId
    time: Moment | None = None
    datacontenttype: Literal["application/json"] | None = None
    dataschema: Name | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    tenantid: EntityId
    iat: Moment
    kind: str = "apply-rule"
    version: Literal[1] = 1
    taskid: TaskId | None = None


def commands_of(raw: bytes, producer: Producer, first_seen_at: datetime | None) -> list[AnyCommand]:
    """The commands that a signed message asks for, all of them. `first_seen_at`: what `iat` is compared with,
    so that what had to wait here is not stale for it; None: nothing is. Raises Unfit."""
    try:
        document = read_json(raw)
    except ValueError as error:  # UnicodeDecodeError, JSONDecodeError
        raise Unfit(Misfit.UNREADABLE, f"not strict JSON: {type(error).__name__}: {error}") from None
    events = document if isinstance(document, list) else [document]
    if not 1 <= len(events) <= MAX_EVENTS or not all(isinstance(event, dict) for event in events):
        raise Unfit(Misfit.INVALID_EVENT, f"one CloudEvent, or a list of 1 to {MAX_EVENTS}")
    if any(_is_newer(event) for event in events):
        raise Unfit(Misfit.UNKNOWN_VERSION, f"this program knows specversion 1.0 and version {VERSION}")
    return [
        _command(event, producer, first_seen_at, f"event {place}: " if len(events) > 1 else "")
        for place, event in enumerate(events, 1)
    ]


def _is_newer(event: dict[str, Any]) -> bool:
    version, spec = event.get("version", VERSION), event.get("specversion", SPEC_VERSION)
    is_number = isinstance(version, int) and not isinstance(version, bool)
    return (is_number and version > VERSION) or (isinstance(spec, str) and spec > SPEC_VERSION)


def _command(fields: dict[str, Any], producer: Producer, now: datetime | None, where: str) -> AnyCommand:
    try:
        event = IncomingEvent.model_validate(fields)
    except ValidationError as error:
        raise Unfit(Misfit.INVALID_EVENT, where + explain(error)) from None
    if event.kind not in KINDS:
        raise Unfit(Misfit.INVALID_EVENT, f"{where}kind: one of {', '.join(KINDS)}")
    key = f"{event.source} {event.id}"
    if len(key) > _KEY_CHARACTERS:
        raise Unfit(Misfit.INVALID_EVENT, f"{where}source and id: together {_KEY_CHARACTERS - 1} characters")
    if now and not now - _OLDEST <= event.iat <= now + _AHEAD:
        raise Unfit(Misfit.STALE, f"{where}iat: older than 24 hours, or ahead by more than 60 seconds")
    if not producer.may(event.tenantid, event.kind):
        raise Unfit(Misfit.NOT_ALLOWED, f"{where}{producer.name} may not send {event.kind} for this tenant")
    about = {
        "id": event.taskid or _id_of(event, producer),
        "tenant_id": event.tenantid,
        "user_id": event.subject,
        "actor": producer.name,
        "idempotency_key": key,
        "occurred_at": event.time,
    }
    asked = {"event_type": event.type, "metadata": event.data} if event.kind == "apply-rule" else event.data
    if twice := sorted(set(about) & set(asked)):
        raise Unfit(Misfit.INVALID_EVENT, f"{where}data: {', '.join(twice)} are the event's own")
    try:
        return command_from(event.kind, {**asked, **about})
    except InvalidCommand as error:
        raise Unfit(Misfit.INVALID_EVENT, f"{where}{error.args[0]}") from None


def _id_of(event: IncomingEvent, producer: Producer) -> UUID:
    """The same for the same message, so that one that is delivered again leaves no trace."""
    text = "\x00".join((producer.name, event.tenantid, event.kind, event.source, event.id))
    digest = blake2b(text.encode(), digest_size=_RANDOM_BYTES).digest()
    return UUID(int=max(milliseconds_of(event.iat), 0) << 8 * _RANDOM_BYTES | int.from_bytes(digest, "big"))
