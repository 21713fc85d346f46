"""Decides the commands about whole accounts. The journal keeps their actor and reason."""

from datetime import datetime

from pointledger.domain.commands import (
    Adjust,
    EraseUser,
    ImportOpeningBalance,
    OpenAccount,
    OpeningLot,
    SetExpiryExemption,
    SetStatus,
)
from pointledger.domain.commands.outcomes import Decision, Reason, Refused
from pointledger.domain.decisions.guards import (
    account_for,
    closed,
    erased,
    inactive,
    insufficient,
    missing_account,
    over_maximum,
    too_large,
)
from pointledger.domain.events.outgoing import StatusChange
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.lifecycle import consume, expire_due
from pointledger.domain.ledger.outcome_data import applied
from pointledger.domain.program.tenant import Tenant


def adjust(book: Book, tenant: Tenant, command: Adjust, at: datetime) -> Decision:
    """Give or take points. Giving opens a missing account."""
    account = book.accounts.get((tenant.tenant_id, command.user_id))
    if account is None and command.amount < 0:
        return missing_account(command.user_id)
    if account and (refused := closed(account)):
        return refused
    if refused := over_maximum(tenant, account, command.amount, "the account"):
        return refused
    if account and (refused := insufficient(account, -command.amount)):
        return refused
    if command.amount > 0 and (refused := too_large(account, command.amount, "total_adjusted_in")):
        return refused

    account = account or book.open_account(tenant, command.user_id, at)
    if command.amount > 0:
        entry = _give(book, tenant, account, command.amount, at)
    else:
        entry = _take(book, account, ("adjust", "admin"), -command.amount, at)
    return applied(account, [entry])


def open_account(book: Book, tenant: Tenant, command: OpenAccount, at: datetime) -> Decision:
    """Open an account for a user without one."""
    account = book.accounts.get((tenant.tenant_id, command.user_id))
    if account:
        return erased(account) or Refused(Reason.ACCOUNT_EXISTS, f"user {command.user_id} has an account")
    return applied(book.open_account(tenant, command.user_id, at), [])


def set_status(book: Book, tenant: Tenant, command: SetStatus, at: datetime) -> Decision:
    """Change the status. Closing forfeits the remaining points and keeps the debt.

    Available points are forfeited by one entry, pending points by another.
    """
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account
    if command.status == "closed" and account.frozen_balance:
        return Refused(Reason.OPEN_HOLDS, f"{account.frozen_balance} points are held")

    entries = _forfeit_all(book, account, at) if command.status == "closed" else []
    status_before = change_status(book, account, command.status)
    forfeited = sum(entry.amount for entry in entries)
    return applied(account, entries, status_before=status_before, points_forfeited=forfeited)


def change_status(book: Book, account: Account, status: str) -> str:
    """Change the status and return the previous one."""
    assert book.command_id, "only a command changes a status"
    before, account.status = account.status, status
    account.updated_at = max(account.updated_at, book.recorded_at)
    account.changed = True
    if before != status:
        key = account.tenant_id, account.user_id
        book.status_changes.append(
            StatusChange(book.command_id, key, account.id, before, status, account.version, len(book.entries))
        )
    return before


def set_expiry_exemption(book: Book, tenant: Tenant, command: SetExpiryExemption, at: datetime) -> Decision:
    """Exempt the account from expiry, or end the exemption.

    After an exemption, points expire only after the tenant's notice period, so overdue points do not expire
    at once.
    """
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account
    if account.expiry_exempt != command.exempt:
        account.expires_not_before = None if command.exempt else tenant.notice_ends(max(at, account.as_of))
        account.expiry_exempt = command.exempt
        account.changed = True
        account.updated_at = max(account.updated_at, book.recorded_at)
    return applied(account, [], expiry_exempt=command.exempt, expires_not_before=account.expires_not_before)


def erase_user(book: Book, tenant: Tenant, command: EraseUser, at: datetime) -> Decision:
    """Close the account permanently and replace the user's id by a pseudonym. Raises ErasureKeyMissing.

    The remaining points are forfeited; debt stays. A user without an account gets an empty one, so that the
    user stays erased. A second erasure is also applied, because it removes data that has arrived since the
    first.
    """
    pseudonym = book.pseudonyms.of(tenant.tenant_id, command.user_id)
    account = book.accounts.get((tenant.tenant_id, command.user_id))
    if account and not closed(account) and account.frozen_balance:
        return Refused(Reason.OPEN_HOLDS, f"{account.frozen_balance} points are held")

    wallet = book.wallets.known.get((tenant.tenant_id, command.user_id))
    if wallet and wallet.balance:
        return Refused(Reason.OPEN_HOLDS, "money is left in the wallet: withdraw it first")

    account = account or book.open_account(tenant, command.user_id, at)
    entries = [] if closed(account) else _forfeit_all(book, account, at)
    if account.status != "erased":
        change_status(book, account, "erased")
        account.pseudonym = pseudonym
        account.next_expiry_at = account.next_activation_at = None  # no lots are left
    book.erasures[tenant.tenant_id, command.user_id] = command.id
    return applied(account, entries, points_forfeited=sum(entry.amount for entry in entries))


def _forfeit_all(book: Book, account: Account, at: datetime) -> list[Entry]:
    kind, entries = ("adjust", "forfeit"), []
    if account.balance:
        entries.append(_take(book, account, kind, account.balance, at))
    if pending := account.pending_balance:
        entry = book.post(account, kind, pending, at, delta_pending=-pending)
        book.pay(entry, "adjust", [(lot, lot.remaining) for lot in account.pending])
        book.settle_lots(account)
        entries.append(entry)
    account.next_activation_at = None
    return entries


def _give(book: Book, tenant: Tenant, account: Account, amount: int, at: datetime) -> Entry:
    expires_at = tenant.default_expiry(at)
    entry = book.post(account, ("adjust", "admin"), amount, at, delta=amount, expires_at=expires_at)
    book.grant_lot(account, entry, amount, at, expires_at)
    return entry


def _take(book: Book, account: Account, kind: tuple[str, str], amount: int, at: datetime) -> Entry:
    entry = book.post(account, kind, amount, at, delta=-amount)
    consume(book, account, entry, "adjust")
    return entry


def import_opening_balance(
    book: Book, tenant: Tenant, command: ImportOpeningBalance, at: datetime
) -> Decision:
    """Import lots, each with one entry. Imported and rejected points add up to the requested points.

    Limits and the tenant's maximum balance do not apply, because the user already owns the points.
    """
    account = book.accounts.get((tenant.tenant_id, command.user_id))
    if account and (refused := inactive(account)):
        return refused
    as_of = account.as_of if account else at
    rejected = [lot for lot in command.lots if command.expired == "reject" and _is_due(lot, as_of)]
    total = sum(lot.amount for lot in command.lots)
    imported = total - sum(lot.amount for lot in rejected)
    if imported and (refused := too_large(account, imported, "total_earned")):
        return refused

    account = account or book.open_account(tenant, command.user_id, at)
    entries = [
        _import_lot(book, account, lot, at)
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


def _import_lot(book: Book, account: Account, lot: OpeningLot, at: datetime) -> Entry:
    """Import one lot. An `earned_at` in the future becomes the present."""
    earned_at = min(lot.earned_at or at, at)
    entry = book.post(
        account, ("earn", "import"), lot.amount, at, delta=lot.amount, expires_at=lot.expires_at
    )
    book.grant_lot(account, entry, lot.amount, earned_at, lot.expires_at)
    return entry
