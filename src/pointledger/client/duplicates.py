"""Finds duplicates: commands whose id or key was accepted before."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from pointledger.domain.commands.records import JournalRecord
from pointledger.errors import IdempotencyKeyReused
from pointledger.ids import show_id
from pointledger.storage.database import AnyConnection
from pointledger.storage.queue import journal


def note_duplicates(connection: AnyConnection, records: Sequence[JournalRecord]) -> None:
    """Give each duplicate the outcome of its first command. Raise IdempotencyKeyReused if contents differ."""
    firsts = first_of_each(connection, records)
    assert len(firsts) == len(records), "the caller's transaction must be READ COMMITTED"
    note_aliases(connection, records, firsts)


def note_aliases(
    connection: AnyConnection, records: Sequence[JournalRecord], firsts: Mapping[int, UUID | None]
) -> None:
    """Let the id of each duplicate find its first command, which `firsts` has by position."""
    aliases = {
        record.id: first_id
        for position, record in enumerate(records)
        if (first_id := firsts[position]) is not None and first_id != record.id
    }
    if aliases:
        journal.add_aliases(connection, aliases)


def first_of_each(connection: AnyConnection, records: Sequence[JournalRecord]) -> dict[int, UUID]:
    """Return by position the id of the journaled command that a record is, or duplicates.

    Raise IdempotencyKeyReused if contents differ.
    """
    firsts: dict[int, UUID] = {}
    for position, first_id in known(connection, records).items():
        if first_id is None:
            raise IdempotencyKeyReused(f"{describe(records[position])}; no command of this call is accepted")
        firsts[position] = first_id
    return firsts


def known(connection: AnyConnection, records: Sequence[JournalRecord]) -> dict[int, UUID | None]:
    """Return by position the id of the journaled command that a record is, or duplicates.

    It is None if the journal has the id or the key with other content. Unknown records are missing.
    """
    found: dict[int, UUID | None] = {}
    for position, first_id, is_same in journal.firsts(connection, records):
        if not is_same:
            found[position] = None
        elif position not in found or found[position] not in (None, records[position].id):
            found[position] = first_id
    return found


def describe(record: JournalRecord) -> str:
    """Return the command's id and key, for an error message."""
    return f"id {show_id(record.id)}, key {record.key}"
