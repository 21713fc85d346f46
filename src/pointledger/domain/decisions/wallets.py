"""Decides the commands about money: deposits, withdrawals and the exchange of points."""

from datetime import datetime
from typing import Any

from pointledger.domain.commands import Exchange, WalletAdjust
from pointledger.domain.commands.outcomes import Applied, Decision, Reason, Refused
from pointledger.domain.decisions.guards import account_for, disabled, erased, inactive, insufficient
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.lifecycle import consume
from pointledger.domain.ledger.outcome_data import applied
from pointledger.domain.ledger.wallets import POSTINGS, EntryType, Wallet, WalletEntry
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.money import MAX_MONEY, MAX_MONEY_TOTAL, minor_units, price, show_money, worth
from pointledger.ids import show_id


def wallet_adjust(book: Book, tenant: Tenant, command: WalletAdjust, at: datetime) -> Decision:
    """Deposit money into the wallet or withdraw it. A deposit creates a missing wallet."""
    owner = book.accounts.get((tenant.tenant_id, command.user_id))
    if owner and (refused := erased(owner)):
        return refused
    wallet = book.wallets.known.get((tenant.tenant_id, command.user_id))
    if wallet is None and command.type == "withdraw":
        return Refused(Reason.WALLET_NOT_FOUND, f"user {command.user_id} has no wallet")
    if wallet and (refused := _inactive(wallet)):
        return refused
    currency, scale = (wallet.currency, wallet.scale) if wallet else (tenant.currency, tenant.scale)
    if command.currency not in (None, currency):
        return Refused(Reason.CURRENCY_MISMATCH, f"the wallet is kept in {currency}")
    try:
        minor = minor_units(command.amount, scale)
    except ValueError as error:
        return Refused(Reason.AMOUNT_INVALID, f"{error}: {currency}")
    if command.type == "deposit" and (refused := _full(wallet, minor)):
        return refused
    if wallet and command.type == "withdraw" and minor > wallet.available:
        requested, available = wallet.show(minor), wallet.show(wallet.available)
        message = f"{requested} {currency} is requested, {available} is available"
        return Refused(Reason.INSUFFICIENT_BALANCE, message)
    if refused := _too_large(wallet, command.type, minor):
        return refused

    wallet = wallet or _open(book, tenant, command.user_id, command.application_id)
    entry = _post(book, wallet, command.type, minor, at)
    return Applied(_wallet_outcome(wallet, entry))


def exchange(book: Book, tenant: Tenant, command: Exchange, at: datetime) -> Decision:
    """Exchange points for money or for a coupon, whose code is the entry's id.

    Money is rounded down to whole minor units, and only the points that this amount costs are taken. The
    tenant's minimum and daily limit apply to `spend`, not to an exchange.
    """
    known = book.accounts.get((tenant.tenant_id, command.user_id))
    if refused := _not_exchanged(tenant, known, command.exchange_type):
        return refused
    account = account_for(book, tenant, command.user_id, inactive)
    if isinstance(account, Refused):
        return account
    if command.exchange_type == "coupon":
        return _for_coupon(book, account, command.amount, at)
    return _for_money(book, tenant, account, command.amount, at)


def _for_coupon(book: Book, account: Account, points: int, at: datetime) -> Decision:
    if refused := insufficient(account, points):
        return refused

    entry = book.post(account, ("spend", "exchange"), points, at, delta=-points)
    consume(book, account, entry, "spend")
    coupon = {"code": show_id(entry.id), "points": points}
    return applied(account, [entry], points_exchanged=points, points_left=0, coupon=coupon)


def _for_money(book: Book, tenant: Tenant, account: Account, requested: int, at: datetime) -> Decision:
    wallet = book.wallets.known.get((tenant.tenant_id, account.user_id))
    if wallet and (refused := _inactive(wallet)):
        return refused
    if wallet and wallet.currency != tenant.currency:
        # The rate is in the tenant's currency, and the ledger does not convert currencies.
        return Refused(Reason.CURRENCY_MISMATCH, f"the wallet is kept in {wallet.currency}")
    scale = wallet.scale if wallet else tenant.scale
    minor = worth(requested, tenant.exchange_rate, scale)
    if minor == 0:
        least = price(1, tenant.exchange_rate, scale)
        return Refused(Reason.BELOW_MINIMUM, f"at least {least} points are worth {show_money(1, scale)}")
    if refused := _full(wallet, minor):
        return refused
    if refused := insufficient(account, requested) or _too_large(wallet, "exchange", minor):
        return refused

    points = price(minor, tenant.exchange_rate, scale)
    entry = book.post(account, ("spend", "exchange"), points, at, delta=-points)
    consume(book, account, entry, "spend")
    wallet = wallet or _open(book, tenant, account.user_id)
    bought = _post(book, wallet, "exchange", minor, at, entry)
    outcome = _wallet_outcome(wallet, bought)
    return applied(account, [entry], points_exchanged=points, points_left=requested - points, **outcome)


def _not_exchanged(tenant: Tenant, account: Account | None, exchange_type: str) -> Refused | None:
    if refused := disabled("exchange", tenant.exchange_enabled):
        return refused
    points_type = account.points_type if account else tenant.points_type
    if exchange_type == "wallet" and points_type != "cash_equivalent":
        return Refused(Reason.FEATURE_DISABLED, f"{points_type} points are not exchanged for money")
    return None


def _inactive(wallet: Wallet) -> Refused | None:
    if wallet.status == "active":
        return None
    return Refused(Reason.WALLET_INACTIVE, f"the wallet is {wallet.status}")


def _full(wallet: Wallet | None, minor: int) -> Refused | None:
    if (wallet.balance if wallet else 0) + minor <= MAX_MONEY:
        return None
    return Refused(Reason.MAX_BALANCE, "the wallet would have more than 20 digits")


def _too_large(wallet: Wallet | None, entry_type: EntryType, minor: int) -> Refused | None:
    total, _, _ = POSTINGS[entry_type]
    if wallet is None or getattr(wallet, total) + minor <= MAX_MONEY_TOTAL:
        return None
    return Refused(Reason.FIGURE_TOO_LARGE, f"{total} would have more than 30 digits")


def _open(book: Book, tenant: Tenant, user_id: str, application_id: str | None = None) -> Wallet:
    """Create a wallet in the tenant's currency."""
    wallet = Wallet(
        id=book.next_id(),
        tenant_id=tenant.tenant_id,
        user_id=user_id,
        application_id=application_id,
        currency=tenant.currency,
        scale=tenant.scale,
        created_at=book.recorded_at,
        updated_at=book.recorded_at,
        is_new=True,
        changed=True,
    )
    book.wallets.known[tenant.tenant_id, user_id] = wallet
    return wallet


def _post(
    book: Book, wallet: Wallet, entry_type: EntryType, minor: int, at: datetime, paid_by: Any = None
) -> WalletEntry:
    assert book.command_id, "only a command changes the book"
    related_id = paid_by.id if paid_by else None
    return book.wallets.post(
        wallet, book.next_id(), book.command_id, entry_type, minor, at, book.recorded_at, related_id
    )


def _wallet_outcome(wallet: Wallet, entry: WalletEntry) -> dict[str, Any]:
    """Return an outcome's data about a wallet and its new entry, with amounts as text."""
    return {"wallet_transaction": entry_data(wallet, entry), "wallet": wallet_data(wallet)}


def wallet_data(wallet: Wallet) -> dict[str, Any]:
    """Return the wallet as the command left it."""
    return {
        "wallet_id": wallet.id,
        "currency": wallet.currency,
        "balance": wallet.show(wallet.balance),
        "frozen_balance": wallet.show(wallet.frozen_balance),
        "status": wallet.status,
        "version": wallet.version,
        "application_id": wallet.application_id,
        "created_at": wallet.created_at,
        "updated_at": wallet.updated_at,
    }


def entry_data(wallet: Wallet, entry: WalletEntry) -> dict[str, Any]:
    """Return one wallet entry in the form of the API's transactions."""
    return {
        "id": entry.id,
        "wallet_id": wallet.id,
        "seq": entry.seq,
        "type": entry.type,
        "amount": wallet.show(entry.amount),
        "currency": wallet.currency,
        "balance_before": wallet.show(entry.balance_after - entry.delta),
        "balance_after": wallet.show(entry.balance_after),
        "related_id": entry.related_id,
    }
