"""Defines entries, their kinds, and the account's total that each kind adds to."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pointledger.domain.program.rule import Rule


@dataclass(slots=True)
class Entry:
    """One immutable row on an account."""

    id: UUID
    tenant_id: str
    account_id: UUID
    seq: int
    command_id: UUID
    type: str
    subtype: str
    amount: int
    delta: int
    delta_frozen: int
    delta_pending: int
    delta_debt: int
    balance_after: int
    frozen_after: int
    pending_after: int
    debt_after: int
    related_id: UUID | None
    rule: Rule | None
    expires_at: datetime | None
    occurred_at: datetime
    created_at: datetime
    unsettled: int = 0  # the part of repaid debt that no lot has paid yet
    lots: int = 0  # the number of lots that it has brought so far


# The total that each kind of entry adds its amount to. None: the entry moves points within the account.
TOTALS: dict[tuple[str, str], str | None] = {
    ("earn", "rule"): "total_earned",
    ("earn", "manual"): "total_earned",
    ("earn", "import"): "total_earned",
    ("earn", "transfer_in"): "total_transferred_in",
    ("spend", "purchase"): "total_spent",
    ("spend", "exchange"): "total_spent",
    ("spend", "transfer_out"): "total_transferred_out",
    ("expire", "scheduled"): "expired_points",
    ("expire", "manual"): "expired_points",
    ("refund", "linked"): "total_refunded",
    ("refund", "goodwill"): "total_refunded",
    ("adjust", "clawback"): "total_clawed_back",
    ("adjust", "activation"): None,
    ("freeze", "hold"): None,
    ("unfreeze", "release"): None,
    ("unfreeze", "timeout"): None,
    ("spend", "capture"): "total_spent",
    ("adjust", "admin"): "total_adjusted_in",
    ("adjust", "forfeit"): "total_adjusted_out",
}

# The total of taken points for a kind of entry that gives or takes.
TAKEN = {("adjust", "admin"): "total_adjusted_out"}

TYPES = tuple(dict.fromkeys(kind for kind, _ in TOTALS))
