"""Defines the recorded facts of an entry that a reversal needs. Today's rules do not matter."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pointledger.domain.ledger.lots import Lot


@dataclass(slots=True)
class Share:
    """The points that an entry took from a lot, and how many of them reversals have returned."""

    lot: Lot
    taken: int
    returned: int = 0


@dataclass(slots=True)
class Reversible:
    """An entry that a command of the batch reverses.

    `undone` is the sum of its reversals. `shares` are the points that it took, in consumption order. `lot` is
    the lot that it brought. `expired` counts the points it granted that had expired on the account before the
    batch, in any lot.
    """

    id: UUID
    account_id: UUID
    kind: tuple[str, str]
    amount: int
    occurred_at: datetime
    rule: tuple[UUID, int] | None = None  # its id and version
    undone: int = 0
    shares: list[Share] = field(default_factory=list)
    lot: Lot | None = None
    expired: int = 0

    @property
    def left(self) -> int:
        """The points that can still be reversed."""
        return self.amount - self.undone
