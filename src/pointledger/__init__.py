"""pointledger: an asynchronous, queue-driven points ledger.

What a service needs to ask the ledger is here; `src/README.md` tells how the rest hangs together.
"""

from pointledger.acceptance import Receipt
from pointledger.batch_earn import BatchOutcome, BatchReceipt
from pointledger.client import PointsClient
from pointledger.domain.commands import (
    AnyCommand,
    ApplyRule,
    Command,
    Earn,
    Expire,
    ExpireDue,
    Spend,
    Transfer,
    command_from,
)
from pointledger.domain.outcomes import Outcome, Reason
from pointledger.lookups import CashValue, EntryPage, Expiring, Why
from pointledger.settings import Settings

__all__ = [
    "AnyCommand",
    "ApplyRule",
    "BatchOutcome",
    "BatchReceipt",
    "CashValue",
    "Command",
    "Earn",
    "EntryPage",
    "Expire",
    "ExpireDue",
    "Expiring",
    "Outcome",
    "PointsClient",
    "Reason",
    "Receipt",
    "Settings",
    "Spend",
    "Transfer",
    "Why",
    "command_from",
]
