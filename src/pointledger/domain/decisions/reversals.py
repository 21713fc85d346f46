"""Decides the reversals: refunds of spends to the lots that paid, and clawbacks of earned points.

A reversal is a new entry with the id of the reversed one. The recorded facts of the reversed entry determine
the points that it can return, and their lots.
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

# Exchanges are not refundable, because their value is in a wallet or in a coupon that may be used. An
# administrator takes it back there and grants points as goodwill.
REFUNDABLE = frozenset({("spend", "purchase"), ("spend", "capture")})
# Earned in another system, so it never counted toward a daily limit.
UNLIMITED = frozenset({("earn", "import")})
EARNED = frozenset({("earn", "rule"), ("earn", "manual")}) | UNLIMITED


def refund(book: Book, tenant: Tenant, command: Refund, at: datetime) -> Decision:
    """Return spent points, also beyond the maximum balance, because the user owns them."""
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
    """Take earned points back: from their own lot, then from other lots, then as debt.

    Expired points are not taken again. Points that were transferred are taken from the user who earned them.
    """
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account
    earned = related(book, tenant.tenant_id, command.related_id)
    if refused := _irreversible(earned, account, EARNED, command.amount or 1):
        return refused
    assert earned is not None, "a missing entry was refused"
    requested = command.amount or earned.left
    due = min(requested, earned.left - earned.expired - book.expired[account.id, earned.id])
    paid, debt = _payments(account, earned, due, command.policy)
    if account.debt + debt > MAX_BALANCE:
        return Refused(Reason.FIGURE_TOO_LARGE, f"debt would be more than {MAX_BALANCE}")

    taken = sum(share for _, share in paid)
    entries = []
    if taken + debt:
        entries.append(_take_back(book, tenant, account, earned, paid, debt, at))
    return applied(account, entries, requested=requested, clawed_back=taken + debt, debt_added=debt)


def cancel_pending(book: Book, tenant: Tenant, command: CancelPending, at: datetime) -> Decision:
    """Take back all pending points of an entry. Points that are available cannot be canceled."""
    account = account_for(book, tenant, command.user_id, closed)
    if isinstance(account, Refused):
        return account
    earned = related(book, tenant.tenant_id, command.related_id)
    if refused := _irreversible(earned, account, EARNED, 1):
        return refused
    assert earned is not None, "a missing entry was refused"
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
    """Write the entry, take points from the lots, and release usage of limits. It must succeed."""
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


def _payments(
    account: Account, earned: Reversible, due: int, policy: str
) -> tuple[list[tuple[Lot, int]], int]:
    """Return the share of each lot, the points' own lot first, and the rest as debt."""
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
    """Return the windows in which a reversal of earned points releases usage.

    These are the daily windows of the rule's limits, including those that all users share, and the user's
    daily earnings, with or without a current limit. They apply only on the day on which the points were
    earned. Times and other windows are not released.
    """
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
    """Return the version of the rule that granted the points."""
    return book.rules_of(tenant).version(*earned.rule) if earned.rule else None


def related(book: Book, tenant_id: str, entry_id: UUID) -> Reversible | None:
    """Return the entry that a command names: a loaded one, or one that this batch has written."""
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
    """Refuse entries of other users or kinds, and amounts beyond what is left of the entry."""
    if entry is None:
        return Refused(Reason.RELATED_NOT_FOUND, "there is no such entry; the command does not wait for one")
    if entry.account_id != account.id:
        return Refused(Reason.RELATED_NOT_REVERSIBLE, "the entry belongs to another account")
    if entry.kind not in kinds:
        return Refused(
            Reason.RELATED_NOT_REVERSIBLE,
            f"a {'/'.join(entry.kind)} entry cannot be reversed by this command",
        )
    if amount > entry.left:
        return Refused(Reason.RELATED_NOT_REVERSIBLE, f"{entry.left} of its {entry.amount} points are left")
    return None


def _refund_spend(
    book: Book, tenant: Tenant, account: Account, spend: Reversible, amount: int, at: datetime
) -> Entry:
    """Return points to the lots that paid. The lots that paid last get their points first."""
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
    assert rest == 0, "the amount of a spend is the sum of its shares"
    book.make_available(account, entry, available)
    book.settle_lots(account)
    if tenant.refund_grace_days == 0:
        expire_due(book, tenant, account, account.as_of)
    return entry


def _restore(book: Book, entry: Entry, lot: Lot, amount: int) -> Lot:
    """Return points to the lot that paid."""
    lot.remaining += amount
    lot.state = "active"
    book.note_lot(lot)
    book.moves.append(LotMove(lot.tenant_id, entry.id, lot.id, "restore", amount))
    return lot


def _grant_grace(book: Book, tenant: Tenant, account: Account, entry: Entry, lot: Lot, amount: int) -> Lot:
    """Return points of an expired lot in a new lot of the same origin and age, for the grace period.

    Without a grace period, the new lot has the past expiry. Its points repay debt first, and the rest
    expires.
    """
    days = tenant.refund_grace_days
    expires_at = tenant.days_later(account.as_of, days) if days else lot.expires_at
    book.moves.append(LotMove(lot.tenant_id, entry.id, lot.id, "renew", amount))
    return book.new_lot(account, entry, amount, lot.earned_at, expires_at, lot.origin_id)
