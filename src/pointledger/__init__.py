"""pointledger: an asynchronous, queue-driven points ledger.

What a service needs to ask the ledger is here; `src/README.md` tells how the rest hangs together.
"""

from pointledger.client.batches import BatchOutcome, BatchReceipt
from pointledger.client.client import PointsClient
from pointledger.client.queries.dry_run import DryRun
from pointledger.client.queries.results import CashValue, EntryPage, Expiring, HoldPage, Why
from pointledger.client.receipts import Receipt
from pointledger.domain.commands import (
    ActivateDue,
    Adjust,
    AnyCommand,
    ApplyExpiryPolicy,
    ApplyRule,
    CancelPending,
    Clawback,
    Command,
    ConfirmDeduction,
    Earn,
    EraseUser,
    Exchange,
    Expire,
    ExpireDue,
    ExtendExpiry,
    Freeze,
    ImportOpeningBalance,
    LotExpiry,
    OpenAccount,
    OpeningLot,
    Refund,
    ReleaseHoldsDue,
    SetExpiryExemption,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
    WalletAdjust,
    command_from,
)
from pointledger.domain.commands.outcomes import Outcome, Reason
from pointledger.domain.values.actor import By
from pointledger.settings import Settings

__all__ = [
    "ActivateDue",
    "Adjust",
    "AnyCommand",
    "ApplyExpiryPolicy",
    "ApplyRule",
    "BatchOutcome",
    "BatchReceipt",
    "By",
    "CancelPending",
    "CashValue",
    "Clawback",
    "Command",
    "ConfirmDeduction",
    "DryRun",
    "Earn",
    "EntryPage",
    "EraseUser",
    "Exchange",
    "Expire",
    "ExpireDue",
    "Expiring",
    "ExtendExpiry",
    "Freeze",
    "HoldPage",
    "ImportOpeningBalance",
    "LotExpiry",
    "OpenAccount",
    "OpeningLot",
    "Outcome",
    "PointsClient",
    "Reason",
    "Receipt",
    "Refund",
    "ReleaseHoldsDue",
    "SetExpiryExemption",
    "SetStatus",
    "Settings",
    "Spend",
    "Transfer",
    "Unfreeze",
    "WalletAdjust",
    "Why",
    "command_from",
]
