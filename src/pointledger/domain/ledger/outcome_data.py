"""Builds the data of outcomes about accounts and entries.

Stored data omits numbers that are zero; `expand` adds them for the reader.
"""

from typing import Any
from uuid import UUID

from pointledger.domain.commands.outcomes import Applied
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.entry import Entry
from pointledger.ids import show_id

_NUMBERS = (
    "balance",
    "frozen_balance",
    "pending_balance",
    "debt",
    "total_earned",
    "total_spent",
    "expired_points",
    "total_refunded",
    "total_transferred_in",
    "total_transferred_out",
    "total_adjusted_in",
    "total_adjusted_out",
    "total_clawed_back",
)
_IDS = frozenset({"id", "account_id", "related_id", "rule_id", "hold_id", "lot_id", "wallet_id"})


def account_data(account: Account) -> dict[str, Any]:  # noqa: PLR0912  (a branch for each number)
    """Return the account as the command left it."""
    data: dict[str, Any] = {
        "id": account.id,
        "user_id": account.pseudonym or account.user_id,
        "status": account.status,
        "version": account.version,
    }
    if account.expiry_exempt:
        data["expiry_exempt"] = True
    # One by one: a loop over the names takes six times as long, and each command's outcome has an account.
    if account.balance:
        data["balance"] = account.balance
    if account.frozen_balance:
        data["frozen_balance"] = account.frozen_balance
    if account.pending_balance:
        data["pending_balance"] = account.pending_balance
    if account.debt:
        data["debt"] = account.debt
    if account.total_earned:
        data["total_earned"] = account.total_earned
    if account.total_spent:
        data["total_spent"] = account.total_spent
    if account.expired_points:
        data["expired_points"] = account.expired_points
    if account.total_refunded:
        data["total_refunded"] = account.total_refunded
    if account.total_transferred_in:
        data["total_transferred_in"] = account.total_transferred_in
    if account.total_transferred_out:
        data["total_transferred_out"] = account.total_transferred_out
    if account.total_adjusted_in:
        data["total_adjusted_in"] = account.total_adjusted_in
    if account.total_adjusted_out:
        data["total_adjusted_out"] = account.total_adjusted_out
    if account.total_clawed_back:
        data["total_clawed_back"] = account.total_clawed_back
    return data


def entry_data(entry: Entry) -> dict[str, Any]:
    """Return one entry in the form of the API's transactions."""
    data: dict[str, Any] = {
        "id": entry.id,
        "seq": entry.seq,
        "type": entry.type,
        "subtype": entry.subtype,
        "amount": entry.amount,
        "balance_before": entry.balance_after - entry.delta,
        "balance_after": entry.balance_after,
    }
    if entry.delta_frozen:
        data["frozen_before"] = entry.frozen_after - entry.delta_frozen
        data["frozen_after"] = entry.frozen_after
    if entry.expires_at is not None:
        data["expires_at"] = entry.expires_at
    if entry.related_id is not None:
        data["related_id"] = entry.related_id
    if entry.delta_debt:
        data["delta_debt"] = entry.delta_debt
    return data


def applied(account: Account, entries: list[Entry], **numbers: Any) -> Applied:
    """Return the usual decision: the account's current state and its new entries."""
    return Applied(
        numbers
        | {
            "transactions": [entry_data(entry) for entry in entries],
            "account": account_data(account),
        }
    )


def expand(data: Any) -> Any:
    """Expand stored data for the reader: every number is present, and ids are ULIDs."""
    if isinstance(data, list):
        return [expand(part) for part in data]
    if not isinstance(data, dict):
        return data
    shown: dict[str, Any] = {
        name: show_id(UUID(value)) if name in _IDS and isinstance(value, str) else expand(value)
        for name, value in data.items()
    }
    if isinstance(shown.get("account"), dict):
        shown["account"] = dict.fromkeys(_NUMBERS, 0) | shown["account"]
    if shown.get("transactions"):
        # The entry of the rule with the highest priority: the API reference has only one transaction.
        shown["transaction"] = shown["transactions"][0]
    return shown
