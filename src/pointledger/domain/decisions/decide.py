"""Decides a command: applies it to the book, or refuses it. Pure and deterministic.

First, the clock of the user's account advances: timed-out holds are released, due pending points become
available, and due points expire. These changes stay even if the command is refused. Then each kind checks its
guards in order of precedence (`Reason`) and changes the book. After the guards, a command must succeed.
"""

from datetime import datetime
from typing import assert_never

from pointledger.domain.commands import (
    ActivateDue,
    Adjust,
    AnyCommand,
    ApplyExpiryPolicy,
    ApplyRule,
    CancelPending,
    Clawback,
    ConfirmDeduction,
    Earn,
    EraseUser,
    Exchange,
    Expire,
    ExpireDue,
    ExtendExpiry,
    Freeze,
    ImportOpeningBalance,
    OpenAccount,
    Refund,
    ReleaseHoldsDue,
    ScheduledCommand,
    SetExpiryExemption,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
    WalletAdjust,
)
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Decision, Reason, Refused
from pointledger.domain.decisions.accounts import (
    adjust,
    erase_user,
    import_opening_balance,
    open_account,
    set_expiry_exemption,
    set_status,
)
from pointledger.domain.decisions.apply_rule import apply_rule
from pointledger.domain.decisions.expiry import apply_expiry_policy, extend_expiry
from pointledger.domain.decisions.guards import advance
from pointledger.domain.decisions.holds import confirm_deduction, freeze, release_holds_due, unfreeze
from pointledger.domain.decisions.points import (
    activate,
    earn,
    expire,
    expire_due,
    spend,
    transfer,
)
from pointledger.domain.decisions.reversals import cancel_pending, clawback, refund
from pointledger.domain.decisions.wallets import exchange, wallet_adjust
from pointledger.domain.ledger.book import Book
from pointledger.domain.program.tenant import Tenant


def decide(book: Book, accepted: Accepted) -> Decision:
    """Apply one command to the book, or refuse it."""
    command = accepted.command
    book.begin(command.tenant_id, command.id)
    tenant = book.tenants.get(command.tenant_id)
    if tenant is None:
        return Refused(Reason.TENANT_UNKNOWN, f"there is no tenant {command.tenant_id}")
    at = moment_of(book, tenant, accepted)
    account = book.accounts.get((command.tenant_id, command.user_id))
    if account:
        advance(book, tenant, account, at)
    return dispatch(book, tenant, command, at)


def dispatch(  # noqa: PLR0912  a branch for each kind, and no other line
    book: Book, tenant: Tenant, command: AnyCommand, at: datetime
) -> Decision:
    """Decide a command by the function of its kind. A kind without a case is an error to the type checker."""
    match command:
        case ApplyRule():
            return apply_rule(book, tenant, command, at)
        case Earn():
            return earn(book, tenant, command, at)
        case Spend():
            return spend(book, tenant, command, at)
        case Transfer():
            return transfer(book, tenant, command, at)
        case Expire():
            return expire(book, tenant, command, at)
        case ExpireDue():
            return expire_due(book, tenant, command, at)
        case Refund():
            return refund(book, tenant, command, at)
        case Clawback():
            return clawback(book, tenant, command, at)
        case CancelPending():
            return cancel_pending(book, tenant, command, at)
        case ImportOpeningBalance():
            return import_opening_balance(book, tenant, command, at)
        case ActivateDue():
            return activate(book, tenant, command, at)
        case Freeze():
            return freeze(book, tenant, command, at)
        case Unfreeze():
            return unfreeze(book, tenant, command, at)
        case ConfirmDeduction():
            return confirm_deduction(book, tenant, command, at)
        case ReleaseHoldsDue():
            return release_holds_due(book, tenant, command, at)
        case Adjust():
            return adjust(book, tenant, command, at)
        case OpenAccount():
            return open_account(book, tenant, command, at)
        case SetStatus():
            return set_status(book, tenant, command, at)
        case SetExpiryExemption():
            return set_expiry_exemption(book, tenant, command, at)
        case ExtendExpiry():
            return extend_expiry(book, tenant, command, at)
        case ApplyExpiryPolicy():
            return apply_expiry_policy(book, tenant, command, at)
        case EraseUser():
            return erase_user(book, tenant, command, at)
        case WalletAdjust():
            return wallet_adjust(book, tenant, command, at)
        case Exchange():
            return exchange(book, tenant, command, at)
        case _:
            assert_never(command)


def moment_of(book: Book, tenant: Tenant, accepted: Accepted) -> datetime:
    """Return `effective_at`, which the book has already if it was loaded for a batch."""
    return book.moments.get(accepted.seq) or effective_at(tenant, accepted)


def effective_at(tenant: Tenant, accepted: Accepted) -> datetime:
    """Return the moment at which a command takes effect. Jobs set `as_of`, which cannot lie in the future."""
    if isinstance(accepted.command, ScheduledCommand):
        return min(accepted.command.as_of, accepted.accepted_at)
    return tenant.effective_at(accepted.command.occurred_at, accepted.accepted_at)
