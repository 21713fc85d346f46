"""Commands about when points expire: those of administrators, and what a changed policy sends."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pointledger.domain.commands.base import Command
from pointledger.domain.values.fields import MAX_AMOUNT, Days, Moment, Months, TaskId, Why
from pointledger.domain.values.models import as_tuple

_MOST_LOTS = 1_000  # that one command names: a row of the journal stays small

_Ids = Annotated[tuple[TaskId, ...], Field(min_length=1, max_length=_MOST_LOTS)]


class ExtendExpiry(Command):
    """An administrator lets lots live longer, none shorter. Which: `lots` (ids of lots, or of entries that
    brought them), or all that expire before a moment. Until when: a moment, so many days or months of the
    tenant's calendar beyond each lot's own expiry, or for ever."""

    kind: ClassVar[str] = "extend-expiry"

    lots: Annotated[_Ids | None, BeforeValidator(as_tuple)] = None
    expiring_before: Moment | None = None
    expires_at: Moment | None = None
    days: Days | None = None
    months: Months | None = None
    never: bool = False
    reason: Why

    @model_validator(mode="after")
    def _says_which_and_until_when(self) -> "ExtendExpiry":
        if (self.lots is None) == (self.expiring_before is None):
            raise ValueError("give lots or expiring_before, one of them")
        given = [self.expires_at is not None, self.days is not None, self.months is not None, self.never]
        if sum(given) != 1:
            raise ValueError("give expires_at, days, months or never, one of them")
        return self

    @property
    def debit(self) -> int:
        # Moved lots change places with others: all must be there.
        return MAX_AMOUNT


class _Prompt(Command):
    """What gives notice does so from when it is accepted, not from when anybody says that it happened."""

    @model_validator(mode="after")
    def _happens_now(self) -> "_Prompt":
        if self.occurred_at is not None:
            raise ValueError("occurred_at does not apply: it counts from when it is accepted")
        return self


class SetExpiryExemption(_Prompt):
    """An administrator lets time take nothing from an account, where the law wants it so; or again."""

    kind: ClassVar[str] = "set-expiry-exemption"

    exempt: bool
    reason: Why


class LotExpiry(BaseModel):
    """When a lot is to expire (null: never), if its expiry has been moved so many times before, no more."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    lot_id: TaskId
    changes: Annotated[int, Field(ge=0)]
    expires_at: Moment | None = None


class ApplyExpiryPolicy(_Prompt):
    """Moves lots to when a changed policy lets them expire. `tenant apply-expiry` sends it."""

    kind: ClassVar[str] = "apply-expiry-policy"

    lots: Annotated[
        tuple[LotExpiry, ...], Field(min_length=1, max_length=_MOST_LOTS), BeforeValidator(as_tuple)
    ]

    @property
    def debit(self) -> int:
        return MAX_AMOUNT
