"""Decides the commands that grant, activate, spend, transfer and expire points."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from pointledger.domain.commands import ActivateDue, Earn, Expire, ExpireDue, Spend, Transfer
from pointledger.domain.commands.outcomes import Applied, Decision, Reason, Refused
from pointledger.domain.decisions.guards import (
    account_for,
    advance,
    advanced,
    closed,
    disabled,
    inactive,
    insufficient,
    missing_account,
    over_maximum,
    too_large,
)
from pointledger.domain.ledger import lots
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.lifecycle import consume
from pointledger.domain.ledger.outcome_data import account_data, applied
from pointledger.domain.program.limits import EARN_METER, SPEND_METER, Usage, daily_window
from pointledger.domain.program.rule import Rule
from pointledger.domain.program.tenant import Tenant

RATIO_DECIMALS = 6  # of settled to requested points; for reports, never for further computation


def earn(book: Book, tenant: Tenant, command: Earn, at: datetime) -> Decision:
    """Grant points. Opens a missing account."""
    account = book.accounts.get((tenant.tenant_id, command.user_id))
    if refused := disabled("earning", tenant.earn_enabled) or (account and inactive(account)):
        return refused
    used = _used_that_day(book, tenant, command, EARN_METER, tenant.max_earn_per_day, at)
    if isinstance(used, Refused):
        return used
    if refused := over_maximum(tenant, account, command.amount, "the account"):
        return refused
    if refused := too_large(account, command.amount, "total_earned"):
        return refused

    account = account or book.open_account(tenant, command.user_id, at)
    if used is not None:
        used.add(command.amount)
    starts_at = max(command.activates_at or at, at)
    expires_at = command.expires_at or tenant.default_expiry(starts_at)
    entry = grant(
        book, account, ("earn", "manual"), command.amount, at, expires_at, activates_at=command.activates_at
    )
    return applied(account, [entry], points_earned=command.amount)


def spend(book: Book, tenant: Tenant, command: Spend, at: datetime) -> Decision:
    """Spend available points."""
    if refused := disabled("spending", tenant.spend_enabled):
        return refused
    account = account_for(book, tenant, command.user_id, inactive)
    if isinstance(account, Refused):
        return account
    if command.amount < tenant.min_spend_points:
        return Refused(Reason.BELOW_MINIMUM, f"a spend has at least {tenant.min_spend_points} points")
    used = _used_that_day(book, tenant, command, SPEND_METER, tenant.max_spend_per_day, at)
    if isinstance(used, Refused):
        return used
    if refused := insufficient(account, command.amount):
        return refused

    if used is not None:
        used.add(command.amount)
    entry = book.post(account, ("spend", "purchase"), command.amount, at, delta=-command.amount)
    consume(book, account, entry, "spend")
    return applied(account, [entry])


def _used_that_day(
    book: Book, tenant: Tenant, command: Earn | Spend, meter: str, most: int | None, at: datetime
) -> Usage | Refused | None:
    """Return the day's usage to count the points in, None without a limit, or the refusal beyond it."""
    if most is None:
        return None
    used = book.usage_of(daily_window(tenant, command.user_id, meter, at))
    if used.points + command.amount > most:
        rest = max(most - used.points, 0)
        return Refused(Reason.LIMIT_REACHED, f"{rest} points are left to {command.kind} that day")
    return used


def transfer(book: Book, tenant: Tenant, command: Transfer, at: datetime) -> Decision:
    """Transfer points with their lots' origin, age and expiry."""
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
        message = f"user {command.to_user_id} has no account"
        return Refused(Reason.RECIPIENT_NOT_FOUND, message, rests_on="recipient")
    if inactive(recipient):
        message = f"user {command.to_user_id} cannot receive points"
        return Refused(Reason.RECIPIENT_INACTIVE, message, rests_on="recipient")
    then = advanced(book, tenant, recipient, at)
    if refused := over_maximum(tenant, then, command.amount, "the recipient"):
        return replace(refused, rests_on="recipient")
    if refused := insufficient(sender, command.amount):
        return refused
    if refused := too_large(then, command.amount, "total_transferred_in"):
        return replace(refused, rests_on="recipient")

    advance(book, tenant, recipient, at)
    leg_out = book.post(sender, ("spend", "transfer_out"), command.amount, at, delta=-command.amount)
    leg_in = book.post(
        recipient, ("earn", "transfer_in"), command.amount, at, delta=command.amount, related_id=leg_out.id
    )
    leg_out.related_id = leg_in.id
    paid = consume(book, sender, leg_out, "transfer")
    received = [
        book.new_lot(recipient, leg_in, share, lot.earned_at, lot.expires_at, lot.origin_id)
        for lot, share in paid
    ]
    book.make_available(recipient, leg_in, received)
    return applied(sender, [leg_out])


def expire(book: Book, tenant: Tenant, command: Expire, at: datetime) -> Decision:
    """Expire available points, up to the requested amount."""
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


def expire_due(book: Book, tenant: Tenant, command: ExpireDue, at: datetime) -> Decision:
    """Report the lots that have expired. `advance` has expired them, as for every command."""
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
    """Grant points in one lot, which is pending if `activates_at` lies in the future, else available."""
    is_pending = activates_at is not None and activates_at > account.as_of
    entry = book.post(
        account,
        kind,
        amount,
        at,
        delta=0 if is_pending else amount,
        delta_pending=amount if is_pending else 0,
        rule=rule,
        expires_at=expires_at,
    )
    if activates_at is not None and is_pending:
        book.make_pending(account, book.new_lot(account, entry, amount, at, expires_at), activates_at)
    else:
        book.grant_lot(account, entry, amount, at, expires_at)
    return entry


def activate(book: Book, tenant: Tenant, command: ActivateDue, at: datetime) -> Decision:
    """Report the activated lots. `advance` has activated them, also on suspended accounts."""
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
