"""Defines the field types of commands: ids, moments, amounts and texts."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from pointledger.ids import parse_id

Days = Annotated[int, Field(ge=1, le=36_500)]  # a hundred years: longer is "never"
Months = Annotated[int, Field(ge=1, le=1_200)]
MAX_AMOUNT = 10**15  # a bigint holds 9 * 10^18: the sum of a thousand such amounts still fits
MAX_ID = 255  # characters, as OpenID Connect allows a subject; two of them and a key fit into an index row
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_OUT_OF_RANGE = "a moment lies between the years 1900 and 9000; leave it out for never"
_LEAP_SECOND = re.compile(r"(T\d\d:\d\d):60")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Control characters: those of ASCII, and Unicode's that break a line, turn the direction of text or have no
# width. With them two ids could look the same.
_CONTROLS_OF_IDS = r"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_NOT_IN_IDS = re.compile(rf"[{_CONTROLS_OF_IDS}\ud800-\udfff]")  # Postgres cannot store a lone surrogate


def _one_id(value: object) -> object:
    if isinstance(value, str):
        try:
            return parse_id(value)
        except ValueError as error:
            raise ValueError(f"an id is a ULID or a UUID: {error}") from None
    return value


def _moment_in(text: str) -> datetime:
    """Parse ISO 8601 and RFC 3339. Raises ValueError and OverflowError.

    RFC 3339 also allows a lower-case t and z, and a leap second (23:59:60 in UTC). A leap second becomes the
    first second of the next day, as on most clocks.
    """
    earlier, leaps = _LEAP_SECOND.subn(r"\1:59", text.upper())
    moment = datetime.fromisoformat(earlier)
    if not leaps:
        return moment
    if f"{moment.astimezone(UTC):%H:%M:%S}" != "23:59:59":
        raise ValueError("no leap second")
    return moment + timedelta(seconds=1)


def _one_moment(value: object) -> object:
    """Accept ISO 8601 with an offset. Pydantic alone also accepts numbers and local times."""
    moment = value
    if isinstance(value, str):
        try:
            moment = _moment_in(value)
        except (ValueError, OverflowError):
            raise ValueError("a moment is written like 2026-03-01T10:00:00Z") from None
    if isinstance(moment, datetime) and moment.tzinfo is None:
        raise ValueError("a moment needs an offset, like 2026-03-01T10:00:00Z")
    return moment


def _in_utc(moment: datetime) -> datetime:
    """Convert a moment to UTC and check its range.

    One spelling per instant makes a repetition recognizable. The range leaves room before the limits of
    Python and Postgres, because calendars add days and zones shift.
    """
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(_OUT_OF_RANGE) from None
    if not EARLIEST <= moment < LATEST:
        raise ValueError(_OUT_OF_RANGE)
    return moment


@lru_cache(maxsize=10_000)  # the same few thousand users, actors and tenants come again and again
def entity_id(value: str) -> str:
    """Return a valid id of a tenant, user or actor. Raises ValueError."""
    if not 1 <= len(value) <= MAX_ID or _NOT_IN_IDS.search(value):
        raise ValueError(f"an id has 1 to {MAX_ID} characters, and no control characters or lone surrogates")
    return value


def _key(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("a key is 1 to 255 printable ASCII characters")
    return value


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("text must not contain NUL, which Postgres cannot store")
    return value


def _no_control(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("control characters are not allowed here")
    return value


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("an amount is not 0")
    return value


# What the validators check, as JSON schema, for the OpenAPI document.
ULID_PATTERN = "[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}"
ID_PATTERN = f"^({ULID_PATTERN}|[0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}})$"
ENTITY_PATTERN = rf"^[^{_CONTROLS_OF_IDS}]{{1,{MAX_ID}}}$"
KEY_PATTERN = "^[ -~]+$"
_MOMENT_PATTERN = r"^(19|[2-8][0-9])[0-9]{2}-"  # 1900 to 8999; `format` covers the rest
_NO_NUL_PATTERN = r"^[^\x00]*$"
_NO_CONTROL_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"


def _schema(pattern: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **more, "pattern": pattern})


def _text(pattern: str, max_length: int, min_length: int = 0) -> WithJsonSchema:
    bounds = {"minLength": min_length} if min_length else {}
    return _schema(pattern, **bounds, maxLength=max_length)


TaskId = Annotated[UUID, BeforeValidator(_one_id), _schema(ID_PATTERN)]

Moment = Annotated[
    datetime,
    BeforeValidator(_one_moment),
    AfterValidator(_in_utc),
    _schema(_MOMENT_PATTERN, format="date-time"),
]

EntityId = Annotated[str, AfterValidator(entity_id), _schema(ENTITY_PATTERN)]

Key = Annotated[
    str, Field(min_length=1, max_length=255), AfterValidator(_key), _text(KEY_PATTERN, 255, min_length=1)
]

Label = Annotated[
    str,
    Field(min_length=1, max_length=100),
    AfterValidator(_no_control),
    _text(_NO_CONTROL_PATTERN, 100, min_length=1),
]

Text = Annotated[str, Field(max_length=500), AfterValidator(_no_nul), _text(_NO_NUL_PATTERN, 500)]
ShortText = Annotated[str, Field(max_length=200), AfterValidator(_no_nul), _text(_NO_NUL_PATTERN, 200)]
Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT)]

SignedAmount = Annotated[
    int,
    Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT),
    AfterValidator(_not_zero),
    WithJsonSchema({"type": "integer", "minimum": -MAX_AMOUNT, "maximum": MAX_AMOUNT, "not": {"const": 0}}),
]

ReasonText = Annotated[
    str,
    Field(min_length=1, max_length=200),
    AfterValidator(_no_nul),
    _text(_NO_NUL_PATTERN, 200, min_length=1),
]
