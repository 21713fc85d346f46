"""Applies due activations and expiries to an account, and pays debits from its lots."""

from datetime import datetime

from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.lots import Lot, consumption_order, sooner, take
from pointledger.domain.program.tenant import Tenant


def activate_due(book: Book, account: Account, as_of: datetime) -> list[Entry]:
    """Activate every pending lot that is due at `as_of`, with one entry per lot.

    The earliest activation is first; of equals, the consumption order decides.
    """
    if account.next_activation_at is None or account.next_activation_at > as_of:
        return []
    due = sorted(
        (lot.activates_at, consumption_order(lot), lot)
        for lot in account.pending
        if lot.activates_at is not None and lot.activates_at <= as_of
    )
    activated = []
    for _, _, lot in due:
        entry = book.post(
            account,
            ("adjust", "activation"),
            lot.remaining,
            as_of,
            delta=lot.remaining,
            delta_pending=-lot.remaining,
            related_id=lot.entry_id,
            expires_at=lot.expires_at,
        )
        lot.state = "active"
        book.note_lot(lot)
        book.make_available(account, entry, [lot])
        activated.append(entry)
    book.settle_lots(account)
    activations = [lot.activates_at for lot in account.pending if lot.activates_at is not None]
    account.next_activation_at = sooner(min(activations, default=None), account.others_activate_from)
    account.changed = True
    return activated


def lets_expire(tenant: Tenant, account: Account, moment: datetime) -> bool:
    """Return whether due points may expire: no switch, exemption or notice period prevents it."""
    if account.expiry_exempt or not tenant.lets_expire(moment):
        return False
    return account.expires_not_before is None or account.expires_not_before <= moment


def expire_due(book: Book, tenant: Tenant, account: Account, as_of: datetime) -> list[Entry]:
    """Expire the remaining points of every lot that is due at `as_of`, with one entry per lot.

    The soonest expiry is first. Held points of a lot do not change.
    """
    if account.next_expiry_at is None or account.next_expiry_at > as_of:
        return []
    if not lets_expire(tenant, account, as_of):
        return []
    expired = []
    for lot in [lot for lot in account.lots if lot.is_due(as_of) and lot.remaining]:
        entry = book.post(
            account,
            ("expire", "scheduled"),
            lot.remaining,
            as_of,
            delta=-lot.remaining,
            expires_at=lot.expires_at,
        )
        book.pay(entry, "expire", [(lot, lot.remaining)])
        expired.append(entry)
    book.settle_lots(account)
    expect_next_expiry(account)
    return expired


def expect_next_expiry(account: Account) -> None:
    """Update the account's next expiry from its lots."""
    first = next((lot.expires_at for lot in account.lots if lot.remaining), None)
    account.next_expiry_at = sooner(first, account.others_expire_from)
    account.changed = True


def consume(book: Book, account: Account, entry: Entry, kind: str) -> list[tuple[Lot, int]]:
    """Pay an entry from the account's lots, the soonest expiry first. Returns the share of each lot."""
    paid = take(account.lots, entry.amount)
    book.pay(entry, kind, paid)
    book.settle_lots(account)
    return paid
