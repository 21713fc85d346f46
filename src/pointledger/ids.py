"""Makes ids: 128 bits, stored as `uuid` and shown as 26-character ULIDs.

A ULID begins with its millisecond, so rows created together are close together in every index.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import UUID, SafeUUID

from ulid import ULID, base32

_RANDOM_BITS = 80
_RANDOM_BYTES = _RANDOM_BITS // 8
_RANDOM_MASK = (1 << _RANDOM_BITS) - 1
_ULID_LENGTH = 26
_PAIR_BITS, _PAIR_MASK = 10, 0x3FF
_PAIRS = tuple(one + other for one in base32.ENCODE for other in base32.ENCODE)
_MOST_ORDINALS = 1_000_000  # tried for one command: this takes a second
_NUMBER_BITS, _HASH_BITS = 20, 60  # of a derived id: its position in the batch, and the hash
_NUMBER_MASK, _HASH_MASK = (1 << _NUMBER_BITS) - 1, (1 << _HASH_BITS) - 1


def new_id() -> UUID:
    """Return a new id. A command gets it at creation, so sending the same object again is a duplicate."""
    milliseconds = time.time_ns() // 1_000_000
    return id_of(milliseconds << _RANDOM_BITS | int.from_bytes(os.urandom(_RANDOM_BYTES), "big"))


def derive_id(command_id: UUID, ordinal: int, milliseconds: int) -> UUID:
    """Return the id of the `ordinal`th command that is derived from an id, always the same.

    It is a hash, not a sum, because a producer may choose adjacent ids.
    """
    return UUID(int=milliseconds << _RANDOM_BITS | _hash(command_id, ordinal))


def thing_id(command_id: UUID, ordinal: int, milliseconds: int, number: int) -> UUID:
    """Return the id of the `ordinal`th row that a command creates.

    `number` counts the rows that its batch created for the tenant before, so the rows of a batch sort in
    order of creation.
    """
    # Each entry needs two ids, so this avoids calls, and also the checks of UUID's constructor.
    text = command_id.int.to_bytes(16, "big") + ordinal.to_bytes(4, "big")
    digest = int.from_bytes(blake2b(text, digest_size=_RANDOM_BYTES).digest(), "big")
    return id_of(milliseconds << _RANDOM_BITS | (number & _NUMBER_MASK) << _HASH_BITS | digest & _HASH_MASK)


def id_of(number: int) -> UUID:
    """Return the id with this 128-bit number: `UUID(int=number)` without its checks, in half the time."""
    made = _without_checks(UUID)
    _set_int(made, number)
    _set_is_safe(made, _UNKNOWN)
    return made


_without_checks = object.__new__
_set_int, _set_is_safe = vars(UUID)["int"].__set__, vars(UUID)["is_safe"].__set__  # UUIDs have slots
_UNKNOWN = SafeUUID.unknown  # looking into an enum costs as much as the hash


def _hash(command_id: UUID, ordinal: int) -> int:
    digest = blake2b(command_id.bytes + ordinal.to_bytes(4, "big"), digest_size=_RANDOM_BYTES).digest()
    return int.from_bytes(digest, "big")


def id_in_order(moment: datetime, number: int) -> UUID:
    """Return an id that sorts by a moment's millisecond, then by a number that is unique for its kind."""
    return UUID(int=milliseconds_of(moment) << _RANDOM_BITS | number)


def id_after(command_id: UUID, derived: UUID) -> UUID | None:
    """Return the id of the row that a command created right after this one, or None if it did not create it.

    It tries the ordinals. A command creates a handful of rows, besides those of the lots that it expires.
    """
    milliseconds, number = derived.int >> _RANDOM_BITS, derived.int >> _HASH_BITS
    for ordinal in range(1, _MOST_ORDINALS):
        if thing_id(command_id, ordinal, milliseconds, number) == derived:
            return thing_id(command_id, ordinal + 1, milliseconds, number + 1)
        if derive_id(command_id, ordinal, milliseconds) == derived:  # from before rows were numbered
            return derive_id(command_id, ordinal + 1, milliseconds)
    return None


def milliseconds_in(value: UUID) -> int:
    """Return the milliseconds since 1970 that an id begins with."""
    return value.int >> _RANDOM_BITS


def moment_in(value: UUID) -> datetime:
    """Return the moment that an id begins with, in UTC and whole milliseconds."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds_in(value))


def first_id_of(moment: datetime) -> UUID:
    """Return the lowest id that can be created at this moment or later."""
    return UUID(int=milliseconds_of(moment) << _RANDOM_BITS)


def ids_of_same_millisecond(value: UUID) -> tuple[UUID, UUID]:
    """Return the lowest and the highest id of the same millisecond."""
    first = value.int >> _RANDOM_BITS << _RANDOM_BITS
    return UUID(int=first), UUID(int=first | _RANDOM_MASK)


def bounds_of_millisecond(milliseconds: int) -> tuple[UUID, UUID]:
    """Return the last id before those of a millisecond since 1970, and the last of that millisecond."""
    first = milliseconds << _RANDOM_BITS
    return UUID(int=max(first - 1, 0)), UUID(int=first | _RANDOM_MASK)


def milliseconds_of(moment: datetime) -> int:
    """Return the milliseconds since 1970 of an aware datetime."""
    return int(moment.timestamp() * 1000)


def show_id(value: UUID) -> str:
    """Format an id as a ULID of 26 characters."""
    # Ten bits per step: twice as fast as the library, and the ledger formats the id of each command.
    number, shown = value.int, ""
    for _ in range(_ULID_LENGTH // 2):
        number, pair = number >> _PAIR_BITS, _PAIRS[number & _PAIR_MASK]
        shown = pair + shown
    return shown


def parse_id(text: str) -> UUID:
    """Parse a ULID or a UUID (Celery's form). Raise ValueError for anything else."""
    if len(text) == _ULID_LENGTH:
        return UUID(bytes=ULID.from_str(text.upper()).bytes)
    canonical = UUID(text)
    if text.lower() != str(canonical):
        raise ValueError("an id is a 26-character ULID or a UUID in canonical form")
    return canonical


def is_id(text: str) -> bool:
    """Return whether a text is a ULID or a UUID."""
    try:
        parse_id(text)
    except ValueError:
        return False
    return True
