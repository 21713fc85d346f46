"""Guards that several kinds of command share, and the step that precedes them: time passes on an account."""

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
    book: Book, tenant: Tenant, user_id: str, guard: Callable[[Account], Refused | None]
) -> Account | Refused:
    """The account; refused if there is none, or `guard` says so: `inactive` or `closed`."""
    account = book.accounts.get((tenant.tenant_id, user_id))
    if account is None:
        return missing_account(user_id)
    if refused := guard(account):
        return refused
    return account


def insufficient(account: Account, amount: int) -> Refused | None:
    if account.balance >= amount:
        return None
    told = f"{amount} points are asked for, {account.balance} are available"
    return Refused(Reason.INSUFFICIENT_BALANCE, told, rests_on="incoming")


def over_maximum(tenant: Tenant, account: Account | None, amount: int, whose: str) -> Refused | None:
    space = room(tenant, account)
    if space is None or amount <= space:
        return None
    return Refused(Reason.MAX_BALANCE, f"{whose} has room for {space} points")


def room(tenant: Tenant, account: Account | None) -> int | None:
    """Points that may still come before the tenant's maximum; None: it has none. What is pending counts
    toward it, what is owed makes room: it is repaid first. What is frozen does not count, for it may come
    back above the maximum."""
    if tenant.max_balance is None or account is None:
        return tenant.max_balance
    kept = account.balance + account.pending_balance - account.debt
    return max(tenant.max_balance - kept, 0)


def too_large(account: Account | None, amount: int, total: str) -> Refused | None:
    """Refuses points that would take a figure beyond what is kept: `total`, or what the account holds, which
    may all become available, less what it owes."""
    if amount + (getattr(account, total) if account else 0) > MAX_TOTAL:
        return Refused(Reason.FIGURE_TOO_LARGE, f"{total} would be more than {MAX_TOTAL}")
    if account is None:
        held = 0
    else:
        held = account.balance + account.pending_balance + account.frozen_balance - account.debt
    if held + amount > MAX_BALANCE:
        told = f"the account would hold more than {MAX_BALANCE}: balance, pending and frozen points"
        return Refused(Reason.FIGURE_TOO_LARGE, told)
    return None


def let_time_pass(book: Book, tenant: Tenant, account: Account, at: datetime) -> None:
    """Moves the account's clock on; by it, holds that have timed out are released, each as of its own moment,
    what is pending and due becomes available, then what is due expires. To an account that is closed nothing
    happens any more."""
    if closed(account):
        return
    if at > account.as_of:
        account.as_of = at
        account.changed = True
    time_out_due(book, tenant, account)
    activate_due(book, account, account.as_of)
    expire_due(book, tenant, account, account.as_of)


def is_due(tenant: Tenant, account: Account, at: datetime) -> bool:
    """Whether time changes what the account has, when it moves to `at`."""
    if closed(account):
        return False
    as_of = max(at, account.as_of)
    if any(moment and moment <= as_of for moment in (account.next_timeout_at, account.next_activation_at)):
        return True
    expires = account.next_expiry_at is not None and account.next_expiry_at <= as_of
    return expires and lets_expire(tenant, account, as_of)


def as_time_passes(book: Book, tenant: Tenant, account: Account, at: datetime) -> Account:
    """The account as `let_time_pass` would leave it, itself untouched: a copy, where anything is due."""
    if not is_due(tenant, account, at):
        return account
    seen, scratch = deepcopy(account), Book(book.recorded_at)
    scratch.begin(account.tenant_id, account.id)
    let_time_pass(scratch, tenant, seen, at)
    return seen
