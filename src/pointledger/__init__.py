"""pointledger: an asynchronous, queue-driven points ledger.

What a service needs to ask the ledger is here; `src/README.md` tells how the rest hangs together.
"""

from pointledger.acceptance import Receipt
from pointledger.client import PointsClient
from pointledger.domain.commands import (
    ActivateDue,
    AnyCommand,
    ApplyRule,
    CancelPending,
    Clawback,
    Command,
    Earn,
    Expire,
    ExpireDue,
    ImportOpeningBalance,
    OpeningLot,
    Refund,
    Spend,
    Transfer,
    command_from,
)
from pointledger.domain.outcomes import Outcome, Reason
from pointledger.settings import Settings

__all__ = [
    "ActivateDue",
    "AnyCommand",
    "ApplyRule",
    "CancelPending",
    "Clawback",
    "Command",
    "Earn",
    "Expire",
    "ExpireDue",
    "ImportOpeningBalance",
    "OpeningLot",
    "Outcome",
    "PointsClient",
    "Reason",
    "Receipt",
    "Refund",
    "Settings",
    "Spend",
    "Transfer",
    "command_from",
]
