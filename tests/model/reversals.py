"""Reverses by recorded numbers: refunds of spends, and clawbacks of earned points."""

from tests.model.accounts import LARGEST_FIGURE, Entry, Lot, Share
from tests.model.deciding import Data, Decision
from tests.model.points import Meter, day_meter
from tests.model.rules import meter_of

_REFUNDED = (("spend", "purchase"), ("spend", "capture"))
_CLAWED_BACK = (("earn", "manual"), ("earn", "rule"), ("earn", "import"))


def _reversed(d: Decision, kinds: tuple[tuple[str, str], ...]) -> Entry:
    """Return the entry that the command names, if this kind of command may reverse it."""
    entry = d.entry_of("related_id")
    is_own = entry.user == d.command.user_id
    d.refuse_unless(is_own and (entry.type, entry.subtype) in kinds, "RELATED_NOT_REVERSIBLE")
    return entry


def _reversals(d: Decision, entry: Entry) -> int:
    """Return how many points of the entry have been reversed."""
    later = d.account.entries[entry.seq :]
    kinds = (("refund", "linked"), ("adjust", "clawback"))
    return sum(e.amount for e in later if e.related == entry.id and (e.type, e.subtype) in kinds)


def refund(d: Decision) -> Data:
    """Return points of a spend to the lots that paid, the last one first."""
    if not d.fields.get("related_id"):
        return _goodwill(d)
    spent = _reversed(d, _REFUNDED)
    before = _reversals(d, spent)
    d.refuse_unless(d.amount <= spent.amount - before, "RELATED_NOT_REVERSIBLE")
    d.must_fit(d.amount, "total_refunded")
    entry = d.give_back("refund", "linked", d.amount, _shares(d, spent, before), related=spent.id)
    d.clock.expire_due(d.account, entry.lots)
    return {}


def _goodwill(d: Decision) -> Data:
    d.must_fit(d.amount, "total_refunded")
    expires_at = d.config.expiry.ends(d.effective_at, d.calendar)
    new_lot = d.new_lot(expires_at)
    d.credit("refund", "goodwill", d.amount, "total_refunded", new_lot, expires_at=expires_at)
    return {}


def _shares(d: Decision, spent: Entry, skipped: int) -> list[Share]:
    """Return the shares of the lots that paid, the last one first, after points that were returned before."""
    shares, points = [], d.amount
    for lot, _, paid in reversed(spent.moves):
        returned = min(skipped, paid)
        skipped -= returned
        share = min(points, paid - returned)
        points -= share
        if share:
            shares.append(_share(d, lot, share))
    return shares


def _share(d: Decision, lot: Lot, points: int) -> Share:
    """Return a share of the lot or, if it has expired, of a new lot with grace or immediate expiry."""
    if not d.clock.has_expired(d.account, lot, d.as_of):
        return Share(lot, points)
    grace = d.config.refund_grace_days
    ends = d.calendar.plus_days(d.as_of, grace) if grace else lot.expires_at
    return Share(lot, points, is_new=True, ends=ends)


def clawback(d: Decision) -> Data:
    """Take earned points back: pending ones, then from their own lot, then from others.

    The rest becomes debt if the policy says so. Points that have expired do not count.
    """
    earned = _reversed(d, _CLAWED_BACK)
    before = _reversals(d, earned)
    left = earned.amount - before
    requested = d.fields.get("amount") or left
    d.refuse_unless(0 < requested <= left, "RELATED_NOT_REVERSIBLE")
    policy = d.fields.get("policy", "within_balance")
    gone = sum(lot.expired for lot in d.account.lots if lot.origin is earned)
    wanted = min(requested, max(0, left - gone))
    own = earned.lots[0]
    pending = min(wanted, own.remaining) if own.is_pending else 0
    available = 0 if policy == "only_pending" else min(wanted - pending, d.account.figures["balance"])
    debt = wanted - pending - available if policy == "arrears" else 0
    if pending + available + debt:
        d.refuse_unless(d.account.figures["debt"] + debt <= LARGEST_FIGURE, "FIGURE_TOO_LARGE")
        _take_back(d, earned, pending, available, debt)
    return {"requested": requested, "clawed_back": pending + available + debt, "debt_added": debt}


def _take_back(d: Decision, earned: Entry, pending: int, available: int, debt: int) -> None:
    points = pending + available + debt
    entry = d.post(
        "adjust",
        "clawback",
        points,
        total="total_clawed_back",
        pending=-pending,
        balance=-available,
        debt=debt,
        related=earned.id,
    )
    entry.rule = earned.rule
    own = earned.lots[0]
    if pending:
        own.take(pending, "cancelled")
        entry.moves.append((own, "clawback", pending))
    lots = d.account.available()
    lots.sort(key=lambda lot: lot is not own)
    missing = d.account.consume(entry, available, "clawback", lots)
    assert not missing
    if d.calendar.date_of(d.effective_at) == d.calendar.date_of(earned.occurred_at):
        for meter in _meters_of_the_day(d, earned):
            used = d.world.usage[meter]
            used[0] = max(0, used[0] - points)


def _meters_of_the_day(d: Decision, earned: Entry) -> set[Meter]:
    """Return the day's windows that the points free: those of their rule version and the daily limit."""
    meters: set[Meter] = set()
    if earned.rule:
        name, version = earned.rule
        _, rule = d.world.rules[name][version - 1]
        meters = {meter_of(d, rule, limit) for limit in rule.limits if limit.period == "day"}
    if earned.subtype != "import":
        meters.add(day_meter(d, "earn"))
    return meters


def cancel_pending(d: Decision) -> Data:
    """Take back the pending points of an entry."""
    earned = _reversed(d, _CLAWED_BACK)
    own = earned.lots[0]
    points = own.remaining if own.is_pending else 0
    d.refuse_unless(points > 0, "RELATED_NOT_REVERSIBLE")
    _take_back(d, earned, points, 0, 0)
    return {"clawed_back": points}
