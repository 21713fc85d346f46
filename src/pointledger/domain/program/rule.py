"""Defines rules: versioned recipes from events to points.

The ledger stores rules in their nested form. The flat names of the API reference are a shorthand, which is
normalized when a rule is saved. `awards.py` computes the points that a rule grants.
"""

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

from pointledger.domain.program.awards import Award, Formula
from pointledger.domain.program.budget import Expression, RuleCost, check_expressions, worst_cost
from pointledger.domain.program.expiry_policy import Expiry
from pointledger.domain.program.expressions import Condition
from pointledger.domain.program.validity import Validity
from pointledger.domain.values.fields import MAX_AMOUNT, Days, Label
from pointledger.domain.values.json_values import CHECKED_BEFORE
from pointledger.domain.values.models import StrictModel, as_tuple
from pointledger.domain.values.validation import describe, faults_of
from pointledger.errors import InvalidRule

MAX_LIMITS = 20  # each costs a lookup per event


class Limit(StrictModel):
    """A bound on what a rule grants in a window of the tenant's calendar. A limit of scope `rule` or `tenant`
    is never exceeded, not even by one point, however many workers there are. Which users get the last points
    is unspecified."""

    scope: Literal["user", "rule", "tenant"] = Field(
        default="user",
        description="Who shares the window: `user` is each user under this rule, `rule` is all users under "
        "this rule, and `tenant` is a budget that all rules with such a limit of the same period share. A "
        "rule without it neither counts against the budget nor is bounded by it.",
    )
    period: Literal["day", "week", "month", "lifetime"] = Field(
        description="The window, by the tenant's calendar. Weeks begin on Monday. `lifetime` never ends."
    )
    unit: Literal["points", "times"] = Field(
        default="points", description="What is counted: points or grants."
    )
    max: Annotated[int, Field(ge=0, le=MAX_AMOUNT)] = Field(description="The most per window.")

    @property
    def label(self) -> str:
        """The limit's name in outcomes."""
        return f"{self.scope}/{self.period}/{self.unit}"


class Stacking(StrictModel):
    """How a rule combines with other rules of its group that match the same event."""

    mode: Literal["stack", "exclusive", "best_of"] = Field(
        default="stack",
        description="`stack` grants beside others. Of the `best_of` rules only the one that wants most "
        "grants. The `exclusive` rule of highest priority grants alone. Of equal rules the higher priority "
        "counts, then the older rule.",
    )
    group: Label | None = Field(
        default=None, description="The group. Rules without a group are a group of their own."
    )


class Pending(StrictModel):
    """How long points wait before they are available. Limits count them at once."""

    mode: Literal["period"] = Field(default="period", description="The only mode there is.")
    days: Days = Field(description="Calendar days of the tenant.")


class RuleBody(StrictModel):
    """One version of a rule: which events it takes, and what it grants for them."""

    name: Label = Field(description="The rule's name. Saving a rule of the same name makes a new version.")
    event_type: Label = Field(description="The type of event that the rule takes.")
    enabled: bool = Field(default=True, description="Whether the rule grants anything.")
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = Field(
        default=0, description="Rules of higher priority grant first. Of equal rules the older grants first."
    )
    valid: Validity | None = Field(default=None, description="When the rule holds. Always, if not given.")
    when: Condition | None = Field(
        default=None, description="A condition on the event. Any event of the type, if not given."
    )
    award: Award = Field(description="How many points the rule wants to grant.")
    stacking: Stacking = Field(default=Stacking(), description="How it combines with other rules.")
    limits: Annotated[tuple[Limit, ...], Field(max_length=MAX_LIMITS), BeforeValidator(as_tuple)] = Field(
        default=(), description="Bounds on what it grants."
    )
    on_exceed: Literal["clamp", "refuse"] = Field(
        default="clamp",
        description="Over a limit, `clamp` grants what is left, and `refuse` grants nothing.",
    )
    pending: Pending | None = Field(
        default=None, description="How long the points wait. They are available at once, if not given."
    )
    expiry: Expiry | None = Field(
        default=None,
        description="When the points expire, counted from when they are available. By the tenant's policy, "
        "if not given.",
    )

    @model_validator(mode="after")
    def _check_expiry_date(self) -> "RuleBody":
        """Require an expiry date of one year to lie after the last grant becomes available."""
        last_day = self.expiry.last_day if self.expiry else None
        if last_day is None:
            return self
        until = self.valid.until if self.valid else None
        if until is None:
            raise ValueError("expiry.date of one year requires valid.until: later points would be expired")
        available = datetime.fromisoformat(until) + timedelta(days=self.pending.days if self.pending else 0)
        if available > datetime.combine(last_day + timedelta(days=1), time.min):
            raise ValueError("expiry.date lies before the last points become available")
        return self

    @model_validator(mode="after")
    def _check_cost(self, info: ValidationInfo) -> "RuleBody":
        """Refuse an expression that could cost too much. A disabled rule costs nothing."""
        if self.enabled and info.context is not CHECKED_BEFORE:
            check_expressions(self.expressions)
        return self

    @cached_property
    def expressions(self) -> list[Expression]:
        """The rule's condition and formula."""
        found = [] if self.when is None else [Expression("when", self.when, "BOOL")]
        base = self.award.base
        if isinstance(base, Formula):
            found.append(Expression("award.base.formula.expr", base.expr, "INT"))
        return found

    @cached_property
    def worst_cost(self) -> RuleCost:
        """What the rule costs over the largest event."""
        return worst_cost(self.expressions)


@dataclass(frozen=True, slots=True)
class Rule:
    """A version of a rule and the moment from which it is in force."""

    id: UUID
    version: int
    in_force_from: datetime | None  # None: the first version, always in force
    body: RuleBody
    meter: str = field(init=False, compare=False, repr=False)  # of its own limits

    def __post_init__(self) -> None:
        object.__setattr__(self, "meter", str(self.id))


class RuleError(NamedTuple):
    """A rule that was skipped because its expression failed or would cost too much. `detail` is CEL's error
    code, or the limit of cost."""

    tenant_id: str
    rule_id: UUID
    rule_version: int
    detail: str  # without event data


def rule_from(fields: Any) -> RuleBody:
    """Build a rule from nested or flat JSON fields. Raises InvalidRule, which names each field and rule."""
    if not isinstance(fields, dict):
        raise InvalidRule("body: a rule is a JSON object")
    try:
        return RuleBody.model_validate(_nested(fields))
    except ValidationError as error:
        invalid = InvalidRule(_with_flat_names(describe(error), fields))
        invalid.faults = faults_of(error)
        raise invalid from None


def rule_as_saved(fields: dict[str, Any]) -> RuleBody:
    """Build a rule from its stored form, without compiling its expressions again.

    They compiled when the rule was saved, and compile again when an event needs them. Raises InvalidRule
    for a rule that a newer program saved.
    """
    try:
        return RuleBody.model_validate(fields, context=CHECKED_BEFORE)
    except ValidationError as error:
        raise InvalidRule(describe(error)) from None


# The flat names of the API pages, and where what they say belongs in the nested form.
FLAT_NAMES = {
    "points": "award.base.fixed.points",
    "base": "award.base",
    "multiplier": "award.multiplier",
    "expiry_days": "expiry.days",
    "pending_days": "pending.days",
}
FLAT_LIMITS = {"daily_limit": "day", "total_limit": "lifetime"}


def _nested(fields: dict[str, Any]) -> dict[str, Any]:
    """Move flat names to their nested paths; a nested rule stays as it is."""
    rule = dict(fields)
    for name, path in FLAT_NAMES.items():
        if name in rule:
            part = path.partition(".")[0]
            if part in fields or (name == "points" and "base" in fields):
                raise InvalidRule(f"{name}: give either {name} or {part if part in fields else 'base'}")
    award = {name: rule.pop(name) for name in ("base", "multiplier") if name in rule}
    if "points" in rule:
        award["base"] = {"kind": "fixed", "points": rule.pop("points")}
    if award:
        rule["award"] = award
    for part in ("expiry", "pending"):
        if (days := rule.pop(f"{part}_days", None)) is not None:
            rule[part] = {"days": days}
    if limits := _take_flat_limits(rule):
        if "limits" in rule:
            raise InvalidRule("limits: give either limits or daily_limit and total_limit")
        rule["limits"] = limits
    return rule


def _take_flat_limits(rule: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, period in FLAT_LIMITS.items():
        unit = rule.pop(f"{name}_unit", None)
        maximum = rule.pop(name, None)
        if unit is not None and maximum is None:
            raise InvalidRule(f"{name}_unit: requires {name}")
        if maximum is not None:
            found.append({"period": period, "unit": "points" if unit is None else unit, "max": maximum})
    return found


def _with_flat_names(message: str, fields: dict[str, Any]) -> str:
    """Replace nested paths by the flat names that the caller used."""
    for name, path in FLAT_NAMES.items():
        if name in fields:
            message = message.replace(path, name)
    for position, name in enumerate(name for name in FLAT_LIMITS if fields.get(name) is not None):
        message = message.replace(f"limits.{position}.max", name)
        message = message.replace(f"limits.{position}.unit", f"{name}_unit")
    return message
