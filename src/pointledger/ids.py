"""Ids: 128 bits, stored as `uuid`, shown as 26-character ULIDs.

A ULID begins with its millisecond, so that rows made together lie together in every index.
"""

import os
import time
from datetime import datetime
from hashlib import blake2b
from uuid import UUID, SafeUUID

from ulid import ULID, base32

_RANDOM_BITS = 80
_RANDOM_MASK = (1 << _RANDOM_BITS) - 1
_ULID_LENGTH = 26
_PAIR_BITS, _PAIR_MASK = 10, 0x3FF
_PAIRS = tuple(one + other for one in base32.ENCODE for other in base32.ENCODE)
_MOST_THINGS = 1_000_000  # that one command makes: a second of trying
_NUMBER_BITS, _HASH_BITS = 20, 60  # of what a command makes: where it stands in its batch, and the rest
_NUMBER_MASK, _HASH_MASK = (1 << _NUMBER_BITS) - 1, (1 << _HASH_BITS) - 1


def new_id() -> UUID:
    """A fresh id. A command takes one when it is made, so that sending the same object again after a
    lost answer is sending the same command."""
    milliseconds = time.time_ns() // 1_000_000
    return UUID(int=milliseconds << _RANDOM_BITS | int.from_bytes(os.urandom(10), "big"))


def derive_id(command_id: UUID, ordinal: int, milliseconds: int) -> UUID:
    """The id of the `ordinal`th command that follows from an id, the same however often it is worked out.

    Hashed, not counted: a producer may choose neighbouring ids.
    """
    return UUID(int=milliseconds << _RANDOM_BITS | _hash(command_id, ordinal))


def thing_id(command_id: UUID, ordinal: int, milliseconds: int, number: int) -> UUID:
    """The id of the `ordinal`th thing that a command makes. `number` counts what its batch has made for the
    tenant before: so what one batch has made sorts as it was made."""
    # Each entry needs two, so nothing is called here that need not be, and what UUID would check is right.
    text = command_id.int.to_bytes(16, "big") + ordinal.to_bytes(4, "big")
    digest = int.from_bytes(blake2b(text, digest_size=_RANDOM_BITS // 8).digest(), "big")
    made = _without_checks(UUID)
    _set(
        made,
        "int",
        milliseconds << _RANDOM_BITS | (number & _NUMBER_MASK) << _HASH_BITS | digest & _HASH_MASK,
    )
    _set(made, "is_safe", SafeUUID.unknown)
    return made


_without_checks, _set = object.__new__, object.__setattr__


def _hash(command_id: UUID, ordinal: int) -> int:
    digest = blake2b(command_id.bytes + ordinal.to_bytes(4, "big"), digest_size=_RANDOM_BITS // 8).digest()
    return int.from_bytes(digest, "big")


def id_in_order(moment: datetime, number: int) -> UUID:
    """An id that sorts by a moment's millisecond, then by a number that nothing else of its kind has."""
    return UUID(int=milliseconds_of(moment) << _RANDOM_BITS | number)


def id_after(command_id: UUID, derived: UUID) -> UUID | None:
    """The id of what a command made right after the thing of this id; None if it did not make that.

    Tried out: a command makes a handful of things, or as many as it expires lots before.
    """
    milliseconds, number = derived.int >> _RANDOM_BITS, derived.int >> _HASH_BITS
    for ordinal in range(1, _MOST_THINGS):
        if thing_id(command_id, ordinal, milliseconds, number) == derived:
            return thing_id(command_id, ordinal + 1, milliseconds, number + 1)
        if derive_id(command_id, ordinal, milliseconds) == derived:  # before things were numbered
            return derive_id(command_id, ordinal + 1, milliseconds)
    return None


def milliseconds_in(value: UUID) -> int:
    """The milliseconds since 1970 with which an id begins."""
    return value.int >> _RANDOM_BITS


def first_id_of(moment: datetime) -> UUID:
    """No id that was made at this moment or later is below it."""
    return UUID(int=milliseconds_of(moment) << _RANDOM_BITS)


def ids_of_same_millisecond(value: UUID) -> tuple[UUID, UUID]:
    """The first and the last id that could have been made in the millisecond of this one."""
    first = value.int >> _RANDOM_BITS << _RANDOM_BITS
    return UUID(int=first), UUID(int=first | _RANDOM_MASK)


def milliseconds_of(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware moment."""
    return int(moment.timestamp() * 1000)


def show_id(value: UUID) -> str:
    """The 26 characters people see."""
    # Ten bits a look: twice as fast as the library, and each command accepted shows its id.
    number, shown = value.int, ""
    for _ in range(_ULID_LENGTH // 2):
        number, pair = number >> _PAIR_BITS, _PAIRS[number & _PAIR_MASK]
        shown = pair + shown
    return shown


def parse_id(text: str) -> UUID:
    """Takes a ULID or a UUID (the form Celery makes). Raises ValueError for anything else."""
    if len(text) == _ULID_LENGTH:
        return UUID(bytes=ULID.from_str(text.upper()).bytes)
    canonical = UUID(text)
    if text.lower() != str(canonical):
        raise ValueError("an id is a 26-character ULID or a UUID in its usual form")
    return canonical


def is_id(text: str) -> bool:
    """Whether a text is a ULID or a UUID."""
    try:
        parse_id(text)
    except ValueError:
        return False
    return True
