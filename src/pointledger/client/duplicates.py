"""Finds duplicates: commands whose id or key was accepted before."""

from collections.abc import Sequence
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
    aliases = {
        record.id: firsts[position]
        for position, record in enumerate(records)
        if firsts[position] != record.id
    }
    if aliases:
        journal.add_aliases(connection, aliases)


def first_of_each(connection: AnyConnection, records: Sequence[JournalRecord]) -> dict[int, UUID]:
    """Return by position the id of the journaled command that a record is, or duplicates.

    Raise IdempotencyKeyReused if contents differ.
    """
    firsts: dict[int, UUID] = {}
    for position, first_id, same_content in journal.firsts(connection, records):
        if not same_content:
            raise IdempotencyKeyReused(f"{describe(records[position])}; no command of this call is accepted")
        if firsts.get(position) != records[position].id:
            firsts[position] = first_id
    return firsts


def describe(record: JournalRecord) -> str:
    """Return the command's id and key, for an error message."""
    return f"id {show_id(record.id)}, key {record.key}"
