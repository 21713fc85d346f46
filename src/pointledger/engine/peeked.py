"""Holds the commands that a worker has peeked at in some lanes, with the lanes of their senders."""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from pointledger.domain.commands.accepted import Accepted
from pointledger.engine.locks import User

Lanes = dict[User, int]  # the lane of each sender in a batch


def sender(accepted: Accepted) -> User:
    """Return the user in whose order the command is applied."""
    return accepted.command.tenant_id, accepted.command.user_id


@dataclass(frozen=True, slots=True)
class Peeked:
    """The next commands of some lanes.

    `lanes` has the lane of each sender. Users in `crash_suspects` have a command that failed before, so their
    commands go one at a time. So do all commands of the `careful` lanes, in which processes have crashed.
    Each command in `quarantined` was applied alone when the last process crashed.
    """

    batch: list[Accepted]
    lanes: Lanes
    crash_suspects: set[User] = field(default_factory=set)
    careful: set[int] = field(default_factory=set)
    quarantined: dict[int, UUID] = field(default_factory=dict)  # by lane
    noted: set[int] = field(default_factory=set)  # the lanes whose rows note that a batch begins


def lanes_of(of: Lanes, batch: list[Accepted]) -> set[int]:
    """Return the lanes of the batch."""
    return {of[sender(accepted)] for accepted in batch}


def places_of(of: Lanes, batch: list[Accepted]) -> tuple[list[int], list[int]]:
    """Return the commands' lanes and their `seq`."""
    return [of[sender(accepted)] for accepted in batch], [accepted.seq for accepted in batch]


def per_lane(of: Lanes, batch: list[Accepted]) -> Counter[int]:
    """Return how many of the commands each lane has."""
    return Counter(of[sender(accepted)] for accepted in batch)
