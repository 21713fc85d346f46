"""Opens, captures and releases holds on the book. Callers have checked all guards before.

Held points stay valid when their lot expires, so a hold can always be captured. If points are released after
the expiry of their lot, they form a new lot of the same origin and age. The new lot expires after the
tenant's grace period; the old lot keeps its expiry and ends. Without a grace period, released points return
to their lot, and expire when due points are processed next.
"""

from datetime import datetime

from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.holds import HeldLot, Hold
from pointledger.domain.ledger.lifecycle import lets_expire
from pointledger.domain.ledger.lots import sooner, take
from pointledger.domain.program.tenant import Tenant


def open_hold(
    book: Book, account: Account, amount: int, at: datetime, expires_at: datetime | None
) -> tuple[Hold, Entry]:
    """Reserve points, the soonest expiry first."""
    entry = book.post(
        account, ("freeze", "hold"), amount, at, delta=-amount, delta_frozen=amount, expires_at=expires_at
    )
    hold = Hold(
        id=entry.id,
        tenant_id=account.tenant_id,
        account_id=account.id,
        seq=entry.seq,
        amount=amount,
        opened_at=account.as_of,
        expires_at=expires_at,
        is_new=True,
    )
    for lot, share in take(account.lots, amount):
        lot.remaining -= share
        lot.frozen += share
        book.note_lot(lot)
        hold.lots.append(HeldLot(lot, share, share))
    account.holds[hold.id] = hold
    account.next_timeout_at = sooner(account.next_timeout_at, expires_at)
    return hold, entry


def capture(book: Book, account: Account, hold: Hold, amount: int, at: datetime) -> Entry:
    """Spend points of a hold, also those whose lot has expired."""
    entry = book.post(account, ("spend", "capture"), amount, at, delta_frozen=-amount, related_id=hold.id)
    for held, share in hold.to_capture(amount):
        held.frozen -= share
        held.lot.frozen -= share
        book.note_move(entry, "spend", held.lot, share)
    hold.captured += amount
    hold.changed = True
    if hold.held == 0:
        hold.state = "captured"
    book.settle_lots(account)
    return entry


def release(book: Book, tenant: Tenant, account: Account, hold: Hold, amount: int, at: datetime) -> Entry:
    """Return points of a hold, as of the account's clock."""
    entry = _give_back(book, tenant, account, hold, amount, "release", at, account.as_of)
    if hold.held == 0:
        hold.state = "captured" if hold.captured else "released"
    return entry


def time_out_due(book: Book, tenant: Tenant, account: Account) -> list[Entry]:
    """Release the holds that have timed out by the account's clock, each as of its own time-out.

    They are released in the order of their time-outs, so a late call has the same result.
    """
    if account.next_timeout_at is None or account.next_timeout_at > account.as_of:
        return []
    entries = []
    due = [hold for hold in account.holds.values() if hold.is_open and _is_due(hold, account.as_of)]
    for hold in sorted(due, key=lambda hold: (hold.expires_at, hold.seq)):
        assert hold.expires_at, "only a hold with a time-out is due"
        moment = max(hold.expires_at, hold.opened_at)
        entries.append(_give_back(book, tenant, account, hold, hold.held, "timeout", moment, moment))
        hold.state = "timed_out"
    later = [hold.expires_at for hold in account.holds.values() if hold.is_open and hold.expires_at]
    account.next_timeout_at = min(later, default=None)
    return entries


def _is_due(hold: Hold, as_of: datetime) -> bool:
    return hold.expires_at is not None and hold.expires_at <= as_of


def _give_back(
    book: Book,
    tenant: Tenant,
    account: Account,
    hold: Hold,
    amount: int,
    subtype: str,
    at: datetime,
    moment: datetime,
) -> Entry:
    """Return points to their lots, or to new lots for those that have expired by `moment`."""
    entry = book.post(
        account, ("unfreeze", subtype), amount, at, delta=amount, delta_frozen=-amount, related_id=hold.id
    )
    has_grace = tenant.hold_grace_days > 0 and lets_expire(tenant, account, moment)
    available = []
    for held, share in hold.to_release(amount):
        lot = held.lot
        held.frozen -= share
        lot.frozen -= share
        if has_grace and lot.is_due(moment):
            book.note_move(entry, "grace", lot, share)
            entry.expires_at = tenant.days_later(moment, tenant.hold_grace_days)
            lot = book.new_lot(account, entry, share, lot.earned_at, entry.expires_at, lot.origin_id)
        else:
            lot.remaining += share
            book.note_lot(lot)
        available.append(lot)
    book.make_available(account, entry, available)
    hold.released += amount
    hold.changed = True
    book.settle_lots(account)
    return entry
