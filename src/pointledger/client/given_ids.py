"""Reads the ids that a caller gives."""

from uuid import UUID

from pointledger.errors import InvalidCommand
from pointledger.ids import parse_id


def given_id(name: str, text: str) -> UUID:
    """Return the id. Raise InvalidCommand, which names the argument, for anything but a ULID or a UUID."""
    try:
        return parse_id(text)
    except ValueError as error:
        raise InvalidCommand(f"{name}: {error}") from None
