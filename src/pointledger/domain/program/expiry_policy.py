"""Computes when points expire, by the policy of a rule or a tenant, in the tenant's calendar.

A policy returns the local time at which points expire, which is exclusive.
"""

import calendar
from datetime import date, datetime, time, timedelta
from datetime import date as date_of
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from pointledger.domain.values.fields import EARLIEST, LATEST, Days, Months
from pointledger.domain.values.models import DATE_PATTERN, MONTH_AND_DAY_PATTERN, StrictModel

Mode = Literal["rolling", "fixed_date", "never"]
Round = Literal["none", "end_of_month", "end_of_quarter", "end_of_year"]
_SPAN = {"end_of_month": 1, "end_of_quarter": 3, "end_of_year": 12}  # in months; each divides a year
_LEAP_YEAR = 2000


def _month_and_day(value: str) -> str:
    try:
        if len(value) == len("12-31"):
            date.fromisoformat(f"{_LEAP_YEAR}-{value}")
            return value
    except ValueError:
        pass
    raise ValueError("a yearly date is written like 12-31")


def _any_date(value: str) -> str:
    if len(value) != len("2026-12-31"):
        return _month_and_day(value)
    try:
        if not EARLIEST.year <= date.fromisoformat(value).year < LATEST.year:
            raise ValueError
    except ValueError:
        raise ValueError("a date is written like 12-31 for every year, or 2026-12-31 for one year") from None
    return value


YearlyDate = Annotated[
    str,
    AfterValidator(_month_and_day),
    WithJsonSchema({"type": "string", "pattern": f"^{MONTH_AND_DAY_PATTERN}$"}),
]

AnyDate = Annotated[
    str,
    AfterValidator(_any_date),
    WithJsonSchema({"type": "string", "pattern": f"^({MONTH_AND_DAY_PATTERN}|{DATE_PATTERN})$"}),
]

Names = tuple[str, str, str, str, str]  # the names of a policy's fields: mode, days, months, round, date
_NAMES: Names = ("mode", "days", "months", "round", "date")


def policy_schema(names: Names, *, may_be_left_out: bool = False) -> dict[str, Any]:
    """Build the JSON schema of the checks in `policy_error`.

    `may_be_left_out`: a policy without mode and span is `never`.
    """
    at, in_days, in_months, rounding, on_date = names
    null, none = {"type": "null"}, {"const": "none"}
    no_date = {"properties": {on_date: null}}
    no_span = {"properties": {in_days: null, in_months: null, rounding: none}}
    one_span = {
        "oneOf": [
            {"required": [one], "properties": {one: {"type": "integer"}, other: null}}
            for one, other in ((in_days, in_months), (in_months, in_days))
        ]
    }
    fixed = {"required": [on_date], "properties": no_span["properties"] | {on_date: {"type": "string"}}}
    rolling = no_date | one_span
    left_out = no_date | {"anyOf": [no_span, *one_span["oneOf"]]} if may_be_left_out else rolling

    def mode(name: str) -> dict[str, Any]:
        return {"required": [at], "properties": {at: {"const": name}}}

    never = {"properties": no_span["properties"] | no_date["properties"]}
    unless_rolling = {"if": mode("rolling"), "then": rolling, "else": left_out}
    unless_never = {"if": mode("never"), "then": never, "else": unless_rolling}
    return {"if": mode("fixed_date"), "then": fixed, "else": unless_never}


class Expiry(StrictModel):
    """When granted points expire, counted from when they are available. That moment itself is too late."""

    model_config = ConfigDict(json_schema_extra=policy_schema(_NAMES))

    mode: Mode = Field(
        default="rolling",
        description="`rolling` after so many days or months, `fixed_date` through a day, or `never`.",
    )
    days: Days | None = Field(default=None, description="With `rolling`: calendar days.")
    months: Months | None = Field(
        default=None,
        description="With `rolling`: calendar months instead of days. 31 January and one month is the last "
        "day of February.",
    )
    round: Round = Field(
        default="none",
        description="With `rolling`: the points live until the end of the month, quarter or year.",
    )
    date: AnyDate | None = Field(
        default=None,
        description="With `fixed_date`: the last day. `12-31` is the next such day, today included. "
        "`2026-12-31` is one day, which needs a `valid.until` by which all points are available.",
    )

    @model_validator(mode="after")
    def _check_fields(self) -> "Expiry":
        if error := policy_error(self, _NAMES):
            raise ValueError(error)
        return self

    @property
    def last_day(self) -> date_of | None:
        """The last day of all points, if the policy has a date of one year."""
        if self.date is None or len(self.date) == len("12-31"):
            return None
        return date_of.fromisoformat(self.date)

    def ends(self, local: datetime) -> datetime | None:
        """Return the local time at which points earned at this local time expire; None means never."""
        if self.mode == "never":
            return None
        if self.date is None:
            return _rolled(local, self.days, self.months, self.round)
        if last_day := self.last_day:
            return datetime.combine(last_day + timedelta(days=1), time.min)
        return _after_yearly_date(local, self.date)


def policy_error(policy: object, names: Names) -> str | None:
    """Describe missing or conflicting fields of a policy; None if it is valid."""
    mode, days, months, rounded, yearly = (getattr(policy, name) for name in names)
    at, in_days, in_months, rounding, on_date = names
    if (mode == "rolling") != (days is not None or months is not None) or (days and months):
        return f"{at} rolling requires either {in_days} or {in_months}; other modes allow neither"
    if rounded != "none" and mode != "rolling":
        return f"{rounding} requires {at} rolling"
    if (mode == "fixed_date") != (yearly is not None):
        return f"{at} fixed_date requires {on_date}; other modes do not allow it"
    return None


def _rolled(local: datetime, days: int | None, months: int | None, rounded: Round) -> datetime:
    """Add days or months, then round up to the midnight that ends the month, quarter or year.

    A day that the month lacks becomes its last day.
    """
    found = local + timedelta(days=days) if days else _months_later(local, months or 0)
    if rounded == "none":
        return found
    span = _SPAN[rounded]
    first = (found.month - 1) // span * span + 1
    return datetime.combine(_first_of_month(found.year, first + span), time.min)


def _after_yearly_date(local: datetime, yearly: str) -> datetime:
    """Return the midnight that ends the next such date, which can be today."""
    month, day = (int(part) for part in yearly.split("-"))
    last = _day_of(local.year, month, day)
    if last < local.date():
        last = _day_of(local.year + 1, month, day)
    return datetime.combine(last + timedelta(days=1), time.min)


def _months_later(local: datetime, months: int) -> datetime:
    years, month = divmod(local.month - 1 + months, 12)
    return datetime.combine(_day_of(local.year + years, month + 1, local.day), local.time())


def _first_of_month(year: int, month: int) -> date:
    return date(year, month, 1) if month <= 12 else date(year + 1, 1, 1)  # noqa: PLR2004


def _day_of(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))
