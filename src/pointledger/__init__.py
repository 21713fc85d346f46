"""An asynchronous, queue-driven points ledger.

Services import their names from here; `src/README.md` is a map of the code.
"""

from pointledger.client.batches import BatchOutcome, BatchReceipt
from pointledger.client.client import PointsClient
from pointledger.client.queries.dry_run import DryRun
from pointledger.client.queries.results import CashValue, EntryPage, Expiring, Explanation, HoldPage
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
from pointledger.domain.values.actor import Actor
from pointledger.settings import Settings

__all__ = [
    "ActivateDue",
    "Actor",
    "Adjust",
    "AnyCommand",
    "ApplyExpiryPolicy",
    "ApplyRule",
    "BatchOutcome",
    "BatchReceipt",
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
    "Explanation",
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
    "command_from",
]
