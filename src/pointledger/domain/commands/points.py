"""Commands that grant points and take them: by rule, by hand, from one user to another, by expiry."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pointledger.domain.commands.base import Command
from pointledger.domain.values.fields import MAX_AMOUNT, Amount, EntityId, Key, Label, Moment, ShortText, Text
from pointledger.domain.values.json_values import Metadata


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
