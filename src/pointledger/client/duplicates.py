"""Repetitions: commands that were accepted before, by their ids or keys."""

from collections.abc import Sequence
from uuid import UUID

from pointledger.domain.commands.records import Line
from pointledger.errors import IdempotencyKeyReused
from pointledger.ids import show_id
from pointledger.storage.database import AnyConnection
from pointledger.storage.queue import journal


def note_repetitions(connection: AnyConnection, lines: Sequence[Line]) -> None:
    """Lets every repetition answer with its first. Raises IdempotencyKeyReused where contents differ."""
    firsts = first_of_each(connection, lines)
    assert len(firsts) == len(lines), "the caller's transaction must be READ COMMITTED"
    aliases = {
        line.id: firsts[position] for position, line in enumerate(lines) if firsts[position] != line.id
    }
    if aliases:
        journal.add_aliases(connection, aliases)


def first_of_each(connection: AnyConnection, lines: Sequence[Line]) -> dict[int, UUID]:
    """By position: the command in the journal that a line is, or repeats. Raises IdempotencyKeyReused."""
    firsts: dict[int, UUID] = {}
    for position, first_id, same_content in journal.firsts(connection, lines):
        if not same_content:
            raise IdempotencyKeyReused(f"{told(lines[position])}; nothing of this call is accepted")
        if firsts.get(position) != lines[position].id:
            firsts[position] = first_id
    return firsts


def told(line: Line) -> str:
    """Which command it is, for an error."""
    return f"id {show_id(line.id)}, key {line.key}"
