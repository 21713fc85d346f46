"""A command with what its acceptance fixed: its id, its moment, its user's lane."""

from dataclasses import dataclass
from datetime import datetime

from pointledger.domain.commands import AnyCommand


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command as it stands in the journal."""

    seq: int
    command: AnyCommand
    accepted_at: datetime
