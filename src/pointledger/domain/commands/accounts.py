"""Commands about an account as a whole, and those of administrators."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pointledger.domain.commands.base import Command
from pointledger.domain.values.fields import MAX_AMOUNT, Amount, Moment, ShortText, SignedAmount, Text, Why
from pointledger.domain.values.models import as_tuple


class Adjust(Command):
    """An administrator gives or takes points; `actor` says who."""

    kind: ClassVar[str] = "adjust"

    amount: SignedAmount
    reason: Why

    @property
    def debit(self) -> int:
        return max(-self.amount, 0)


class OpenAccount(Command):
    """Opens an account without points; whatever grants points does so by itself."""

    kind: ClassVar[str] = "open-account"


class SetStatus(Command):
    """Suspends an account, lets it go on, or closes it for ever; what a closed one had is forfeited."""

    kind: ClassVar[str] = "set-status"

    status: Literal["active", "suspended", "closed"]
    reason: Why

    @property
    def debit(self) -> int:
        return MAX_AMOUNT if self.status == "closed" else 0


class EraseUser(Command):
    """Erases the user: a pseudonym takes the user's place, texts and keys go, points are forfeited."""

    kind: ClassVar[str] = "erase-user"

    @property
    def uses_wallet(self) -> bool:
        return True

    @property
    def debit(self) -> int:
        return MAX_AMOUNT


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

    lots: Annotated[tuple[OpeningLot, ...], Field(min_length=1, max_length=1000), BeforeValidator(as_tuple)]
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
