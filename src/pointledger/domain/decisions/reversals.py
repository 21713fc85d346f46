"""Reversals: a spend is refunded to the lots that paid it; earned points are taken back.

A reversal is an entry of its own, with the first one's id; what it may undo and where it puts the points
is worked out from what was recorded then.
"""

from datetime import datetime
from uuid import UUID

from pointledger.domain.commands import CancelPending, Clawback, Refund
from pointledger.domain.commands.outcomes import Decision, Reason, Refused
from pointledger.domain.decisions.guards import account_for, closed, too_large
from pointledger.domain.ledger.account import MAX_BALANCE, Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.lifecycle import expire_due, lets_expire
from pointledger.domain.ledger.lots import Lot, LotMove, take
from pointledger.domain.ledger.outcome_data import applied
from pointledger.domain.ledger.reversible import Reversible, Share
from pointledger.domain.program.limits import DAY, EARN_METER, Window, daily_window, rule_windows
from pointledger.domain.program.rule import Rule
from pointledger.domain.program.tenant import Tenant

# Not what was exchanged: its worth is in a wallet, or in a coupon that may have been used. An administrator
# takes it back there and gives points as goodwill.
REFUNDABLE = frozenset({("spend", "purchase"), ("spend", "capture")})
UNLIMITED = frozenset({("earn", "import")})  # earned elsewhere: it never counted toward a day
EARNED = frozenset({("earn", "rule"), ("earn", "manual")}) | UNLIMITED


def refund(book: Book, tenant: Tenant, command: Refund, at: datetime) -> Decision:
    """Gives back what was spent, also beyond the tenant's maximum: the points are the user's own."""
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account
    spend = None
    if command.related_id is not None:
        spend = related(book, tenant.tenant_id, command.related_id)
        if refused := _irreversible(spend, account, REFUNDABLE, command.amount):
            return refused
    if refused := too_large(account, command.amount, "total_refunded"):
        return refused

    if spend is None:
        expires_at = tenant.default_expiry(at)
        entry = book.post(
            account, ("refund", "goodwill"), command.amount, at, delta=command.amount, expires_at=expires_at
        )
        book.grant_lot(account, entry, command.amount, at, expires_at)
    else:
        entry = _refund_spend(book, tenant, account, spend, command.amount, at)
    return applied(account, [entry])


def clawback(book: Book, tenant: Tenant, command: Clawback, at: datetime) -> Decision:
    """Takes earned points back: from the lot that they came in, then from others, then as debt. What has
    expired is gone already; what was given away is taken from whoever earned it."""
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account
    earned = related(book, tenant.tenant_id, command.related_id)
    if refused := _irreversible(earned, account, EARNED, command.amount or 1):
        return refused
    assert earned is not None, "what is missing was refused"
    requested = command.amount or earned.left
    due = min(requested, earned.left - earned.expired - book.expired[account.id, earned.id])
    paid, debt = _who_pays(account, earned, due, command.policy)
    if account.debt + debt > MAX_BALANCE:
        return Refused(Reason.FIGURE_TOO_LARGE, f"debt would be more than {MAX_BALANCE}")

    taken = sum(share for _, share in paid)
    entries = []
    if taken + debt:
        entries.append(_take_back(book, tenant, account, earned, paid, debt, at))
    return applied(account, entries, requested=requested, clawed_back=taken + debt, debt_added=debt)


def cancel_pending(book: Book, tenant: Tenant, command: CancelPending, at: datetime) -> Decision:
    """Takes back the whole of what is still pending of an entry; final once it has become available."""
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account
    earned = related(book, tenant.tenant_id, command.related_id)
    if refused := _irreversible(earned, account, EARNED, 1):
        return refused
    assert earned is not None, "what is missing was refused"
    if earned.lot is None or earned.lot.state != "pending":
        return Refused(Reason.RELATED_NOT_REVERSIBLE, "its points are not pending")

    paid = [(earned.lot, earned.lot.remaining)]
    entry = _take_back(book, tenant, account, earned, paid, 0, at)
    return applied(account, [entry], clawed_back=entry.amount)


def _take_back(
    book: Book,
    tenant: Tenant,
    account: Account,
    earned: Reversible,
    paid: list[tuple[Lot, int]],
    debt: int,
    at: datetime,
) -> Entry:
    """From here on it must succeed: writes the entry, takes from the lots, makes room in the limits."""
    pending = sum(share for lot, share in paid if lot.state == "pending")
    available = sum(share for _, share in paid) - pending
    entry = book.post(
        account,
        ("adjust", "clawback"),
        available + pending + debt,
        at,
        delta=-available,
        delta_pending=-pending,
        delta_debt=debt,
        rule=_rule_of(book, tenant, earned),
        related_id=earned.id,
    )
    book.pay(entry, "clawback", paid)
    book.settle_lots(account)
    earned.undone += entry.amount
    for window in windows_of(book, tenant, account.user_id, earned, at):
        book.usage_of(window).give_back(entry.amount)
    return entry


def _who_pays(
    account: Account, earned: Reversible, due: int, policy: str
) -> tuple[list[tuple[Lot, int]], int]:
    """What each lot gives back, the points' own lot first, and what is left as debt."""
    own = earned.lot
    if due > 0 and own and own.state == "pending":
        return [(own, due)], 0
    if due <= 0 or policy == "only_pending":
        return [], 0
    first = min(own.remaining, due) if own else 0
    others = min(due - first, account.balance - first)
    paid = [(own, first)] if own and first else []
    paid += take([lot for lot in account.lots if lot is not own], others)
    return paid, due - first - others if policy == "arrears" else 0


def windows_of(book: Book, tenant: Tenant, user_id: str, earned: Reversible, at: datetime) -> list[Window]:
    """The windows in which points that are taken back make room again: those of the day on which they were
    earned, while it lasts; those that all users share, too; and what the user may earn a day, bounded now or
    not. What is counted in times, or for life, does not come back."""
    if tenant.local_date(at) != tenant.local_date(earned.occurred_at):
        return []
    windows = set()
    if rule := _rule_of(book, tenant, earned):
        counted = rule_windows(tenant, user_id, rule, at)
        windows = {window for limit, window in counted if limit.period == DAY}
    if earned.kind not in UNLIMITED:
        windows.add(daily_window(tenant, user_id, EARN_METER, at))
    return sorted(windows)


def _rule_of(book: Book, tenant: Tenant, earned: Reversible) -> Rule | None:
    """The very version of the rule that granted the points."""
    versions = book.rules_of(tenant).versions
    return next((rule for rule in versions if (rule.id, rule.version) == earned.rule), None)


def related(book: Book, tenant_id: str, entry_id: UUID) -> Reversible | None:
    """The entry that a command names: as it was loaded, or as an earlier command of the batch wrote it."""
    known = book.reversibles.get((tenant_id, entry_id))
    if known is None:
        written = (entry for entry in book.entries if (entry.tenant_id, entry.id) == (tenant_id, entry_id))
        entry = next(written, None)
        if entry is None:
            return None
        known = _of_this_batch(book, entry)
        book.reversibles[tenant_id, entry_id] = known
    return known


def _of_this_batch(book: Book, entry: Entry) -> Reversible:
    lots = {lot.id: lot for lot in book.new_lots} | book.changed_lots
    rule = entry.rule
    return Reversible(
        entry.id,
        entry.account_id,
        (entry.type, entry.subtype),
        entry.amount,
        entry.occurred_at,
        (rule.id, rule.version) if rule else None,
        lot=next((lot for lot in book.new_lots if lot.entry_id == entry.id), None),
        shares=[Share(lots[move.lot_id], move.amount) for move in book.moves if move.entry_id == entry.id],
    )


def _irreversible(
    entry: Reversible | None, account: Account, kinds: frozenset[tuple[str, str]], amount: int
) -> Refused | None:
    """Only the user's own entries of these kinds, and in all reversals no more than they amount to."""
    if entry is None:
        return Refused(Reason.RELATED_NOT_FOUND, "there is no such entry yet, and it is not waited for")
    if entry.account_id != account.id:
        return Refused(Reason.RELATED_NOT_REVERSIBLE, "the entry is not the user's")
    if entry.kind not in kinds:
        return Refused(Reason.RELATED_NOT_REVERSIBLE, f"a {'/'.join(entry.kind)} cannot be reversed so")
    if amount > entry.left:
        return Refused(Reason.RELATED_NOT_REVERSIBLE, f"{entry.left} of its {entry.amount} points are left")
    return None


def _refund_spend(
    book: Book, tenant: Tenant, account: Account, spend: Reversible, amount: int, at: datetime
) -> Entry:
    """The lots that paid last get theirs first."""
    entry = book.post(account, ("refund", "linked"), amount, at, delta=amount, related_id=spend.id)
    spend.undone += amount
    rest, available = amount, []
    for share in reversed(spend.shares):
        part = min(share.taken - share.returned, rest)
        if not part:
            continue
        rest -= part
        share.returned += part
        if share.lot.is_due(account.as_of) and lets_expire(tenant, account, account.as_of):
            available.append(_grant_grace(book, tenant, account, entry, share.lot, part))
        else:
            available.append(_restore(book, entry, share.lot, part))
    assert rest == 0, "what a spend took from lots is its amount"
    book.make_available(account, entry, available)
    book.settle_lots(account)
    if tenant.refund_grace_days == 0:
        expire_due(book, tenant, account, account.as_of)
    return entry


def _restore(book: Book, entry: Entry, lot: Lot, amount: int) -> Lot:
    """The points go back to the lot that they were taken from."""
    lot.remaining += amount
    lot.state = "active"
    book.note_lot(lot)
    book.moves.append(LotMove(lot.tenant_id, entry.id, lot.id, "restore", amount))
    return lot


def _grant_grace(book: Book, tenant: Tenant, account: Account, entry: Entry, lot: Lot, amount: int) -> Lot:
    """The points of a lot whose time has passed: in a new one, for a while, with their origin and age.
    Without grace it has the expiry that has passed, so it pays a debt first, and what is left expires."""
    days = tenant.refund_grace_days
    expires_at = tenant.days_later(account.as_of, days) if days else lot.expires_at
    book.moves.append(LotMove(lot.tenant_id, entry.id, lot.id, "renew", amount))
    return book.new_lot(account, entry, amount, lot.earned_at, expires_at, lot.origin_id)
