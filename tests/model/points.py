"""Points: open-account, earn, spend, expire, adjust, import, expire-due and activate-due."""

from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from tests.model.accounts import Account, Entry, Lot
from tests.model.deciding import Data, Decision
from tests.model.lifecycle import take_as_expired

Meter = tuple[str, str, str, date]  # whose, of what, period, first day

_RATIO_DIGITS = Decimal("0.000001")


def open_account(_: Decision) -> Data:
    return {}


def earn(d: Decision) -> Data:
    """Grant points, which are pending until `activates_at`."""
    activates_at = d.fields.get("activates_at")
    if activates_at is not None and activates_at <= d.effective_at:
        activates_at = None
    left = earnings_left(d)
    d.refuse_unless(left is None or d.amount <= left, "LIMIT_REACHED")
    d.must_have_room(d.amount)
    expires_at = d.fields.get("expires_at")
    if expires_at is None:
        expires_at = d.config.expiry.ends(activates_at or d.effective_at, d.calendar)
    entry = grant(d, "manual", d.amount, activates_at, expires_at)
    count_earnings(d, entry)
    return {"points_earned": d.amount}


def grant(
    d: Decision, subtype: str, points: int, activates_at: datetime | None, expires_at: datetime | None
) -> Entry:
    """Post earned points in a new lot, available or pending."""
    d.must_fit(points, "total_earned")
    if activates_at is None or activates_at <= d.as_of:
        new_lot = d.new_lot(expires_at)
        return d.credit("earn", subtype, points, "total_earned", new_lot, expires_at=expires_at)
    entry = d.post("earn", subtype, points, total="total_earned", pending=points, expires_at=expires_at)
    (lot,) = d.new_lot(expires_at)(entry)
    lot.activates_at, lot.is_pending = activates_at, True
    return entry


def earnings_left(d: Decision) -> int | None:
    """Return the points that `max_earn_per_day` still allows today; None without a maximum."""
    most = d.config.max_earn_per_day
    return None if most is None else max(0, most - d.world.usage[day_meter(d, "earn")][0])


def count_earnings(d: Decision, entry: Entry) -> None:
    if d.config.max_earn_per_day is not None:
        count(d, entry.amount, day_meter(d, "earn"))


def count(d: Decision, points: int, meter: Meter) -> None:
    """Count points, and one time, in a window."""
    used = d.world.usage[meter]
    used[0] += points
    used[1] += 1


def day_meter(d: Decision, what: str) -> Meter:
    """Return the window of what the user may "earn" or "spend" on the day."""
    return (d.command.user_id, what, "day", d.calendar.date_of(d.effective_at))


def spend(d: Decision) -> Data:
    d.refuse_unless(d.amount >= d.config.min_spend_points, "BELOW_MINIMUM")
    most, used = d.config.max_spend_per_day, d.world.usage[day_meter(d, "spend")][0]
    d.refuse_unless(most is None or d.amount <= most - used, "LIMIT_REACHED")
    d.must_have(d.amount)
    d.debit("spend", "purchase", d.amount, "total_spent", "spend")
    if most is not None:
        count(d, d.amount, day_meter(d, "spend"))
    return {}


def expire(d: Decision) -> Data:
    """Expire the available part of the amount and drop the rest."""
    settled = min(d.amount, d.account.figures["balance"])
    ratio = (Decimal(settled) / Decimal(d.amount)).quantize(_RATIO_DIGITS, ROUND_HALF_EVEN).normalize()
    if settled:
        entry = d.post("expire", "manual", settled, total="expired_points", balance=-settled)
        lots = d.account.available()
        for lot, points in _shares(lots, settled, d.fields.get("strategy", "soonest_first")):
            take_as_expired(entry, lot, points)
    return {"requested": d.amount, "settled": settled, "ratio": f"{ratio:f}"}


def _shares(lots: list[Lot], points: int, strategy: str) -> list[tuple[Lot, int]]:
    """Return the points that each lot gives. Pro rata uses the largest remainder method; the order of
    consumption breaks ties."""
    if strategy == "pro_rata":
        whole = sum(lot.remaining for lot in lots)
        shares = [points * lot.remaining // whole for lot in lots]
        rests = [points * lot.remaining % whole for lot in lots]
        largest = sorted(range(len(lots)), key=lambda nth: -rests[nth])
        for nth in largest[: points - sum(shares)]:
            shares[nth] += 1
    else:
        shares, left = [], points
        for lot in lots:
            shares.append(min(left, lot.remaining))
            left -= shares[-1]
    return [(lot, share) for lot, share in zip(lots, shares, strict=True) if share]


def adjust(d: Decision) -> Data:
    """Give or take points for an administrator."""
    if d.amount < 0:
        d.must_have(-d.amount)
        d.debit("adjust", "admin", -d.amount, "total_adjusted_out", "adjust")
        return {}
    d.must_have_room(d.amount)
    d.must_fit(d.amount, "total_adjusted_in")
    expires_at = d.config.expiry.ends(d.effective_at, d.calendar)
    new_lot = d.new_lot(expires_at)
    d.credit("adjust", "admin", d.amount, "total_adjusted_in", new_lot, expires_at=expires_at)
    return {}


def import_opening_balance(d: Decision) -> Data:
    """Import lots of another system, with an entry each. Expired lots are left out, or expire at once."""
    lots = d.fields["lots"]
    expired = [lot for lot in lots if lot.get("expires_at") and lot["expires_at"] <= d.as_of]
    brought = lots if d.fields.get("expired") == "import" else [lot for lot in lots if lot not in expired]
    points = sum(lot["amount"] for lot in brought)
    d.must_fit(points, "total_earned")
    made = []
    for lot in brought:
        earned_at, expires_at = lot.get("earned_at") or d.effective_at, lot.get("expires_at")
        earned_at = min(earned_at, d.effective_at)  # future moments do not count
        new_lot = d.new_lot(expires_at, earned_at)
        entry = d.credit("earn", "import", lot["amount"], "total_earned", new_lot, expires_at=expires_at)
        made += entry.lots
    points_expired = sum(entry.amount for entry in d.clock.expire_due(d.account, made))
    rejected = sum(lot["amount"] for lot in lots) - points
    return {
        "points_earned": points,
        "points_rejected": rejected,
        "points_expired": points_expired,
        "control_sum": points + rejected,
    }


def expire_due(d: Decision) -> Data:
    """Return what expired when the clock advanced for this command."""
    entries = own_entries(d.account, d.command.id, "expire", "scheduled")
    return {"points_expired": sum(entry.amount for entry in entries), "lots_expired": len(entries)}


def activate_due(d: Decision) -> Data:
    entries = own_entries(d.account, d.command.id, "adjust", "activation")
    return {"points_activated": sum(entry.amount for entry in entries), "lots_activated": len(entries)}


def own_entries(account: Account, command: str, type_: str, subtype: str) -> list[Entry]:
    """Return the entries of this kind that the command has written."""
    found = []
    for entry in reversed(account.entries):
        if entry.command != command:
            break
        if (entry.type, entry.subtype) == (type_, subtype):
            found.append(entry)
    return found[::-1]
