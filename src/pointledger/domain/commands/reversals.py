"""Commands that undo, in whole or in part, what an entry did."""

from typing import ClassVar, Literal
from uuid import UUID

from pointledger.domain.commands.base import Command
from pointledger.domain.values.fields import Amount, ShortText, TaskId, Text


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
