"""Guards that several kinds of command share, and the step that follows them: touching an account."""

from collections.abc import Callable
from datetime import datetime

from pointledger.domain.book import MAX_BALANCE, Account, Book, Entry
from pointledger.domain.holding import time_out_due
from pointledger.domain.outcomes import Reason, Refused
from pointledger.domain.passing import activate_due, expire_due
from pointledger.domain.tenants import Tenant


def disabled(feature: str, enabled: bool) -> Refused | None:
    if enabled:
        return None
    return Refused(Reason.FEATURE_DISABLED, f"the tenant has switched {feature} off")


def missing_account(user_id: str) -> Refused:
    return Refused(Reason.ACCOUNT_NOT_FOUND, f"user {user_id} has no account")


def inactive(account: Account) -> Refused | None:
    """Suspended, closed and erased accounts neither earn nor spend nor transfer."""
    if account.status == "suspended":
        return Refused(Reason.ACCOUNT_SUSPENDED, "the account is suspended")
    return closed(account)


def closed(account: Account) -> Refused | None:
    """Closed and erased accounts do nothing at all."""
    if account.status == "erased":
        return Refused(Reason.ACCOUNT_ERASED, "the user was erased")
    if account.status == "closed":
        return Refused(Reason.ACCOUNT_CLOSED, "the account is closed")
    return None


def account_for(
    book: Book, tenant: Tenant, user_id: str, at: datetime, guard: Callable[[Account], Refused | None]
) -> Account | Refused:
    """The account with its clock moved on to `at`; refused if there is none, or `guard` says so: `inactive`
    or `closed`."""
    account = book.accounts.get((tenant.tenant_id, user_id))
    if account is None:
        return missing_account(user_id)
    if refused := guard(account):
        return refused
    touch(book, tenant, account, at)
    return account


def insufficient(account: Account, amount: int) -> Refused | None:
    if account.balance >= amount:
        return None
    return Refused(
        Reason.INSUFFICIENT_BALANCE, f"{amount} points are asked for, {account.balance} are available"
    )


def room(tenant: Tenant, account: Account | None) -> int:
    """Points that may still come before the tenant's maximum; what is pending counts toward it, what is
    owed makes room: it is repaid first.

    What is frozen does not count, for it may come back above the maximum; but never above what a column
    holds.
    """
    most = tenant.max_balance or MAX_BALANCE
    if account is None:
        return most
    kept = account.balance + account.pending_balance - account.debt
    return max(min(most - kept, space_left(account)), 0)


def space_left(account: Account) -> int:
    """Points that may come before a column of the account overflows, whatever else becomes available."""
    kept = account.balance + account.pending_balance + account.frozen_balance
    return MAX_BALANCE - kept + account.debt


def touch(book: Book, tenant: Tenant, account: Account, at: datetime) -> list[Entry]:
    """Moves the account's clock on; by it, holds that have timed out are released, each as of its own moment,
    what is pending and due becomes available, then what is due expires. What has expired."""
    if at > account.as_of:
        account.as_of = at
        account.changed = True
    time_out_due(book, tenant, account)
    activate_due(book, account, account.as_of)
    return expire_due(book, tenant, account, account.as_of)
