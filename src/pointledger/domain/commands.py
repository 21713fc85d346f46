"""Commands: what can be asked of the ledger. One class per kind; the kind's name is the wire contract.

A command is valid once it exists: pydantic, strict and frozen, so that what leaves a producer is well
formed. Its id is its identity: sending the same object twice is sending one command.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, get_args
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from pointledger.domain.json_values import Metadata
from pointledger.errors import InvalidCommand
from pointledger.ids import new_id, parse_id

MAX_AMOUNT = 10**15  # a bigint holds 9 * 10^18: a thousand such amounts still sum within it

_ENTITY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,63}")
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_REACH = "a moment lies between the years 1900 and 9000; leave it out for never"
_FINDINGS = 10  # told of one malformed command; a thousand wrong fields need no thousand lines
_PATH_CHARACTERS = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _one_id(value: object) -> object:
    if isinstance(value, str):
        try:
            return parse_id(value)
        except ValueError as error:
            raise ValueError(f"an id is a ULID or a UUID: {error}") from None
    return value


def _one_moment(value: object) -> object:
    """Text in ISO 8601 with an offset; pydantic alone would also take numbers and local times."""
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("a moment is written like 2026-03-01T10:00:00Z") from None
    if isinstance(moment, datetime) and moment.tzinfo is None:
        raise ValueError("a moment needs an offset, like 2026-03-01T10:00:00Z")
    return moment


def _in_utc(moment: datetime) -> datetime:
    """One spelling per instant, so that a repetition is recognised; and far enough from both ends of what
    Python and Postgres can count, so that calendars may add and zones may shift."""
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(_REACH) from None
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError(_REACH)
    return moment


def _entity_id(value: str) -> str:
    if not _ENTITY_ID.fullmatch(value):
        raise ValueError("1 to 64 of the characters A-Z a-z 0-9 _ . : @ -, the first a letter or digit")
    return value


def _key(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("a key is 1 to 255 printable ASCII characters")
    return value


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("text must not contain NUL, which Postgres cannot store")
    return value


def _no_control(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("control characters are not allowed here")
    return value


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("more or less than 0")
    return value


TaskId = Annotated[UUID, BeforeValidator(_one_id)]
Moment = Annotated[datetime, BeforeValidator(_one_moment), AfterValidator(_in_utc)]
EntityId = Annotated[str, AfterValidator(_entity_id)]
Key = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_key)]
Label = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_no_control)]
Text = Annotated[str, Field(max_length=500), AfterValidator(_no_nul)]
ShortText = Annotated[str, Field(max_length=200), AfterValidator(_no_nul)]
Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT)]
SignedAmount = Annotated[int, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT), AfterValidator(_not_zero)]
Why = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_nul)]


class Command(BaseModel):
    """What every command carries. `occurred_at`: when it happened, if not when it is accepted."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        hide_input_in_errors=True,
        revalidate_instances="always",  # `checked` looks again: model_copy(update=...) does not
    )

    kind: ClassVar[str]
    version: ClassVar[int] = 1  # of the payload; a worker that does not know a version lets it wait

    id: TaskId = Field(default_factory=new_id)
    tenant_id: EntityId
    user_id: EntityId
    actor: EntityId = "service"
    idempotency_key: Key | None = None
    occurred_at: Moment | None = None

    @property
    def key(self) -> str | None:
        """What makes a repetition recognisable besides the id."""
        return self.idempotency_key

    @property
    def users(self) -> tuple[str, ...]:
        """Whom it touches, the one in whose order it stands first."""
        return (self.user_id,)

    @property
    def debit(self) -> int:
        """The most it can take from `user_id`'s available balance, in points."""
        return 0


class ApplyRule(Command):
    """Something happened: let the tenant's rules for this type of event grant what they grant."""

    kind: ClassVar[str] = "apply-rule"

    event_type: Label
    event_id: Key | None = None
    metadata: Metadata = Field(default_factory=dict)

    @property
    def key(self) -> str | None:
        """An event's id is its key when none is given: one event, one effect."""
        return self.idempotency_key or self.event_id


class Earn(Command):
    """Grants points; `expires_at` defaults to the tenant's policy."""

    kind: ClassVar[str] = "earn"

    amount: Amount
    expires_at: Moment | None = None
    reason: ShortText | None = None
    source: ShortText | None = None
    description: Text | None = None


class Spend(Command):
    """Takes points from the available balance, the soonest expiry first."""

    kind: ClassVar[str] = "spend"

    amount: Amount
    reason: ShortText | None = None
    source: ShortText | None = None
    description: Text | None = None

    @property
    def debit(self) -> int:
        return self.amount


class Transfer(Command):
    """Moves points, lot by lot, to another user of the same tenant."""

    kind: ClassVar[str] = "transfer"

    to_user_id: EntityId
    amount: Amount
    reason: ShortText | None = None
    source: ShortText | None = None
    description: Text | None = None

    @property
    def users(self) -> tuple[str, ...]:
        return (self.user_id, self.to_user_id)

    @property
    def debit(self) -> int:
        return self.amount


class Expire(Command):
    """Takes points away as expired: as many as are available, up to `amount`.

    `pro_rata` takes from every lot in proportion, by largest remainder.
    """

    kind: ClassVar[str] = "expire"

    amount: Amount
    strategy: Literal["soonest_first", "pro_rata"] = "soonest_first"
    description: Text | None = None

    @property
    def debit(self) -> int:
        # In proportion to all lots means: all lots must be there.
        return MAX_AMOUNT if self.strategy == "pro_rata" else self.amount


class ExpireDue(Command):
    """Expires what is due at `as_of`, one entry per lot. The nightly sweep sends it."""

    kind: ClassVar[str] = "expire-due"

    as_of: Moment

    @property
    def key(self) -> str | None:
        """One per user and moment, so that a sweep run twice is one."""
        return self.idempotency_key or f"{self.user_id}/{self.as_of.isoformat()}"


class Freeze(Command):
    """Opens a hold: points are set aside until they are captured, released or the hold times out."""

    kind: ClassVar[str] = "freeze"

    amount: Amount
    reason: ShortText | None = None
    expires_at: Moment | None = None  # when the hold times out; none: never

    @property
    def debit(self) -> int:
        return self.amount


class Unfreeze(Command):
    """Releases a hold, the whole or `amount` of it; without a hold's id so many points, the oldest first."""

    kind: ClassVar[str] = "unfreeze"

    hold_id: TaskId | None = None
    amount: Amount | None = None
    reason: ShortText | None = None

    @model_validator(mode="after")
    def _something_is_named(self) -> "Unfreeze":
        if self.hold_id is None and self.amount is None:
            raise ValueError("give hold_id, amount or both")
        return self


class ConfirmDeduction(Command):
    """Captures a hold: spends `amount` of what it holds (all, if not given) and releases the rest."""

    kind: ClassVar[str] = "confirm-deduction"

    hold_id: TaskId
    amount: Amount | None = None
    reason: ShortText | None = None


class ReleaseHoldsDue(Command):
    """Releases the holds that have timed out at `as_of`. The sweep sends it."""

    kind: ClassVar[str] = "release-holds-due"

    as_of: Moment

    @property
    def key(self) -> str | None:
        """One per user and moment, so that a sweep run twice is one."""
        return self.idempotency_key or f"{self.user_id}/{self.as_of.isoformat()}"


class Adjust(Command):
    """An administrator gives or takes points; `actor` says who."""

    kind: ClassVar[str] = "adjust"

    amount: SignedAmount
    reason: Why

    @property
    def debit(self) -> int:
        return max(-self.amount, 0)


class SetStatus(Command):
    """Suspends an account, lets it go on, or closes it for ever; what a closed one had is forfeited."""

    kind: ClassVar[str] = "set-status"

    status: Literal["active", "suspended", "closed"]
    reason: Why

    @property
    def debit(self) -> int:
        return MAX_AMOUNT if self.status == "closed" else 0


AnyCommand = (
    ApplyRule
    | Earn
    | Spend
    | Transfer
    | Expire
    | ExpireDue
    | Freeze
    | Unfreeze
    | ConfirmDeduction
    | ReleaseHoldsDue
    | Adjust
    | SetStatus
)

KINDS: dict[str, type[AnyCommand]] = {command.kind: command for command in get_args(AnyCommand)}


def command_from(kind: object, fields: dict[str, Any]) -> AnyCommand:
    """The command of this kind with these fields. Raises InvalidCommand naming each field and rule."""
    command = KINDS.get(kind) if isinstance(kind, str) else None
    if command is None:
        raise InvalidCommand(f"kind: one of {', '.join(KINDS)}")
    try:
        return command.model_validate(fields)
    except ValidationError as error:
        raise InvalidCommand(explain(error)) from None


def checked(command: AnyCommand) -> AnyCommand:
    """The command, looked at once more as it comes through the door. Raises InvalidCommand."""
    try:
        return type(command).model_validate(command)
    except ValidationError as error:
        raise InvalidCommand(explain(error)) from None


def explain(error: ValidationError) -> str:
    """pydantic's findings as `field: rule`, without the input, which may be anybody's data."""
    findings = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{_path(finding['loc'])}: {finding['msg']}" for finding in findings[:_FINDINGS]]
    if len(findings) > _FINDINGS:
        told.append(f"and {len(findings) - _FINDINGS} more")
    return "; ".join(told)


def _path(parts: tuple[int | str, ...]) -> str:
    """Where in the command: unknown fields have names of the sender's making, so escaped and cut."""
    path = ".".join(str(part) for part in parts) or "body"
    return path.encode("unicode_escape").decode()[:_PATH_CHARACTERS]
