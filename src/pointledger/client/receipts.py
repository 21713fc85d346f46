"""What an enqueued command is answered with."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pointledger.domain.commands.records import Line
from pointledger.ids import show_id


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is in the journal now: the commands' ids, how many of them are new, the lanes they wait in."""

    task_ids: list[str]
    new: int
    lanes: frozenset[int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one of many commands: the id of the command in the journal, its own or that of the one
    which it repeats."""

    command_id: UUID
    is_new: bool


def _receipt(lines: Sequence[Line], new: int) -> Receipt:
    return Receipt([show_id(line.id) for line in lines], new, frozenset(line.lane for line in lines))
