"""Commands: what can be asked of the ledger. One class per kind; the kind's name is the wire contract.

A command is valid once it exists: pydantic, strict and frozen, so that what leaves a producer is well
formed. Its id is its identity: sending the same object twice is sending one command.
"""

from typing import Annotated, Any, ClassVar, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pointledger.domain.fields import (
    MAX_AMOUNT,
    Amount,
    EntityId,
    Key,
    Label,
    Moment,
    ShortText,
    SignedAmount,
    TaskId,
    Text,
    Why,
)
from pointledger.domain.findings import explain
from pointledger.domain.json_values import Metadata
from pointledger.domain.parts import as_tuple
from pointledger.errors import InvalidCommand
from pointledger.ids import new_id


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

    @property
    def reverses(self) -> UUID | None:
        """The entry that it undoes, in whole or in part."""
        return None


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
    """Grants points; `expires_at` defaults to the tenant's policy, counted from `activates_at`, until which
    the points are pending."""

    kind: ClassVar[str] = "earn"

    amount: Amount
    expires_at: Moment | None = None
    activates_at: Moment | None = None
    reason: ShortText | None = None
    source: ShortText | None = None
    description: Text | None = None

    @model_validator(mode="after")
    def _lives_to_be_active(self) -> "Earn":
        if self.activates_at and self.expires_at and self.expires_at <= self.activates_at:
            raise ValueError("expires_at lies after activates_at")
        return self


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


class SweepCommand(Command):
    """What a sweep sends for a user: to do what is due at its own moment, `as_of`."""

    as_of: Moment

    @property
    def key(self) -> str | None:
        """One per user and moment, so that a sweep run twice is one."""
        return self.idempotency_key or f"{self.user_id}/{self.as_of.isoformat()}"


class ExpireDue(SweepCommand):
    """Expires what is due at `as_of`, one entry per lot. The nightly sweep sends it."""

    kind: ClassVar[str] = "expire-due"


class Refund(Command):
    """Gives back what a spend took, to the very lots; without `related_id` it is goodwill, in a new lot."""

    kind: ClassVar[str] = "refund"

    related_id: TaskId | None = None
    amount: Amount
    reason: ShortText | None = None
    source: ShortText | None = None
    description: Text | None = None

    @property
    def reverses(self) -> UUID | None:
        return self.related_id


class Clawback(Command):
    """Takes back what an entry earned, all that is left of it unless `amount` says less.

    `only_pending` takes what is not available yet, `within_balance` what is, `arrears` leaves the rest as
    debt, which whatever comes later repays first.
    """

    kind: ClassVar[str] = "clawback"

    related_id: TaskId
    amount: Amount | None = None
    policy: Literal["only_pending", "within_balance", "arrears"] = "within_balance"
    reason: ShortText | None = None
    source: ShortText | None = None
    description: Text | None = None

    @property
    def reverses(self) -> UUID | None:
        return self.related_id


class CancelPending(Command):
    """Takes back what an entry earned and what is still pending: an order was returned in time."""

    kind: ClassVar[str] = "cancel-pending"

    related_id: TaskId
    reason: ShortText | None = None
    source: ShortText | None = None
    description: Text | None = None

    @property
    def reverses(self) -> UUID | None:
        return self.related_id


class ActivateDue(SweepCommand):
    """Makes available what is pending and due at `as_of`, one entry per lot."""

    kind: ClassVar[str] = "activate-due"


class OpeningLot(BaseModel):
    """Points that another system granted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    amount: Amount
    earned_at: Moment | None = None
    expires_at: Moment | None = None


class ImportOpeningBalance(Command):
    """Brings points from another system, lot by lot. Those that have expired are left out, unless `expired`
    says `import`: then they come in and expire. `control_sum`: what the lots must add up to."""

    kind: ClassVar[str] = "import-opening-balance"

    lots: Annotated[tuple[OpeningLot, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=1000)]
    expired: Literal["reject", "import"] = "reject"
    control_sum: Amount | None = None
    source: ShortText | None = None
    description: Text | None = None

    @model_validator(mode="after")
    def _ties(self) -> "ImportOpeningBalance":
        total = sum(lot.amount for lot in self.lots)
        if total > MAX_AMOUNT:
            raise ValueError("the lots are more than an account holds")
        if self.control_sum not in (None, total):
            raise ValueError(f"control_sum is not what the lots add up to, which is {total}")
        return self


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


class ReleaseHoldsDue(SweepCommand):
    """Releases the holds that have timed out at `as_of`. The sweep sends it."""

    kind: ClassVar[str] = "release-holds-due"


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
    | Refund
    | Clawback
    | CancelPending
    | ActivateDue
    | ImportOpeningBalance
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
