"""Parameters in the address, read to the letter."""

import re
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from pointledger.domain.values.fields import ENTITY_PATTERN, ID_PATTERN

MOST_PAGE_SIZE = 100
MOST_PAGES = 1_000_000_000  # their product with a page's size is far from overflowing
MOST_CURSOR = 10**18  # beyond every account's version
_DIGITS = re.compile(r"[0-9]{1,19}")

Nothing = SkipJsonSchema[None]  # left out: a parameter in an address is never null


def _plain_number(value: Any) -> Any:
    """Digits and nothing else; pydantic alone would take spaces, signs, underscores and other scripts."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be a whole number in digits")
    return value


PLAIN = BeforeValidator(_plain_number)

UserId = Annotated[str, Path(pattern=ENTITY_PATTERN, description="The user's id.", examples=["anna"])]
Entity = Annotated[str, Field(pattern=ENTITY_PATTERN)]
EntityParam = Annotated[Entity | Nothing, Query(description="Only of this user.", examples=["anna"])]
Id = Annotated[
    str, Path(pattern=ID_PATTERN, description="A ULID or a UUID.", examples=["01M7YS5T0G1V9RJ7Y6C6V2Q3XA"])
]
PageNumber = Annotated[int, Field(ge=1, le=MOST_PAGES), PLAIN, Query(description="From 1.")]
PageSize = Annotated[int, Field(ge=1, le=MOST_PAGE_SIZE), PLAIN, Query(description="Items of a page.")]
Cursor = Annotated[
    Annotated[int, Field(ge=1, le=MOST_CURSOR), PLAIN] | Nothing,
    Query(description="`next_cursor` of the page before; instead of `page`."),
]
Type = Literal["earn", "spend", "expire", "freeze", "unfreeze", "refund", "adjust"]
TypeFilter = Annotated[Type | Nothing, Query(description="Only transactions of this type.")]
