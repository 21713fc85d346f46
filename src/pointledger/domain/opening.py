"""Opening balances: points that another system granted, with their age and expiry."""

from datetime import datetime

from pointledger.domain.accounts import Account, Entry
from pointledger.domain.book import Book
from pointledger.domain.commands import ImportOpeningBalance, OpeningLot
from pointledger.domain.guards import inactive, too_large
from pointledger.domain.outcomes import Decision
from pointledger.domain.passing import expire_due
from pointledger.domain.snapshots import applied
from pointledger.domain.tenants import Tenant


def import_opening_balance(
    book: Book, tenant: Tenant, command: ImportOpeningBalance, at: datetime
) -> Decision:
    """One entry and one lot for each that is imported; what is imported and what is rejected add up to what
    was sent. Neither limits nor the tenant's maximum hold it back: the points are the user's already."""
    account = book.accounts.get((tenant.tenant_id, command.user_id))
    if account and (refused := inactive(account)):
        return refused
    as_of = account.as_of if account else at
    rejected = [lot for lot in command.lots if command.expired == "reject" and _is_due(lot, as_of)]
    total = sum(lot.amount for lot in command.lots)
    coming = total - sum(lot.amount for lot in rejected)
    if coming and (refused := too_large(account, coming, "total_earned")):
        return refused

    account = account or book.open_account(tenant, command.user_id, at)
    entries = [
        _bring(book, account, lot, at)
        for lot in command.lots
        if command.expired == "import" or not _is_due(lot, as_of)
    ]
    before = account.expired_points
    if command.expired == "import":
        expire_due(book, tenant, account, account.as_of)
    return applied(
        account,
        entries,
        points_earned=sum(entry.amount for entry in entries),
        points_rejected=sum(lot.amount for lot in rejected),
        points_expired=account.expired_points - before,
        control_sum=total,
    )


def _is_due(lot: OpeningLot, as_of: datetime) -> bool:
    return lot.expires_at is not None and lot.expires_at <= as_of


def _bring(book: Book, account: Account, lot: OpeningLot, at: datetime) -> Entry:
    """A lot as old as it says, but no younger than now: a moment in the future is not believed."""
    earned_at = min(lot.earned_at or at, at)
    entry = book.post(
        account, ("earn", "import"), lot.amount, at, delta=lot.amount, expires_at=lot.expires_at
    )
    book.grant_lot(account, entry, lot.amount, earned_at, lot.expires_at)
    return entry
