"""Defines the commands that grant, spend, transfer and expire points."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pointledger.domain.commands.base import Command, NoteOfDescription, NoteOfReason, NoteOfSource
from pointledger.domain.values.fields import MAX_AMOUNT, Amount, EntityId, Key, Label, Moment
from pointledger.domain.values.json_values import Metadata


class ApplyRule(Command):
    """Reports an event. The tenant's rules for this type of event grant the points."""

    kind: ClassVar[str] = "apply-rule"

    event_type: Label = Field(description="The type of event, which selects the rules.")
    event_id: Key | None = Field(
        default=None, description="The event's own id. It is the idempotency key, if no other is given."
    )
    metadata: Metadata = Field(
        default_factory=dict,
        description="Facts about the event, which rules read as `event`: at most 16 KiB and 8 levels of "
        "nesting.",
    )

    @property
    def key(self) -> str | None:
        """The event's id unless a key is given, so that one event has one effect."""
        return self.idempotency_key or self.event_id


class Earn(Command):
    """Grants points, outside of any rule. With `activates_at` they are pending until then."""

    kind: ClassVar[str] = "earn"

    amount: Amount = Field(description="Points to grant.")
    expires_at: Moment | None = Field(
        default=None,
        description="When the points expire: after `activates_at`. By the tenant's policy, if not given, "
        "counted from when they are available.",
    )
    activates_at: Moment | None = Field(
        default=None,
        description="When the points become available. Until then they are pending: limits count them, but "
        "they cannot be spent.",
    )
    reason: NoteOfReason = None
    source: NoteOfSource = None
    description: NoteOfDescription = None

    @model_validator(mode="after")
    def _check_moments(self) -> "Earn":
        if self.activates_at and self.expires_at and self.expires_at <= self.activates_at:
            raise ValueError("expires_at lies after activates_at")
        return self


class Spend(Command):
    """Spends points of the available balance, the soonest expiry first."""

    kind: ClassVar[str] = "spend"

    amount: Amount = Field(description="Points to take.")
    reason: NoteOfReason = None
    source: NoteOfSource = None
    description: NoteOfDescription = None

    @property
    def debit(self) -> int:
        return self.amount


class Transfer(Command):
    """Moves points to another user of the same tenant, lot by lot. Each lot keeps its expiry."""

    kind: ClassVar[str] = "transfer"

    to_user_id: EntityId = Field(description="The user who receives the points.")
    amount: Amount = Field(description="Points to move.")
    reason: NoteOfReason = None
    source: NoteOfSource = None
    description: NoteOfDescription = None

    @property
    def users(self) -> tuple[str, ...]:
        return (self.user_id, self.to_user_id)

    @property
    def debit(self) -> int:
        return self.amount


class Expire(Command):
    """Takes points away as expired: as many as are available, up to `amount`."""

    kind: ClassVar[str] = "expire"

    amount: Amount = Field(description="Points to take at most.")
    strategy: Literal["soonest_first", "pro_rata"] = Field(
        default="soonest_first",
        description="Which lots pay: `soonest_first` those with the soonest expiry, `pro_rata` every lot in "
        "proportion, by largest remainder.",
    )
    description: NoteOfDescription = None

    @property
    def debit(self) -> int:
        # A proportion depends on all lots, so all lots must be loaded.
        return MAX_AMOUNT if self.strategy == "pro_rata" else self.amount
