"""What is undone by recorded numbers: refunds of spends, clawbacks of earned points."""

from tests.model.accounts import LARGEST_FIGURE, Entry, Lot, Share
from tests.model.deciding import Data, Decision
from tests.model.points import Meter, day_meter
from tests.model.rules import meter_of

_REFUNDED = (("spend", "purchase"), ("spend", "capture"))
_CLAWED_BACK = (("earn", "manual"), ("earn", "rule"), ("earn", "import"))


def _reversed(d: Decision, kinds: tuple[tuple[str, str], ...]) -> Entry:
    """The entry that the command names, if it may be reversed so."""
    entry = d.entry_of("related_id")
    is_own = entry.user == d.command.user_id
    d.refuse_unless(is_own and (entry.type, entry.subtype) in kinds, "RELATED_NOT_REVERSIBLE")
    return entry


def _reversals(d: Decision, entry: Entry) -> int:
    """How many points of the entry have been taken back."""
    later = d.account.entries[entry.seq :]
    kinds = (("refund", "linked"), ("adjust", "clawback"))
    return sum(e.amount for e in later if e.related == entry.id and (e.type, e.subtype) in kinds)


def refund(d: Decision) -> Data:
    """Gives back what a spend took: to the lots that paid, the last first."""
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
    """To which lots it goes back: those that paid, the last first, after what has been given back already."""
    shares, points = [], d.amount
    for lot, _, paid in reversed(spent.moves):
        passed = min(skipped, paid)
        skipped -= passed
        share = min(points, paid - passed)
        points -= share
        if share:
            shares.append(_share(d, lot, share))
    return shares


def _share(d: Decision, lot: Lot, points: int) -> Share:
    """The lot itself; where it has expired, a new one that lives for the grace, or expires at once."""
    if not d.clock.has_expired(d.account, lot, d.as_of):
        return Share(lot, points)
    grace = d.config.refund_grace_days
    ends = d.calendar.plus_days(d.as_of, grace) if grace else lot.expires_at
    return Share(lot, points, is_new=True, ends=ends)


def clawback(d: Decision) -> Data:
    """Takes earned points back: what is pending, then from their own lot, then from others; the rest is debt,
    if the policy says so. What of them has expired is gone already."""
    earned = _reversed(d, _CLAWED_BACK)
    before = _reversals(d, earned)
    left = earned.amount - before
    asked = d.fields.get("amount") or left
    d.refuse_unless(0 < asked <= left, "RELATED_NOT_REVERSIBLE")
    policy = d.fields.get("policy", "within_balance")
    gone = sum(lot.expired for lot in d.account.lots if lot.origin is earned)
    wanted = min(asked, max(0, left - gone))
    own = earned.lots[0]
    pending = min(wanted, own.remaining) if own.is_pending else 0
    available = 0 if policy == "only_pending" else min(wanted - pending, d.account.figures["balance"])
    debt = wanted - pending - available if policy == "arrears" else 0
    if pending + available + debt:
        d.refuse_unless(d.account.figures["debt"] + debt <= LARGEST_FIGURE, "FIGURE_TOO_LARGE")
        _take_back(d, earned, pending, available, debt)
    return {"requested": asked, "clawed_back": pending + available + debt, "debt_added": debt}


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
    """The day's windows in which points make room again: of the limits of the rule's version that granted
    them, and of what may be earned a day."""
    meters: set[Meter] = set()
    if earned.rule:
        name, version = earned.rule
        _, rule = d.world.rules[name][version - 1]
        meters = {meter_of(d, rule, limit) for limit in rule.limits if limit.period == "day"}
    if earned.subtype != "import":
        meters.add(day_meter(d, "earn"))
    return meters


def cancel_pending(d: Decision) -> Data:
    """Takes back what is still pending of an entry."""
    earned = _reversed(d, _CLAWED_BACK)
    own = earned.lots[0]
    points = own.remaining if own.is_pending else 0
    d.refuse_unless(points > 0, "RELATED_NOT_REVERSIBLE")
    _take_back(d, earned, points, 0, 0)
    return {"clawed_back": points}
