"""Converts rows into the form that every entry point returns."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pointledger.ids import show_id

PAGE = 100  # entries or accounts at once
BEYOND_ANY_SEQ = 2**62


def shown(row: Any) -> dict[str, Any]:
    """Convert a row: ids to ULIDs, moments to ISO 8601 in UTC."""
    return {name: shown_value(value) for name, value in row._asdict().items()}


def shown_value(value: object) -> object:
    """Convert one value of a row."""
    if isinstance(value, list):
        return [shown_value(part) for part in value]
    if isinstance(value, UUID):
        return show_id(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value
