"""Rules: a tenant's recipe from events to points, versioned.

A rule is kept in its nested form; the flat names of the API pages are a shorthand that is normalised
when it is saved. How many points it wants to grant: `awards.py`.
"""

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from pointledger.domain.program.awards import Award
from pointledger.domain.program.expiry_policy import Expiry
from pointledger.domain.program.expressions import Condition
from pointledger.domain.program.validity import Validity
from pointledger.domain.values.fields import MAX_AMOUNT, Days, Label
from pointledger.domain.values.json_values import CHECKED_BEFORE
from pointledger.domain.values.models import Part, as_tuple
from pointledger.domain.values.validation import explain
from pointledger.errors import InvalidRule

_MAX_LIMITS = 20  # each is a count to look up for every event


class Limit(Part):
    """At most `max`, in points or in times, in a window: for this user under this rule, for all users under
    this rule, or for all of the tenant's rules that carry such a limit."""

    scope: Literal["user", "rule", "tenant"] = "user"
    period: Literal["day", "week", "month", "lifetime"]
    unit: Literal["points", "times"] = "points"
    max: Annotated[int, Field(ge=0, le=MAX_AMOUNT)]

    @property
    def label(self) -> str:
        """How an outcome names it."""
        return f"{self.scope}/{self.period}/{self.unit}"


class Stacking(Part):
    """How a rule goes together with the other rules that match in its group; without a group, with those
    that have none either (`matching.py`)."""

    mode: Literal["stack", "exclusive", "best_of"] = "stack"
    group: Label | None = None


class Pending(Part):
    """Points that wait so many calendar days of the tenant before they are available."""

    mode: Literal["period"] = "period"
    days: Days


class RuleBody(Part):
    """One version of a rule, as it is saved."""

    name: Label
    event_type: Label
    enabled: bool = True
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    valid: Validity | None = None  # null: always
    when: Condition | None = None  # null: any event of the type
    award: Award
    stacking: Stacking = Stacking()
    limits: Annotated[tuple[Limit, ...], Field(max_length=_MAX_LIMITS), BeforeValidator(as_tuple)] = ()
    on_exceed: Literal["clamp", "refuse"] = "clamp"
    pending: Pending | None = None  # null: what is granted is available at once
    expiry: Expiry | None = None  # null: the tenant's policy; counted from when the points are available

    @model_validator(mode="after")
    def _lives_to_be_active(self) -> "RuleBody":
        """A date that is named once must not have passed when the last grant becomes available."""
        last_day = self.expiry.last_day if self.expiry else None
        if last_day is None:
            return self
        until = self.valid.until if self.valid else None
        if until is None:
            raise ValueError("expiry.date of one year goes with valid.until: later points would be dead")
        available = datetime.fromisoformat(until) + timedelta(days=self.pending.days if self.pending else 0)
        if available > datetime.combine(last_day + timedelta(days=1), time.min):
            raise ValueError("expiry.date lies before the last points become available")
        return self


@dataclass(frozen=True, slots=True)
class Rule:
    """A version of a rule and when it came into force; `body` says what it does."""

    id: UUID
    version: int
    in_force_from: datetime | None  # None: the first version, in force since ever
    body: RuleBody
    meter: str = field(init=False, compare=False, repr=False)  # on which its own limits count

    def __post_init__(self) -> None:
        object.__setattr__(self, "meter", str(self.id))


class RuleError(NamedTuple):
    """A rule that was skipped because its expression failed, and CEL's word for why. Nothing of an event."""

    tenant_id: str
    rule_id: UUID
    rule_version: int
    because: str


@dataclass(frozen=True, slots=True)
class Rules:
    """All of a tenant's rules, in every version, in the order in which they were saved: a value, which may be
    kept as long as there is no new one.

    The first version of a rule is in force since ever, so that last year's events find it; a change holds
    from the moment when it was saved.
    """

    versions: tuple[Rule, ...] = ()
    _timeless: dict[str, list[Rule]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def for_event(self, event_type: str, effective_at: datetime) -> list[Rule]:
        """The enabled rules for this type of event, each in the version in force then, as they are tried:
        highest priority first, then the oldest."""
        if event_type in self._timeless:
            return self._timeless[event_type]
        found = [rule for rule in self.in_force(event_type, effective_at) if rule.body.enabled]
        if all(rule.in_force_from is None for rule in self.versions):  # nothing changed: any moment will do
            self._timeless[event_type] = found
        return found

    def in_force(self, event_type: str, effective_at: datetime) -> list[Rule]:
        """Those that are switched off, too."""
        newest: dict[UUID, Rule] = {}  # the oldest first: a rule's first version is always in force
        for rule in self.versions:
            if rule.in_force_from is not None and rule.in_force_from > effective_at:
                continue
            known = newest.get(rule.id)
            if known is None or known.version < rule.version:
                newest[rule.id] = rule
        matching = [rule for rule in newest.values() if rule.body.event_type == event_type]
        return sorted(matching, key=lambda rule: -rule.body.priority)


def rule_from(fields: Any) -> RuleBody:
    """A rule from JSON fields, nested or flat. Raises InvalidRule naming each field and rule."""
    if not isinstance(fields, dict):
        raise InvalidRule("body: a rule is a JSON object")
    try:
        return RuleBody.model_validate(_nested(fields))
    except ValidationError as error:
        raise InvalidRule(_in_the_writers_words(explain(error), fields)) from None


def rule_as_saved(fields: dict[str, Any]) -> RuleBody:
    """A rule as the ledger has it. Its expressions were compiled when it was saved, and are not again before
    an event needs them."""
    return RuleBody.model_validate(fields, context=CHECKED_BEFORE)


# The flat names of the API pages, and where what they say belongs in the nested form.
_FLAT = {
    "points": "award.base.fixed.points",
    "base": "award.base",
    "multiplier": "award.multiplier",
    "expiry_days": "expiry.days",
    "pending_days": "pending.days",
}
_FLAT_LIMITS = {"daily_limit": "day", "total_limit": "lifetime"}


def _nested(fields: dict[str, Any]) -> dict[str, Any]:
    """The flat names put where they belong; a nested rule passes through."""
    rule = dict(fields)
    for name, path in _FLAT.items():
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
    for name, period in _FLAT_LIMITS.items():
        unit = rule.pop(f"{name}_unit", None)
        most = rule.pop(name, None)
        if unit is not None and most is None:
            raise InvalidRule(f"{name}_unit: goes with {name}, and only with it")
        if most is not None:
            found.append({"period": period, "unit": "points" if unit is None else unit, "max": most})
    return found


def _in_the_writers_words(message: str, fields: dict[str, Any]) -> str:
    """Names the flat field where one was given, not the nested one that it became."""
    for name, path in _FLAT.items():
        if name in fields:
            message = message.replace(path, name)
    for position, name in enumerate(name for name in _FLAT_LIMITS if fields.get(name) is not None):
        message = message.replace(f"limits.{position}.max", name)
        message = message.replace(f"limits.{position}.unit", f"{name}_unit")
    return message
