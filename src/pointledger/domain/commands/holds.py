"""Defines the commands about holds."""

from typing import ClassVar

from pydantic import ConfigDict, Field, JsonValue, model_validator

from pointledger.domain.commands.base import Command, NoteOfReason
from pointledger.domain.values.actor import SenderKind
from pointledger.domain.values.fields import Amount, Moment, TaskId


class Freeze(Command):
    """Opens a hold: sets points aside until they are captured or released, or the hold times out. The outcome
    has the hold's id, as `hold_id`."""

    kind: ClassVar[str] = "freeze"
    version: ClassVar[int] = 2  # with `sender`

    amount: Amount = Field(description="Points to hold.")
    reason: NoteOfReason = None
    expires_at: Moment | None = Field(
        default=None, description="When the hold times out and releases its points. Never, if not given."
    )
    sender: SenderKind = None

    @property
    def debit(self) -> int:
        return self.amount


# The check of `_check_choice` for JSON schema.
_ONE_IS_GIVEN: list[JsonValue] = [
    {"required": ["hold_id"], "properties": {"hold_id": {"type": "string"}}},
    {"required": ["amount"], "properties": {"amount": {"type": "integer"}}},
]


class Unfreeze(Command):
    """Releases a hold or a part of it. Without a hold's id it releases points of the oldest holds. Give
    `hold_id`, `amount` or both."""

    kind: ClassVar[str] = "unfreeze"
    version: ClassVar[int] = 2  # with `sender`
    model_config = ConfigDict(json_schema_extra={"allOf": [{"anyOf": _ONE_IS_GIVEN}]})

    hold_id: TaskId | None = Field(default=None, description="The hold to release.")
    amount: Amount | None = Field(
        default=None, description="Points to release. The whole hold, if not given."
    )
    reason: NoteOfReason = None
    sender: SenderKind = None

    @model_validator(mode="after")
    def _check_choice(self) -> "Unfreeze":
        if self.hold_id is None and self.amount is None:
            raise ValueError("give hold_id, amount or both")
        return self


class ConfirmDeduction(Command):
    """Captures a hold: spends the held points, or a part of them, and releases the rest."""

    kind: ClassVar[str] = "confirm-deduction"

    hold_id: TaskId = Field(description="The hold to capture.")
    amount: Amount | None = Field(
        default=None, description="Points to spend. All that is held, if not given."
    )
    reason: NoteOfReason = None
