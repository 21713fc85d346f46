"""Rules: a tenant's recipe from events to points, versioned.

A rule is kept in its nested form; the flat names of the API pages are a shorthand that is normalised
when it is saved. Arithmetic is exact: integers and decimals, one rounding at the end, down.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pointledger.domain.fields import MAX_AMOUNT, Label
from pointledger.domain.findings import explain
from pointledger.domain.tenants import Days, Points
from pointledger.errors import InvalidRule

_MULTIPLIER_DECIMALS = 6
_MULTIPLIER_SCALE = 10**6
_MAX_MULTIPLIER = Decimal(10**6)


def _decimal(value: object) -> object:
    if isinstance(value, bool | float):
        raise ValueError('write it as text, like "1.15": a binary float is not exact')
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, str):
        if not (value.isascii() and value.replace(".", "", 1).isdigit()):
            raise ValueError('a multiplier is written like "1.15"')
        return Decimal(value)
    return value


def _bounded(value: Decimal) -> Decimal:
    if not 0 <= value <= _MAX_MULTIPLIER:
        raise ValueError(f"from 0 to {_MAX_MULTIPLIER}")
    if value != round(value, _MULTIPLIER_DECIMALS):
        raise ValueError(f"at most {_MULTIPLIER_DECIMALS} decimals")
    return value


Multiplier = Annotated[Decimal, BeforeValidator(_decimal), AfterValidator(_bounded)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Fixed(_Part):
    """So many points per event."""

    kind: Literal["fixed"] = "fixed"
    points: Annotated[int, Field(ge=0, le=MAX_AMOUNT)]


class PerUnit(_Part):
    """`points` for each whole `per` of a metadata field; what is left over counts for nothing."""

    kind: Literal["per_unit"]
    field: Label
    per: Points
    points: Points


class Award(_Part):
    base: Annotated[Fixed | PerUnit, Field(discriminator="kind")]
    multiplier: Multiplier = Decimal(1)


class Limit(_Part):
    """At most `max` for this user under this rule, in points or in times, in a window."""

    scope: Literal["user"] = "user"
    period: Literal["day", "lifetime"]
    unit: Literal["points", "times"] = "points"
    max: Annotated[int, Field(ge=0, le=MAX_AMOUNT)]

    @property
    def label(self) -> str:
        """How an outcome names it."""
        return f"{self.scope}/{self.period}/{self.unit}"


class Expiry(_Part):
    """The granted lot's life in calendar days of the tenant."""

    mode: Literal["rolling"] = "rolling"
    days: Days


class RuleBody(_Part):
    """One version of a rule, as it is saved."""

    name: Label
    event_type: Label
    enabled: bool = True
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    award: Award
    limits: tuple[Limit, ...] = ()
    on_exceed: Literal["clamp", "refuse"] = "clamp"
    expiry: Expiry | None = None  # null: the tenant's policy


@dataclass(frozen=True, slots=True)
class Rule:
    """A version of a rule and when it came into force; `body` says what it does."""

    id: UUID
    version: int
    in_force_from: datetime | None  # None: the first version, in force since ever
    body: RuleBody

    def wanted(self, metadata: dict[str, Any]) -> int | None:
        """Points before limits; None where the event lacks the integer that the rule counts."""
        award = self.body.award
        base = award.base
        if isinstance(base, Fixed):
            points = base.points
        else:
            units: object = metadata.get(base.field)
            if not isinstance(units, int) or isinstance(units, bool):
                return None
            points = units // base.per * base.points
        scaled = int(award.multiplier * _MULTIPLIER_SCALE)
        return min(max(points * scaled // _MULTIPLIER_SCALE, 0), MAX_AMOUNT)


@dataclass(frozen=True, slots=True)
class Rules:
    """All of a tenant's rules, in every version: a value, which may be kept as long as there is no new one.

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
        found = self._in_force(event_type, effective_at)
        if all(rule.in_force_from is None for rule in self.versions):  # nothing changed: any moment will do
            self._timeless[event_type] = found
        return found

    def _in_force(self, event_type: str, effective_at: datetime) -> list[Rule]:
        newest: dict[UUID, Rule] = {}
        for rule in self.versions:
            if rule.in_force_from is not None and rule.in_force_from > effective_at:
                continue
            known = newest.get(rule.id)
            if known is None or known.version < rule.version:
                newest[rule.id] = rule
        matching = [
            rule for rule in newest.values() if rule.body.enabled and rule.body.event_type == event_type
        ]
        return sorted(matching, key=lambda rule: (-rule.body.priority, rule.id))


def rule_from(fields: Any) -> RuleBody:
    """A rule from JSON fields, nested or flat. Raises InvalidRule naming each field and rule."""
    if not isinstance(fields, dict):
        raise InvalidRule("body: a rule is a JSON object")
    try:
        return RuleBody.model_validate(_nested(fields))
    except ValidationError as error:
        raise InvalidRule(_in_the_writers_words(explain(error), fields)) from None


# The flat names of the API pages, and where what they say belongs in the nested form.
_FLAT = {
    "points": "award.base.fixed.points",
    "base": "award.base",
    "multiplier": "award.multiplier",
    "expiry_days": "expiry.days",
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
    if (days := rule.pop("expiry_days", None)) is not None:
        rule["expiry"] = {"days": days}
    if limits := _take_flat_limits(rule):
        if "limits" in rule:
            raise InvalidRule("limits: give either limits or daily_limit and total_limit")
        rule["limits"] = limits
    if isinstance(rule.get("limits"), list):
        rule["limits"] = tuple(rule["limits"])
    return rule


def _take_flat_limits(rule: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, period in _FLAT_LIMITS.items():
        unit = rule.pop(f"{name}_unit", None)
        most = rule.pop(name, None)
        if unit is not None and most is None:
            raise InvalidRule(f"{name}_unit: goes with {name}, and only with it")
        if most is not None:
            found.append({"period": period, "unit": unit or "points", "max": most})
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
