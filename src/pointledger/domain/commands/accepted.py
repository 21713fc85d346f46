"""Defines an accepted command: the command, its sequence number and its moment of acceptance."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pointledger.domain.commands import AnyCommand


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command from the journal."""

    seq: int
    command: AnyCommand
    accepted_at: datetime


def users_of(batch: Iterable[Accepted]) -> set[tuple[str, str]]:
    """Return the users whose accounts these commands change, each as tenant and user id."""
    return {(accepted.command.tenant_id, user_id) for accepted in batch for user_id in accepted.command.users}
