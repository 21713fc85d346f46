"""Defines an accepted command: the command, its sequence number and its moment of acceptance."""

from dataclasses import dataclass
from datetime import datetime

from pointledger.domain.commands import AnyCommand


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command from the journal."""

    seq: int
    command: AnyCommand
    accepted_at: datetime
