"""Path and query parameters, parsed strictly."""

import re
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from pointledger.api.paths import segment_text
from pointledger.domain.values.fields import ENTITY_PATTERN, ID_PATTERN

MOST_PAGE_SIZE = 100
MOST_PAGES = 1_000_000_000  # times a page's size, this is far below a bigint's limit
MOST_CURSOR = 10**18  # above the version of any account
_DIGITS = re.compile(r"[0-9]{1,19}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Nothing = SkipJsonSchema[None]  # the parameter may be left out, but a URL cannot contain null


def _plain_number(value: Any) -> Any:
    """Allow digits only. Pydantic alone also accepts spaces, signs, underscores and other scripts."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be a whole number in digits")
    return value


def _date(value: Any) -> Any:
    """Allow a date as RFC 3339 writes it. Pydantic alone also accepts numbers and times."""
    if isinstance(value, str) and not _DATE.fullmatch(value):
        raise ValueError("must be a date like 2026-03-01")
    return value


PLAIN = BeforeValidator(_plain_number)

UserId = Annotated[
    str,
    Path(pattern=ENTITY_PATTERN, description="The user's id, percent-encoded.", examples=["anna"]),
    BeforeValidator(segment_text),
]
Entity = Annotated[str, Field(pattern=ENTITY_PATTERN)]
EntityParam = Annotated[
    Entity | Nothing, Query(description="Only transactions of this user.", examples=["anna"])
]
Id = Annotated[
    str, Path(pattern=ID_PATTERN, description="A ULID or a UUID.", examples=["01M7YS5T0G1V9RJ7Y6C6V2Q3XA"])
]
PageNumber = Annotated[
    int, Field(ge=1, le=MOST_PAGES), PLAIN, Query(description="The page's number, from 1.")
]
PageSize = Annotated[int, Field(ge=1, le=MOST_PAGE_SIZE), PLAIN, Query(description="Items per page.")]
Cursor = Annotated[
    Annotated[int, Field(ge=1, le=MOST_CURSOR), PLAIN] | Nothing,
    Query(description="The `next_cursor` of the previous page. Replaces `page`."),
]
Type = Literal["earn", "spend", "expire", "freeze", "unfreeze", "refund", "adjust"]
TypeFilter = Annotated[Type | Nothing, Query(description="Only transactions of this type.")]
Day = Annotated[
    Annotated[date, BeforeValidator(_date)] | Nothing,
    Query(description="The last day, in the tenant's calendar. Default: today.", examples=["2026-03-01"]),
]
