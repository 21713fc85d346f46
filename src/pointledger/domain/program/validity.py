"""Defines when a rule is valid: dates, weekdays and hours in the tenant's local time."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from pointledger.domain.program.context import EvaluationContext
from pointledger.domain.values.fields import EARLIEST, LATEST
from pointledger.domain.values.models import DATE_PATTERN, StrictModel, as_tuple

_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]|24(?=:00)):([0-5][0-9])")
_LOCAL_TIME_PATTERN = rf"^{DATE_PATTERN}T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{{1,6}})?)?$"
_MAX_SPANS = 24
_HOUR, _DAYS = 60, 7


def _local_time(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None or not EARLIEST.year <= moment.year < LATEST.year:
        raise ValueError("a local time is written like 2026-03-01T00:00:00, without an offset")
    return value


def _hours(value: str) -> str:
    found = _HOURS.fullmatch(value)
    if not found or found[1] + found[2] == found[3] + found[4]:
        raise ValueError("hours are written like 10:00-22:00, or 22:00-02:00 over midnight")
    return value


def _once(weekdays: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(weekdays)) < len(weekdays):
        raise ValueError("each weekday occurs once")
    return weekdays


LocalTime = Annotated[
    str, AfterValidator(_local_time), WithJsonSchema({"type": "string", "pattern": _LOCAL_TIME_PATTERN})
]
Weekday = Annotated[int, Field(ge=1, le=_DAYS)]  # ISO: 1 is Monday
Weekdays = Annotated[
    tuple[Weekday, ...],
    Field(min_length=1, max_length=_DAYS, json_schema_extra={"uniqueItems": True}),
    BeforeValidator(as_tuple),
    AfterValidator(_once),
]
_Span = Annotated[
    str,
    AfterValidator(_hours),  # the pattern's lookahead: start and end differ
    WithJsonSchema({"type": "string", "pattern": rf"^(?!(.{{5}})-\1$){_HOURS.pattern}$"}),
]
Hours = Annotated[tuple[_Span, ...], Field(min_length=1, max_length=_MAX_SPANS), BeforeValidator(as_tuple)]


class Validity(StrictModel):
    """When a rule holds, by the tenant's clocks. What is left out does not restrict."""

    since: LocalTime | None = Field(
        default=None, alias="from", description="The first local time, like `2026-03-01T00:00:00`."
    )
    until: LocalTime | None = Field(
        default=None, description="The local time at which the rule ends, exclusive."
    )
    tz: Literal["tenant"] = Field(default="tenant", description="Whose clocks: there are no others.")
    weekdays: Weekdays | None = Field(default=None, description="Days of the week. 1 is Monday.")
    hours: Hours | None = Field(
        default=None,
        description="Spans of the day, like `10:00-22:00`, the end exclusive. A span over midnight belongs "
        "to the weekday on which it began.",
    )

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> "Validity":
        if self.since and self.until and _naive(self.since) >= _naive(self.until):
            raise ValueError("from lies before until")
        return self

    def holds(self, context: EvaluationContext) -> bool:
        """Return whether the rule is valid when the event happens."""
        if self.since and context.at < context.tenant.instant(_naive(self.since)):
            return False
        if self.until and context.at >= context.tenant.instant(_naive(self.until)):
            return False
        weekday, minute = context.local.isoweekday(), context.local.hour * _HOUR + context.local.minute
        if self.hours is None:
            return self._on(weekday)
        return any(self._within(span, weekday, minute) for span in self.hours)

    def _on(self, weekday: int) -> bool:
        return self.weekdays is None or weekday in self.weekdays

    def _within(self, span: str, weekday: int, minute: int) -> bool:
        starts, ends = (_minutes(text) for text in span.split("-"))
        if starts < ends:
            return starts <= minute < ends and self._on(weekday)
        yesterday = weekday - 1 or _DAYS
        return (minute >= starts and self._on(weekday)) or (minute < ends and self._on(yesterday))


def _naive(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * _HOUR + int(minute)
