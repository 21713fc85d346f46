"""What time does to an account, and what debits do to its lots."""

from datetime import datetime

from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.lots import Lot, consumption_order, sooner, take
from pointledger.domain.program.tenant import Tenant


def activate_due(book: Book, account: Account, as_of: datetime) -> list[Entry]:
    """Makes every pending lot available that is due at `as_of`, one entry each, the earliest first; of one
    moment, in the order of consumption."""
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
    waiting = [lot.activates_at for lot in account.pending if lot.activates_at is not None]
    account.next_activation_at = sooner(min(waiting, default=None), account.others_activate_from)
    account.changed = True
    return activated


def lets_expire(tenant: Tenant, account: Account, moment: datetime) -> bool:
    """Whether what is due then may expire: no switch, no exemption and no notice holds it back."""
    if account.expiry_exempt or not tenant.lets_expire(moment):
        return False
    return account.expires_not_before is None or account.expires_not_before <= moment


def expire_due(book: Book, tenant: Tenant, account: Account, as_of: datetime) -> list[Entry]:
    """Expires what remains in every lot that is due at `as_of`, one entry each; those entries, soonest expiry
    first. What is held of a lot stays as it is."""
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
    """Works out from the lots when the next one of them expires."""
    first = next((lot.expires_at for lot in account.lots if lot.remaining), None)
    account.next_expiry_at = sooner(first, account.others_expire_from)
    account.changed = True


def consume(book: Book, account: Account, entry: Entry, kind: str) -> list[tuple[Lot, int]]:
    """Pays an entry out of the account's lots, the soonest expiry first; who paid what."""
    paid = take(account.lots, entry.amount)
    book.pay(entry, kind, paid)
    book.settle_lots(account)
    return paid
