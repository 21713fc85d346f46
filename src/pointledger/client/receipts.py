"""Defines the results of accepting commands."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from pointledger.domain.commands.records import LIVE_COMMANDS, JournalRecord
from pointledger.ids import show_id


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was accepted."""

    task_ids: list[str]
    """The ids of the commands, in the order in which they were given. A repetition has its own id."""
    new: int
    """How many of them were accepted by this call."""
    lanes: frozenset[int]
    """The lanes in which they are pending."""
    live: frozenset[tuple[int, str]] = frozenset()
    """Lane and tenant of commands that workers apply before they go on with the backlog of other tenants."""


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """The result for one of many commands: the id of the journaled command, which a duplicate shares."""

    command_id: UUID
    is_new: bool


class SentCommands(NamedTuple):
    """A command's lane, and the lane's notification number before it was accepted; 0 for a duplicate."""

    lane: int | None
    sequence: int


def live(records: Sequence[JournalRecord]) -> frozenset[tuple[int, str]]:
    """Return lane and tenant of the commands that may go before the backlog of another tenant."""
    sent = Counter(record.tenant_id for record in records)
    return frozenset(
        (record.lane, record.tenant_id) for record in records if sent[record.tenant_id] <= LIVE_COMMANDS
    )


def receipt_of(records: Sequence[JournalRecord], new: int) -> Receipt:
    """Return the receipt of these records, `new` of which were not in the journal before."""
    task_ids = [show_id(record.id) for record in records]
    return Receipt(task_ids, new, frozenset(record.lane for record in records), live(records))
