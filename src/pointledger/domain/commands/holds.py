"""Commands about holds."""

from typing import ClassVar

from pydantic import ConfigDict, JsonValue, model_validator

from pointledger.domain.commands.base import Command
from pointledger.domain.values.fields import Amount, Moment, ShortText, TaskId


class Freeze(Command):
    """Opens a hold: points are set aside until they are captured, released or the hold times out."""

    kind: ClassVar[str] = "freeze"

    amount: Amount
    reason: ShortText | None = None
    expires_at: Moment | None = None  # when the hold times out; none: never

    @property
    def debit(self) -> int:
        return self.amount


# As `_something_is_named` has it, for JSON schema.
_ONE_IS_GIVEN: list[JsonValue] = [
    {"required": ["hold_id"], "properties": {"hold_id": {"type": "string"}}},
    {"required": ["amount"], "properties": {"amount": {"type": "integer"}}},
]


class Unfreeze(Command):
    """Releases a hold, the whole or `amount` of it; without a hold's id so many points, the oldest first."""

    kind: ClassVar[str] = "unfreeze"
    model_config = ConfigDict(json_schema_extra={"allOf": [{"anyOf": _ONE_IS_GIVEN}]})

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
