"""When a rule holds: dates, weekdays and hours by the tenant's clocks."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from pointledger.domain.program.context import Scene
from pointledger.domain.values.models import DATE_PATTERN, Part, as_tuple

_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]|24(?=:00)):([0-5][0-9])")
_LOCAL_TIME_PATTERN = rf"^{DATE_PATTERN}T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{{1,6}})?)?$"
_MAX_SPANS = 24
_HOUR, _DAYS = 60, 7
_FIRST_YEAR, _LAST_YEAR = 1900, 9000  # as of any moment: zones must have room to shift it


def _local_time(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None or not _FIRST_YEAR <= moment.year < _LAST_YEAR:
        raise ValueError("a local time is written like 2026-03-01T00:00:00, without an offset")
    return value


def _hours(value: str) -> str:
    found = _HOURS.fullmatch(value)
    if not found or found[1] + found[2] == found[3] + found[4]:
        raise ValueError("hours are written like 10:00-22:00, or 22:00-02:00 over midnight")
    return value


def _once(weekdays: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(weekdays)) < len(weekdays):
        raise ValueError("a weekday is named once")
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
    AfterValidator(_hours),  # the pattern's beginning: not from a time to the same time
    WithJsonSchema({"type": "string", "pattern": rf"^(?!(.{{5}})-\1$){_HOURS.pattern}$"}),
]
Hours = Annotated[tuple[_Span, ...], Field(min_length=1, max_length=_MAX_SPANS), BeforeValidator(as_tuple)]


class Validity(Part):
    """What is left out does not restrict. `until` and the end of hours are exclusive; hours over midnight
    belong to the weekday on which they began."""

    since: LocalTime | None = Field(default=None, alias="from")
    until: LocalTime | None = None
    tz: Literal["tenant"] = "tenant"
    weekdays: Weekdays | None = None
    hours: Hours | None = None

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> "Validity":
        if self.since and self.until and _naive(self.since) >= _naive(self.until):
            raise ValueError("from lies before until")
        return self

    def holds(self, scene: Scene) -> bool:
        """Whether it held when the event happened."""
        if self.since and scene.at < scene.tenant.instant(_naive(self.since)):
            return False
        if self.until and scene.at >= scene.tenant.instant(_naive(self.until)):
            return False
        weekday, minute = scene.local.isoweekday(), scene.local.hour * _HOUR + scene.local.minute
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
