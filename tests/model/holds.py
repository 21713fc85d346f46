"""Holds: reserves, captures and releases points."""

from tests.model.accounts import Hold
from tests.model.deciding import Data, Decision, Refused
from tests.model.points import own_entries


def freeze(d: Decision) -> Data:
    """Open a hold on available points, in the order of consumption."""
    d.must_have(d.amount)
    expires_at = d.fields.get("expires_at")
    entry = d.post("freeze", "hold", d.amount, balance=-d.amount, frozen=d.amount, expires_at=expires_at)
    parts, left = [], d.amount
    for lot in d.account.available():
        points = min(left, lot.remaining)
        if points:
            lot.remaining -= points
            lot.frozen += points
            left -= points
            parts.append([lot, points, points])
    d.account.holds.append(Hold(entry.id, entry.seq, d.amount, d.as_of, expires_at, parts))
    return {}


def _named(d: Decision) -> Hold:
    """Return the open hold of this account that the command names."""
    entry = d.world.entry(d.fields["hold_id"])
    hold = next((hold for hold in d.account.holds if entry and hold.id == entry.id), None)
    if hold is None:
        raise Refused("RELATED_NOT_FOUND")
    d.refuse_unless(hold.state == "open", "RELATED_NOT_REVERSIBLE")
    return hold


def confirm_deduction(d: Decision) -> Data:
    """Spend held points, the earliest expiry first, and release the rest."""
    hold = _named(d)
    points = d.fields.get("amount") or hold.frozen
    d.refuse_unless(points <= hold.frozen, "INSUFFICIENT_FROZEN")
    entry = d.post("spend", "capture", points, total="total_spent", frozen=-points, related=hold.id)
    left = points
    for part in sorted(hold.parts, key=lambda part: part[0].order):
        lot, _, frozen = part
        taken = min(left, frozen)
        if taken:
            part[2] -= taken
            lot.frozen -= taken
            lot.end = "consumed"
            left -= taken
            entry.moves.append((lot, "spend", taken))
    hold.captured += points
    rest = hold.frozen
    if rest:
        _release(d, hold, rest)
        _expire_released(d, [hold])
    hold.state = "captured"
    return {"points_captured": points, "points_released": rest}


def unfreeze(d: Decision) -> Data:
    """Release a hold or a part of it; without an id, release points of the oldest holds."""
    if d.fields.get("hold_id"):
        hold = _named(d)
        points = d.fields.get("amount") or hold.frozen
        d.refuse_unless(points <= hold.frozen, "INSUFFICIENT_FROZEN")
        _release(d, hold, points)
        _expire_released(d, [hold])
        return {"points_released": points}
    d.refuse_unless(d.amount <= d.account.figures["frozen_balance"], "INSUFFICIENT_FROZEN")
    left, released = d.amount, []
    for hold in d.account.holds:
        points = min(left, hold.frozen) if hold.state == "open" else 0
        if points:
            left -= points
            _release(d, hold, points)
            released.append(hold)
    _expire_released(d, released)
    return {"points_released": d.amount}


def _release(d: Decision, hold: Hold, points: int) -> None:
    d.clock.release(d.account, hold, points, d.as_of, d.effective_at, "release")
    if not hold.frozen:
        hold.state = "released"


def _expire_released(d: Decision, holds: list[Hold]) -> None:
    """Expire released points at once if their lot has expired and there is no grace."""
    lots = {id(part[0]): part[0] for hold in holds for part in hold.parts}
    d.clock.expire_due(d.account, lots.values())


def release_holds_due(d: Decision) -> Data:
    entries = own_entries(d.account, d.command.id, "unfreeze", "timeout")
    return {"points_released": sum(entry.amount for entry in entries)}
