"""The decision: what a command does to the book. Pure: the same book and command, the same decision.

First time passes on the account of the command's user: holds that have timed out are released, pending points
whose moment has come become available, what is due expires. That stays whatever becomes of the command. Then
each kind is a column of guards in order of precedence (`Reason`), the line from which on the command must
succeed, and the deed.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import assert_never

from pointledger.domain import lots
from pointledger.domain.administer import (
    adjust,
    erase_user,
    open_account,
    set_expiry_exemption,
    set_status,
)
from pointledger.domain.apply_rule import apply_rule
from pointledger.domain.book import Book
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
    SetExpiryExemption,
    SetStatus,
    Spend,
    SweepCommand,
    Transfer,
    Unfreeze,
    WalletAdjust,
)
from pointledger.domain.decide_holds import confirm_deduction, freeze, release_holds_due, unfreeze
from pointledger.domain.decide_wallets import exchange, wallet_adjust
from pointledger.domain.expiry_changes import apply_expiry_policy, extend_expiry
from pointledger.domain.guards import (
    account_for,
    as_time_passes,
    closed,
    disabled,
    inactive,
    insufficient,
    let_time_pass,
    missing_account,
    over_maximum,
    too_large,
)
from pointledger.domain.limits import EARN_METER, SPEND_METER, daily_window
from pointledger.domain.opening import import_opening_balance
from pointledger.domain.outcomes import Applied, Decision, Reason, Refused
from pointledger.domain.passing import consume
from pointledger.domain.pending import activate, grant
from pointledger.domain.reversals import cancel_pending, clawback, refund
from pointledger.domain.snapshots import account_data, applied
from pointledger.domain.tenants import Tenant

RATIO_DECIMALS = 6  # of what was settled to what was asked for; a report's figure, never computed with


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command as it stands in the journal."""

    seq: int
    command: AnyCommand
    accepted_at: datetime


def decide(book: Book, accepted: Accepted) -> Decision:  # noqa: PLR0912  (a branch for each kind)
    """Applies one command to the book, or refuses it."""
    command = accepted.command
    book.begin(command.tenant_id, command.id)
    tenant = book.tenants.get(command.tenant_id)
    if tenant is None:
        return Refused(Reason.TENANT_UNKNOWN, f"there is no tenant {command.tenant_id}")
    at = effective_at(tenant, accepted)
    account = book.accounts.get((command.tenant_id, command.user_id))
    if account:
        let_time_pass(book, tenant, account, at)
    match command:
        case ApplyRule():
            return apply_rule(book, tenant, command, at)
        case Earn():
            return _earn(book, tenant, command, at)
        case Spend():
            return _spend(book, tenant, command, at)
        case Transfer():
            return _transfer(book, tenant, command, at)
        case Expire():
            return _expire(book, tenant, command, at)
        case ExpireDue():
            return _expire_due(book, tenant, command, at)
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


def effective_at(tenant: Tenant, accepted: Accepted) -> datetime:
    """The instant that decides about a command; a sweep carries its own, which may not lie ahead."""
    if isinstance(accepted.command, SweepCommand):
        return min(accepted.command.as_of, accepted.accepted_at)
    return tenant.effective_at(accepted.command.occurred_at, accepted.accepted_at)


def _earn(book: Book, tenant: Tenant, command: Earn, at: datetime) -> Decision:
    account = book.accounts.get((tenant.tenant_id, command.user_id))
    if refused := disabled("earning", tenant.earn_enabled) or (account and inactive(account)):
        return refused
    used = book.usage_of(daily_window(tenant, command.user_id, EARN_METER, at))
    if tenant.max_earn_per_day is not None and used.points + command.amount > tenant.max_earn_per_day:
        return Refused(
            Reason.LIMIT_REACHED,
            f"{max(tenant.max_earn_per_day - used.points, 0)} points are left to earn that day",
        )
    if refused := over_maximum(tenant, account, command.amount, "the account"):
        return refused
    if refused := too_large(account, command.amount, "total_earned"):
        return refused

    account = account or book.open_account(tenant, command.user_id, at)
    if tenant.max_earn_per_day is not None:
        used.add(command.amount)
    starts_at = max(command.activates_at or at, at)
    expires_at = command.expires_at or tenant.default_expiry(starts_at)
    entry = grant(
        book, account, ("earn", "manual"), command.amount, at, expires_at, activates_at=command.activates_at
    )
    return applied(account, [entry], points_earned=command.amount)


def _spend(book: Book, tenant: Tenant, command: Spend, at: datetime) -> Decision:
    if refused := disabled("spending", tenant.spend_enabled):
        return refused
    account = account_for(book, tenant, command.user_id, inactive)
    if isinstance(account, Refused):
        return account
    if command.amount < tenant.min_spend_points:
        return Refused(Reason.BELOW_MINIMUM, f"at least {tenant.min_spend_points} points are spent at once")
    used = book.usage_of(daily_window(tenant, command.user_id, SPEND_METER, at))
    if tenant.max_spend_per_day is not None and used.points + command.amount > tenant.max_spend_per_day:
        rest = max(tenant.max_spend_per_day - used.points, 0)
        return Refused(Reason.LIMIT_REACHED, f"{rest} points are left to spend that day")
    if refused := insufficient(account, command.amount):
        return refused

    if tenant.max_spend_per_day is not None:
        used.add(command.amount)
    entry = book.post(account, ("spend", "purchase"), command.amount, at, delta=-command.amount)
    consume(book, account, entry, "spend")
    return applied(account, [entry])


def _transfer(book: Book, tenant: Tenant, command: Transfer, at: datetime) -> Decision:
    sender = book.accounts.get((tenant.tenant_id, command.user_id))
    points_type = sender.points_type if sender else tenant.points_type
    if refused := disabled("transfers", tenant.transfer_enabled and points_type != "tier_points"):
        return refused
    if command.user_id == command.to_user_id:
        return Refused(Reason.SELF_TRANSFER, "points are transferred to another user")
    if sender is None:
        return missing_account(command.user_id)
    if refused := inactive(sender):
        return refused
    recipient = book.accounts.get((tenant.tenant_id, command.to_user_id))
    if recipient is None:
        told = f"user {command.to_user_id} has no account"
        return Refused(Reason.RECIPIENT_NOT_FOUND, told, rests_on="recipient")
    if inactive(recipient):
        told = f"user {command.to_user_id} cannot receive points"
        return Refused(Reason.RECIPIENT_INACTIVE, told, rests_on="recipient")
    then = as_time_passes(book, tenant, recipient, at)
    if refused := over_maximum(tenant, then, command.amount, "the recipient"):
        return replace(refused, rests_on="recipient")
    if refused := insufficient(sender, command.amount):
        return refused
    if refused := too_large(then, command.amount, "total_transferred_in"):
        return replace(refused, rests_on="recipient")

    let_time_pass(book, tenant, recipient, at)
    leg_out = book.post(sender, ("spend", "transfer_out"), command.amount, at, delta=-command.amount)
    leg_in = book.post(
        recipient, ("earn", "transfer_in"), command.amount, at, delta=command.amount, related_id=leg_out.id
    )
    leg_out.related_id = leg_in.id
    gone = consume(book, sender, leg_out, "transfer")
    come = [
        book.new_lot(recipient, leg_in, share, lot.earned_at, lot.expires_at, lot.origin_id)
        for lot, share in gone
    ]
    book.make_available(recipient, leg_in, come)
    return applied(sender, [leg_out])


def _expire(book: Book, tenant: Tenant, command: Expire, at: datetime) -> Decision:
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account

    settled = min(command.amount, account.balance)
    entries = []
    if settled:
        entry = book.post(account, ("expire", "manual"), settled, at, delta=-settled)
        if command.strategy == "pro_rata":
            book.pay(entry, "expire", lots.take_pro_rata(account.lots, settled))
            book.settle_lots(account)
        else:
            consume(book, account, entry, "expire")
        entries.append(entry)
    ratio = str(round(Decimal(settled) / command.amount, RATIO_DECIMALS).normalize())
    return applied(account, entries, requested=command.amount, settled=settled, ratio=ratio)


def _expire_due(book: Book, tenant: Tenant, command: ExpireDue, at: datetime) -> Decision:
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account

    expired = [entry for entry in book.written if entry.subtype == "scheduled"]
    return Applied(
        {
            "points_expired": sum(entry.amount for entry in expired),
            "lots_expired": len(expired),
            "account": account_data(account),
        }
    )
