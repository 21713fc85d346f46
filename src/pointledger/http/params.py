"""Parameters in the address, read to the letter."""

import re
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BeforeValidator, Field

from pointledger.domain.fields import ENTITY_ID

MOST_PAGE_SIZE = 100
MOST_PAGES = 1_000_000_000  # their product with a page's size is far from overflowing
_ULID = "[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}"
_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_DIGITS = re.compile(r"[0-9]{1,19}")


def _plain_number(value: Any) -> Any:
    """Digits and nothing else; pydantic alone would take spaces, signs, underscores and other scripts."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be a whole number in digits")
    return value


Number = Annotated[int, BeforeValidator(_plain_number)]

UserId = Annotated[str, Path(pattern=f"^{ENTITY_ID.pattern}$", description="The user's id.")]
EntityParam = Annotated[str | None, Query(pattern=f"^{ENTITY_ID.pattern}$", description="Only of this user.")]
Id = Annotated[str, Path(pattern=f"^({_ULID}|{_UUID})$", description="A ULID or a UUID.")]
PageNumber = Annotated[Number, Query(ge=1, le=MOST_PAGES, description="From 1.")]
PageSize = Annotated[Number, Query(ge=1, le=MOST_PAGE_SIZE, description="Items of a page.")]
Cursor = Annotated[
    Annotated[Number, Field(ge=1)] | None,
    Query(description="`next_cursor` of the page before; instead of `page`."),
]
Type = Literal["earn", "spend", "expire", "freeze", "unfreeze", "refund", "adjust"]
TypeFilter = Annotated[Type | None, Query(description="Only transactions of this type.")]
