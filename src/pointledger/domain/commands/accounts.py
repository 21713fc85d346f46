"""Defines the commands about whole accounts, most of them for administrators."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pointledger.domain.commands.base import Command, NoteOfDescription, NoteOfReason, NoteOfSource
from pointledger.domain.values.fields import MAX_AMOUNT, Amount, Moment, ReasonText, SignedAmount
from pointledger.domain.values.models import as_tuple


class Adjust(Command):
    """Gives or takes points, for administrators. `actor` names the administrator."""

    kind: ClassVar[str] = "adjust"

    amount: SignedAmount = Field(description="Points to give. Below 0: points to take.")
    reason: ReasonText = Field(description="Why. The audit log shows it.")

    @property
    def debit(self) -> int:
        return max(-self.amount, 0)


class OpenAccount(Command):
    """Opens an account without points. Commands that grant points open an account by themselves."""

    kind: ClassVar[str] = "open-account"


class SetStatus(Command):
    """Suspends an account, reactivates it, or closes it for good. Closing forfeits its points."""

    kind: ClassVar[str] = "set-status"

    status: Literal["active", "suspended", "closed"] = Field(
        description="The new status. A suspended account neither earns nor spends. `closed` is final."
    )
    reason: ReasonText = Field(description="Why. The audit log shows it.")

    @property
    def debit(self) -> int:
        return MAX_AMOUNT if self.status == "closed" else 0


class EraseUser(Command):
    """Erases the user for good. A pseudonym replaces the user's id, texts and keys are redacted, and points
    are forfeited. Workers need the erasure key."""

    kind: ClassVar[str] = "erase-user"

    reason: NoteOfReason = None

    @property
    def uses_wallet(self) -> bool:
        return True

    @property
    def debit(self) -> int:
        return MAX_AMOUNT


class OpeningLot(BaseModel):
    """Points that another system granted, as one lot."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    amount: Amount = Field(description="Points of the lot that are left.")
    earned_at: Moment | None = Field(
        default=None, description="When they were earned. The moment of the command, if not given."
    )
    expires_at: Moment | None = Field(default=None, description="When they expire. Never, if not given.")


class ImportOpeningBalance(Command):
    """Brings points from another system, lot by lot. Limits and `max_balance` do not apply."""

    kind: ClassVar[str] = "import-opening-balance"

    lots: Annotated[
        tuple[OpeningLot, ...], Field(min_length=1, max_length=1000), BeforeValidator(as_tuple)
    ] = Field(description="The lots to bring.")
    expired: Literal["reject", "import"] = Field(
        default="reject",
        description="What becomes of lots that have expired: `reject` leaves them out, `import` brings them "
        "and lets them expire.",
    )
    control_sum: Amount | None = Field(
        default=None,
        description="What the lots must add up to. Another sum is an error, and nothing is accepted.",
    )
    source: NoteOfSource = None
    description: NoteOfDescription = None

    @model_validator(mode="after")
    def _check_sum(self) -> "ImportOpeningBalance":
        total = sum(lot.amount for lot in self.lots)
        if total > MAX_AMOUNT:
            raise ValueError("the lots are more than an account can hold")
        if self.control_sum not in (None, total):
            raise ValueError(f"control_sum is not the sum of the lots, which is {total}")
        return self
