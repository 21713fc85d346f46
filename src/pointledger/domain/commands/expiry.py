"""Defines the commands that change when points expire."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pointledger.domain.commands.base import Command
from pointledger.domain.values.fields import MAX_AMOUNT, Days, Moment, Months, ReasonText, TaskId
from pointledger.domain.values.models import as_tuple

_MAX_LOTS = 1_000  # per command, so that a journal row stays small

_Ids = Annotated[tuple[TaskId, ...], Field(min_length=1, max_length=_MAX_LOTS)]


class ExtendExpiry(Command):
    """Moves the expiry of lots to later, for administrators. Say which lots: `lots` or `expiring_before`. Say
    until when: `expires_at`, `days`, `months` or `never`."""

    kind: ClassVar[str] = "extend-expiry"

    lots: Annotated[_Ids | None, BeforeValidator(as_tuple)] = Field(
        default=None, description="The lots: their ids, or those of the entries that brought them."
    )
    expiring_before: Moment | None = Field(
        default=None, description="All lots that expire before this moment."
    )
    expires_at: Moment | None = Field(default=None, description="The new expiry.")
    days: Days | None = Field(
        default=None, description="Calendar days of the tenant, counted from each lot's own expiry."
    )
    months: Months | None = Field(
        default=None, description="Calendar months of the tenant, counted from each lot's own expiry."
    )
    never: bool = Field(default=False, description="The lots never expire.")
    reason: ReasonText = Field(description="Why. The audit log shows it.")

    @model_validator(mode="after")
    def _check_choices(self) -> "ExtendExpiry":
        if (self.lots is None) == (self.expiring_before is None):
            raise ValueError("give lots or expiring_before, one of them")
        given = [self.expires_at is not None, self.days is not None, self.months is not None, self.never]
        if sum(given) != 1:
            raise ValueError("give expires_at, days, months or never, one of them")
        return self

    @property
    def debit(self) -> int:
        # A moved lot changes its place in the order, so all lots must be loaded.
        return MAX_AMOUNT


class _EffectiveOnAcceptance(Command):
    """A command that gives notice. The notice counts from its acceptance, so it takes no `occurred_at`."""

    @model_validator(mode="after")
    def _check_occurred_at(self) -> "_EffectiveOnAcceptance":
        if self.occurred_at is not None:
            raise ValueError("occurred_at does not apply: the command takes effect when it is accepted")
        return self


class SetExpiryExemption(_EffectiveOnAcceptance):
    """Exempts an account from expiry, for administrators, for example where the law demands it. Or lifts the
    exemption: points that came due meanwhile then expire after the tenant's notice."""

    kind: ClassVar[str] = "set-expiry-exemption"

    exempt: bool = Field(description="Whether points of the account are kept from expiring.")
    reason: ReasonText = Field(description="Why. The audit log shows it.")


class LotExpiry(BaseModel):
    """A new expiry for a lot."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    lot_id: TaskId = Field(description="The lot.")
    changes: Annotated[int, Field(ge=0)] = Field(
        description="How often the lot's expiry was moved before. A lot that was moved since stays as it is."
    )
    expires_at: Moment | None = Field(default=None, description="The new expiry. Never, if not given.")


class ApplyExpiryPolicy(_EffectiveOnAcceptance):
    """Moves lots to the expiry of a changed policy. `pointledger tenant apply-expiry` sends it."""

    kind: ClassVar[str] = "apply-expiry-policy"

    lots: Annotated[
        tuple[LotExpiry, ...], Field(min_length=1, max_length=_MAX_LOTS), BeforeValidator(as_tuple)
    ] = Field(description="The lots and their new expiry.")

    @property
    def debit(self) -> int:
        return MAX_AMOUNT
