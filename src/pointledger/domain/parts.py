"""What all parts of a rule have in common as JSON."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Strict and frozen. JSON's own names stay where Python would not have them (`from`)."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, serialize_by_alias=True
    )


def as_tuple(value: object) -> object:
    """JSON's lists, for fields that are tuples."""
    return tuple(value) if isinstance(value, list) else value
