"""What a reversal must know of the entry that it undoes: recorded numbers, never today's rules."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pointledger.domain.ledger.lots import Lot


@dataclass(slots=True)
class Share:
    """What an entry took from a lot, and how much of it reversals have returned."""

    lot: Lot
    taken: int
    returned: int = 0


@dataclass(slots=True)
class Reversible:
    """An entry that a command of the batch reverses.

    `undone` is what all its reversals amount to. `shares` are what it took, in consumption order; `lot` is
    what it brought. `expired`: of the points that it granted, what had expired on the account before the
    batch, in whichever lot they were then.
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
        """Points that may still be reversed."""
        return self.amount - self.undone
