"""Provides shared guards, and advances an account's clock before a decision."""

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime

from pointledger.domain.commands.outcomes import Reason, Refused
from pointledger.domain.ledger.account import MAX_BALANCE, MAX_TOTAL, Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.hold_lifecycle import time_out_due
from pointledger.domain.ledger.lifecycle import activate_due, expire_due, lets_expire
from pointledger.domain.program.tenant import Tenant


def disabled(feature: str, enabled: bool) -> Refused | None:
    if enabled:
        return None
    return Refused(Reason.FEATURE_DISABLED, f"the tenant has switched {feature} off")


def missing_account(user_id: str) -> Refused:
    return Refused(Reason.ACCOUNT_NOT_FOUND, f"user {user_id} has no account")


def inactive(account: Account) -> Refused | None:
    """Refuse suspended, closed and erased accounts, which can neither earn, spend nor transfer."""
    if account.status == "active":
        return None
    if account.status == "suspended":
        return Refused(Reason.ACCOUNT_SUSPENDED, "the account is suspended")
    return closed(account)


def closed(account: Account) -> Refused | None:
    """Closed and erased accounts do nothing at all."""
    if account.status == "active":
        return None
    if account.status == "closed":
        return Refused(Reason.ACCOUNT_CLOSED, "the account is closed")
    return erased(account)


def erased(account: Account) -> Refused | None:
    """Only the account of a user who was erased."""
    if account.status == "erased":
        return Refused(Reason.ACCOUNT_ERASED, "the user was erased")
    return None


def account_for(
    book: Book, tenant: Tenant, user_id: str, guard: Callable[[Account], Refused | None]
) -> Account | Refused:
    """Return the account. Refuse if it is missing or does not pass `guard`: `inactive` or `closed`."""
    account = book.accounts.get((tenant.tenant_id, user_id))
    if account is None:
        return missing_account(user_id)
    if refused := guard(account):
        return refused
    return account


def insufficient(account: Account, amount: int) -> Refused | None:
    if account.balance >= amount:
        return None
    message = f"{amount} points are requested, {account.balance} are available"
    return Refused(Reason.INSUFFICIENT_BALANCE, message, rests_on="incoming")


def over_maximum(tenant: Tenant, account: Account | None, amount: int, subject: str) -> Refused | None:
    space = room(tenant, account)
    if space is None or amount <= space:
        return None
    return Refused(Reason.MAX_BALANCE, f"{subject} has room for {space} points")


def room(tenant: Tenant, account: Account | None) -> int | None:
    """Return how many points fit below the tenant's maximum balance; None if it has no maximum.

    Pending points count. Debt makes room, because incoming points repay it first. Frozen points do not count,
    because they can come back above the maximum.
    """
    if tenant.max_balance is None or account is None:
        return tenant.max_balance
    kept = account.balance + account.pending_balance - account.debt
    return max(tenant.max_balance - kept, 0)


def too_large(account: Account | None, amount: int, total: str) -> Refused | None:
    """Refuse points that would exceed the maximum of `total` or of the account's points.

    The account's points are all points that can become available, minus its debt.
    """
    if amount + (getattr(account, total) if account else 0) > MAX_TOTAL:
        return Refused(Reason.FIGURE_TOO_LARGE, f"{total} would be more than {MAX_TOTAL}")
    if account is None:
        held = 0
    else:
        held = account.balance + account.pending_balance + account.frozen_balance - account.debt
    if held + amount > MAX_BALANCE:
        message = f"the account would have more than {MAX_BALANCE} points: available, pending and frozen"
        return Refused(Reason.FIGURE_TOO_LARGE, message)
    return None


def advance(book: Book, tenant: Tenant, account: Account, at: datetime) -> None:
    """Advance the account's clock and apply the due changes. Closed accounts do not change.

    Timed-out holds are released, each as of its own time-out. Then due pending points become available. Last,
    due points expire.
    """
    if closed(account):
        return
    if at > account.as_of:
        account.as_of = at
        account.changed = True
    time_out_due(book, tenant, account)
    activate_due(book, account, account.as_of)
    expire_due(book, tenant, account, account.as_of)


def is_due(tenant: Tenant, account: Account, at: datetime) -> bool:
    """Return whether advancing the clock to `at` changes the account's points."""
    if closed(account):
        return False
    as_of = max(at, account.as_of)
    if any(moment and moment <= as_of for moment in (account.next_timeout_at, account.next_activation_at)):
        return True
    expires = account.next_expiry_at is not None and account.next_expiry_at <= as_of
    return expires and lets_expire(tenant, account, as_of)


def advanced(book: Book, tenant: Tenant, account: Account, at: datetime) -> Account:
    """Return the account as `advance` would leave it, without a change to the account itself."""
    if not is_due(tenant, account, at):
        return account
    copied, scratch = deepcopy(account), Book(book.recorded_at)
    scratch.begin(account.tenant_id, account.id)
    advance(scratch, tenant, copied, at)
    return copied
