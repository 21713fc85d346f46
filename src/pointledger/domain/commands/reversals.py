"""Defines the commands that reverse an entry, in whole or in part."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from pointledger.domain.commands.base import Command, NoteOfDescription, NoteOfReason, NoteOfSource
from pointledger.domain.values.fields import Amount, TaskId


class Refund(Command):
    """Gives back points that a spend or a capture took, to the lots that paid. Without `related_id` it is
    goodwill, in a new lot."""

    kind: ClassVar[str] = "refund"

    related_id: TaskId | None = Field(
        default=None, description="The entry of the spend or capture to give back."
    )
    amount: Amount = Field(description="Points to give back: all that was taken, or a part.")
    reason: NoteOfReason = None
    source: NoteOfSource = None
    description: NoteOfDescription = None

    @property
    def reverses(self) -> UUID | None:
        return self.related_id


class Clawback(Command):
    """Takes back points that an entry earned, for example because a purchase was returned."""

    kind: ClassVar[str] = "clawback"

    related_id: TaskId = Field(description="The entry that earned the points.")
    amount: Amount | None = Field(
        default=None, description="Points to take back. All that is left of the entry, if not given."
    )
    policy: Literal["only_pending", "within_balance", "arrears"] = Field(
        default="within_balance",
        description="How far it goes: `only_pending` takes points that are not available yet, "
        "`within_balance` also those that are, and `arrears` records the rest as debt, which later points "
        "repay first.",
    )
    reason: NoteOfReason = None
    source: NoteOfSource = None
    description: NoteOfDescription = None

    @property
    def reverses(self) -> UUID | None:
        return self.related_id


class CancelPending(Command):
    """Takes back the points of an entry that are still pending, for example of an order that was canceled."""

    kind: ClassVar[str] = "cancel-pending"

    related_id: TaskId = Field(description="The entry that earned the points.")
    reason: NoteOfReason = None
    source: NoteOfSource = None
    description: NoteOfDescription = None

    @property
    def reverses(self) -> UUID | None:
        return self.related_id
