"""Pending points: granted, counted, and not to be spent before they become available."""

from datetime import datetime

from pointledger.domain.accounts import Account, Entry
from pointledger.domain.book import Book
from pointledger.domain.commands import ActivateDue
from pointledger.domain.guards import account_for, closed
from pointledger.domain.outcomes import Applied, Decision, Refused
from pointledger.domain.rules import Rule
from pointledger.domain.snapshots import account_data
from pointledger.domain.tenants import Tenant


def grant(
    book: Book,
    account: Account,
    kind: tuple[str, str],
    amount: int,
    at: datetime,
    expires_at: datetime | None,
    *,
    activates_at: datetime | None = None,
    rule: Rule | None = None,
) -> Entry:
    """Points that come in one lot: available at once, or pending where `activates_at` lies ahead."""
    waits = activates_at is not None and activates_at > account.as_of
    entry = book.post(
        account,
        kind,
        amount,
        at,
        delta=0 if waits else amount,
        delta_pending=amount if waits else 0,
        rule=rule,
        expires_at=expires_at,
    )
    if activates_at is not None and waits:
        book.make_pending(account, book.new_lot(account, entry, amount, at, expires_at), activates_at)
    else:
        book.grant_lot(account, entry, amount, at, expires_at)
    return entry


def activate(book: Book, tenant: Tenant, command: ActivateDue, at: datetime) -> Decision:
    """What is due becomes available, on a suspended account, too."""
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account
    activated = [entry for entry in book.written if entry.subtype == "activation"]
    return Applied(
        {
            "points_activated": sum(entry.amount for entry in activated),
            "lots_activated": len(activated),
            "account": account_data(account),
        }
    )
