"""Decides the commands about holds: freeze, unfreeze, confirm-deduction, release-holds-due."""

from datetime import datetime
from uuid import UUID

from pointledger.domain.commands import ConfirmDeduction, Freeze, ReleaseHoldsDue, Unfreeze
from pointledger.domain.commands.outcomes import Decision, Reason, Refused
from pointledger.domain.decisions.guards import account_for, closed, disabled, inactive, insufficient
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.hold_lifecycle import capture, open_hold, release
from pointledger.domain.ledger.holds import Hold
from pointledger.domain.ledger.lifecycle import expire_due
from pointledger.domain.ledger.outcome_data import applied
from pointledger.domain.program.tenant import Tenant


def freeze(book: Book, tenant: Tenant, command: Freeze, at: datetime) -> Decision:
    """Open a hold. A hold is the first half of a spend, so the same switch applies."""
    if refused := disabled("spending", tenant.spend_enabled):
        return refused
    account = account_for(book, tenant, command.user_id, inactive)
    if isinstance(account, Refused):
        return account
    if refused := insufficient(account, command.amount):
        return refused

    hold, entry = open_hold(book, account, command.amount, at, command.expires_at)
    return applied(account, [entry], hold_id=hold.id)


def unfreeze(book: Book, tenant: Tenant, command: Unfreeze, at: datetime) -> Decision:
    """Release one hold, or points of the oldest holds, with one entry per hold."""
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account
    if command.hold_id:
        hold = _open_hold_of(account, command.hold_id)
        if isinstance(hold, Refused):
            return hold
        amount, available, holds = command.amount or hold.held, hold.held, [hold]
    else:
        amount, available = command.amount or 0, account.frozen_balance
        holds = [hold for hold in account.holds.values() if hold.is_open]
    if amount > available:
        return _insufficient_frozen(amount, available)

    entries, rest = [], amount
    for hold in holds:
        if share := min(hold.held, rest):
            entries.append(release(book, tenant, account, hold, share, at))
            rest -= share
    assert rest == 0, "what is frozen is the sum of the open holds"
    # Without a grace period, points whose lot expired while they were held expire now.
    expire_due(book, tenant, account, account.as_of)
    return applied(account, entries, points_released=amount)


def confirm_deduction(book: Book, tenant: Tenant, command: ConfirmDeduction, at: datetime) -> Decision:
    """Capture a hold once, and release the rest in the same decision."""
    if refused := disabled("spending", tenant.spend_enabled):
        return refused
    account = account_for(book, tenant, command.user_id, inactive)
    if isinstance(account, Refused):
        return account
    hold = _open_hold_of(account, command.hold_id)
    if isinstance(hold, Refused):
        return hold
    amount = command.amount or hold.held
    if amount > hold.held:
        return _insufficient_frozen(amount, hold.held)

    entries = [capture(book, account, hold, amount, at)]
    rest = hold.held
    if rest:
        entries.append(release(book, tenant, account, hold, rest, at))
        # Without a grace period, points whose lot expired while they were held expire now.
        expire_due(book, tenant, account, account.as_of)
    return applied(account, entries, points_captured=amount, points_released=rest)


def release_holds_due(book: Book, tenant: Tenant, command: ReleaseHoldsDue, at: datetime) -> Decision:
    """Report the timed-out holds. `advance` has released them, as for every command."""
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account

    timed_out = [entry for entry in book.written if entry.subtype == "timeout"]
    return applied(account, timed_out, points_released=sum(entry.amount for entry in timed_out))


def _open_hold_of(account: Account, hold_id: UUID) -> Hold | Refused:
    hold = account.holds.get(hold_id)
    if hold is None:
        return Refused(Reason.RELATED_NOT_FOUND, "the account has no such hold")
    if not hold.is_open:
        return Refused(Reason.RELATED_NOT_REVERSIBLE, f"the hold is {hold.state.replace('_', ' ')}")
    return hold


def _insufficient_frozen(amount: int, held: int) -> Refused:
    return Refused(Reason.INSUFFICIENT_FROZEN, f"{amount} points are requested, {held} are held")
