"""Parses the JSON of tenants and rules, independently of the ledger, by the README.

It has its own defaults, so the model does not depend on the ledger's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime, time
from fractions import Fraction
from typing import Any

from tests.model.calendars import Calendar, last_day

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Config:
    """A tenant's current configuration."""

    timezone: str = "UTC"
    points_type: str = "expirable"
    exchange_rate: int = 100
    currency: str = "CNY"
    expiry_mode: str = "never"
    default_expiry_days: int | None = None
    default_expiry_months: int | None = None
    expiry_round: str = "none"
    expiry_date: str | None = None
    max_balance: int | None = None
    min_spend_points: int = 1
    max_earn_per_day: int | None = None
    max_spend_per_day: int | None = None
    earn_enabled: bool = True
    spend_enabled: bool = True
    expire_enabled: bool = True
    exchange_enabled: bool = True
    transfer_enabled: bool = False
    expiry_notice_days: int = 30
    expires_not_before: datetime | None = None
    expire_accounts_per_run: int | None = None
    refund_grace_days: int = 30
    hold_grace_days: int = 7
    backdating_days: int | None = None
    dead_policy: str = "skip"
    events: Any = ()

    @classmethod
    def read(cls, config: Json) -> "Config":
        fields = {name: value for name, value in config.items() if name != "tenant_id"}
        if fields.get("default_expiry_days") or fields.get("default_expiry_months"):
            fields = {"expiry_mode": "rolling", **fields}
        return cls(**fields)

    @property
    def expiry(self) -> "Expiry":
        """The expiry of points unless a rule or a command sets another."""
        return Expiry(
            self.expiry_mode,
            self.default_expiry_days,
            self.default_expiry_months,
            self.expiry_round,
            self.expiry_date,
        )


CONFIG_FIELDS = tuple(each.name for each in fields(Config))


@dataclass(frozen=True, slots=True)
class Expiry:
    """An expiry policy."""

    mode: str = "rolling"
    days: int | None = None
    months: int | None = None
    round: str = "none"
    date: str | None = None

    @classmethod
    def read(cls, expiry: Json) -> "Expiry":
        return cls(**expiry)

    def ends(self, available_from: datetime, calendar: Calendar) -> datetime | None:
        """Return the exclusive end of points that are available from a moment; None is never."""
        if self.mode == "never":
            return None
        if self.mode == "fixed_date":
            return self._after_fixed_date(available_from, calendar)
        if self.months is not None:
            end = calendar.plus_months(available_from, self.months)
        else:
            end = calendar.plus_days(available_from, self.days or 0)
        if self.round == "none":
            return end
        return calendar.end_of(self.round.removeprefix("end_of_"), end)

    def _after_fixed_date(self, available_from: datetime, calendar: Calendar) -> datetime:
        assert self.date is not None
        *year, month, day = (int(part) for part in self.date.split("-"))
        today = calendar.date_of(available_from)
        years = year or [today.year, today.year + 1]
        days = [date(each, month, min(day, last_day(each, month))) for each in years]
        last = next((each for each in days if each >= today), days[-1])
        return calendar.begin(date.fromordinal(last.toordinal() + 1))


@dataclass(frozen=True, slots=True)
class Limit:
    """The most points or times for a scope in a period."""

    max: int
    scope: str = "user"
    period: str = "day"
    unit: str = "points"

    @property
    def label(self) -> str:
        """The name of the limit in outcomes."""
        return f"{self.scope}/{self.period}/{self.unit}"


@dataclass(frozen=True, slots=True)
class Window:
    """The time in which a rule is valid, by the tenant's clock."""

    begins: datetime | None = None
    ends: datetime | None = None
    weekdays: tuple[int, ...] = ()
    hours: tuple[tuple[time, time], ...] = ()

    @classmethod
    def read(cls, valid: Json) -> "Window":
        begins, ends = (datetime.fromisoformat(valid[name]) if valid.get(name) else None for name in _ENDS)
        hours = tuple(tuple(map(_clock, span.split("-"))) for span in valid.get("hours") or ())
        return cls(begins, ends, tuple(valid.get("weekdays") or ()), hours)  # type: ignore[arg-type]

    def holds(self, calendar: Calendar, moment: datetime) -> bool:
        """Whether the rule is valid at a moment."""
        if self.begins and moment < calendar.moment(self.begins.date(), self.begins.time()):
            return False
        if self.ends and moment >= calendar.moment(self.ends.date(), self.ends.time()):
            return False
        local = calendar.local(moment)
        weekday = local.isoweekday()
        if not self.hours:
            return self._has(weekday)
        return any(self._within(span, local.time(), weekday) for span in self.hours)

    def _within(self, span: tuple[time, time], clock: time, weekday: int) -> bool:
        begins, ends = span
        if begins < ends:
            return begins <= clock < ends and self._has(weekday)
        # Over midnight: the hours after it belong to the day on which the span begins.
        return (clock >= begins and self._has(weekday)) or (clock < ends and self._has((weekday - 2) % 7 + 1))

    def _has(self, weekday: int) -> bool:
        return not self.weekdays or weekday in self.weekdays


_ENDS = ("from", "until")


def _clock(text: str) -> time:
    return time() if text == "24:00" else time.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Rule:
    """A version of a rule. Without `expiry`, the tenant's policy applies."""

    name: str
    event_type: str
    base: Json
    enabled: bool = True
    priority: int = 0
    multiplier: Fraction = Fraction(1)
    rounding: str = "floor"
    least: int | None = None
    most: int | None = None
    window: Window = Window()
    when: str | None = None
    stacking: str = "stack"
    group: str | None = None
    limits: tuple[Limit, ...] = ()
    refuses: bool = False
    pending_days: int | None = None
    expiry: Expiry | None = None
    body: Json = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, body: Json) -> "Rule":
        """Parse the nested or the flat form."""
        award = body.get("award") or {}
        stacking = body.get("stacking") or {}
        base = award.get("base") or body.get("base") or {"kind": "fixed", "points": body.get("points")}
        return cls(
            name=body["name"],
            event_type=body["event_type"],
            base=base,
            enabled=body.get("enabled", True),
            priority=body.get("priority", 0),
            multiplier=Fraction(str(award.get("multiplier") or body.get("multiplier") or 1)),
            rounding=award.get("rounding", "floor"),
            least=award.get("min"),
            most=award.get("max"),
            window=Window.read(body.get("valid") or {}),
            when=body.get("when"),
            stacking=stacking.get("mode", "stack"),
            group=stacking.get("group"),
            limits=_limits(body),
            refuses=body.get("on_exceed") == "refuse",
            pending_days=(body.get("pending") or {}).get("days") or body.get("pending_days"),
            expiry=_expiry(body),
            body=body,
        )


def _limits(body: Json) -> tuple[Limit, ...]:
    limits = [Limit(**limit) for limit in body.get("limits") or ()]
    for name, period in (("daily_limit", "day"), ("total_limit", "lifetime")):
        if body.get(name) is not None:
            limits.append(Limit(body[name], period=period, unit=body.get(f"{name}_unit") or "points"))
    return tuple(limits)


def _expiry(body: Json) -> Expiry | None:
    if body.get("expiry"):
        return Expiry.read(body["expiry"])
    return Expiry("rolling", days=body["expiry_days"]) if body.get("expiry_days") else None
