"""An asynchronous, queue-driven points ledger.

Services import their names from here; `src/README.md` is a map of the code.

A name is imported when it is first used, and the libraries for Postgres, Redis and Celery when a client is
made: a service that makes commands, or only names a client's type, does not load them.
`tests/client/test_imports.py` says which are loaded when.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointledger.client.async_client import AsyncPointsClient
    from pointledger.client.batches import BatchOutcome, BatchReceipt
    from pointledger.client.client import PointsClient
    from pointledger.client.counts import OutcomeCounts
    from pointledger.client.queries.dry_run import DryRun
    from pointledger.client.queries.expiry import PointsByExpiry
    from pointledger.client.queries.results import CashValue, EntryPage, Expiring, Explanation, HoldPage
    from pointledger.client.queries.trials import Trial
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
    "AsyncPointsClient",
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
    "OutcomeCounts",
    "PointsByExpiry",
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
    "Trial",
    "Unfreeze",
    "WalletAdjust",
    "command_from",
]

_COMMANDS = "pointledger.domain.commands"  # has all public names but these
_ELSEWHERE = {
    "pointledger.client.async_client": ("AsyncPointsClient",),
    "pointledger.client.batches": ("BatchOutcome", "BatchReceipt"),
    "pointledger.client.client": ("PointsClient",),
    "pointledger.client.counts": ("OutcomeCounts",),
    "pointledger.client.queries.dry_run": ("DryRun",),
    "pointledger.client.queries.expiry": ("PointsByExpiry",),
    "pointledger.client.queries.results": ("CashValue", "EntryPage", "Expiring", "Explanation", "HoldPage"),
    "pointledger.client.queries.trials": ("Trial",),
    "pointledger.client.receipts": ("Receipt",),
    "pointledger.domain.commands.outcomes": ("Outcome", "Reason"),
    "pointledger.domain.values.actor": ("Actor",),
    "pointledger.settings": ("Settings",),
}
_MODULE_OF = dict.fromkeys(__all__, _COMMANDS)
_MODULE_OF |= {name: module for module, names in _ELSEWHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name, and keep it: the next use finds it at once."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_MODULE_OF[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
