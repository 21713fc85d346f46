"""Defines the base model of a program's JSON, and patterns for its dates."""

from pydantic import BaseModel, ConfigDict

# Existing dates of the years 1900 to 8999, for JSON schema; 29 February only in leap years.
_DAYS_OF_MONTHS = (
    "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
)
_YEAR = "(19|[2-8][0-9])[0-9]{2}"
_LEAP_YEAR = (
    "(19|[2-8][0-9])(0[48]|[2468][048]|[13579][26])|(2[048]|3[26]|4[048]|5[26]|6[048]|7[26]|8[048])00"
)
MONTH_AND_DAY_PATTERN = f"({_DAYS_OF_MONTHS}|02-29)"
DATE_PATTERN = f"({_YEAR}-({_DAYS_OF_MONTHS})|({_LEAP_YEAR})-02-29)"


class StrictModel(BaseModel):
    """A strict, frozen model. It serializes by alias because some JSON names are Python keywords (`from`)."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, serialize_by_alias=True
    )


def as_tuple(value: object) -> object:
    """Convert a JSON list for a field that is a tuple."""
    return tuple(value) if isinstance(value, list) else value
