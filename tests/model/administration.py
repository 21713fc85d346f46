"""What administrators do to accounts: status, erasure, and when points expire."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.model.accounts import Lot
from tests.model.deciding import Data, Decision, Refused
from tests.model.programs import Config

if TYPE_CHECKING:
    from tests.model.model import World


def give_notice(world: "World", was: Config | None, saved_at: datetime) -> None:
    """Start a notice period if expiry is switched on again; its end never gets earlier."""
    config = world.config
    bounds = [config.expires_not_before]
    if was is not None:
        bounds.append(was.expires_not_before)
        if config.expire_enabled and not was.expire_enabled:
            bounds.append(_notice_ends(world, saved_at))
    found = [bound for bound in bounds if bound is not None]
    world.config = replace(config, expires_not_before=max(found) if found else None)


def _notice_ends(world: "World", moment: datetime) -> datetime:
    """Return the midnight that ends the notice period."""
    day = world.calendar.date_of(moment) + timedelta(days=world.config.expiry_notice_days)
    return world.calendar.begin(day)


def set_status(d: Decision) -> Data:
    before, status = d.account.status, d.fields["status"]
    forfeited = 0
    if status == "closed":
        d.refuse_unless(d.account.figures["frozen_balance"] == 0, "OPEN_HOLDS")
        forfeited = _forfeit(d)
    d.account.status = status
    return {"status_before": before, "points_forfeited": forfeited}


def _forfeit(d: Decision) -> int:
    """Forfeit available points, then pending ones, with one entry each."""
    available, pending = d.account.figures["balance"], d.account.figures["pending_balance"]
    if available:
        d.debit("adjust", "forfeit", available, "total_adjusted_out", "adjust")
    if pending:
        entry = d.post("adjust", "forfeit", pending, total="total_adjusted_out", pending=-pending)
        for lot in sorted(d.account.lots, key=lambda lot: lot.order):
            if lot.is_pending and lot.remaining:
                entry.moves.append((lot, "adjust", lot.remaining))
                lot.take(lot.remaining, "cancelled")
    return available + pending


def erase_user(d: Decision) -> Data:
    """Replace the user by a pseudonym and forfeit the points that are left."""
    wallet = d.world.wallets.get(d.command.user_id)
    d.refuse_unless(d.account.figures["frozen_balance"] == 0, "OPEN_HOLDS")
    d.refuse_unless(wallet is None or wallet.balance == 0, "OPEN_HOLDS")
    forfeited = _forfeit(d) if d.account.is_open else 0
    d.account.status = "erased"
    return {"points_forfeited": forfeited}


# ---------------------------------------------------------------------------------------------- expiry


def set_expiry_exemption(d: Decision) -> Data:
    """Exempt the account from expiry, or end the exemption after a notice period."""
    exempt = d.fields["exempt"]
    if exempt:
        d.account.expires_not_before = None
    elif d.account.exempt:
        d.account.expires_not_before = _notice_ends(d.world, d.effective_at)
    d.account.exempt = exempt
    return {"expiry_exempt": exempt, "expires_not_before": d.account.expires_not_before}


def extend_expiry(d: Decision) -> Data:
    """Extend the expiry of lots; none gets shorter."""
    moved, unchanged, points = [], 0, 0
    for lot in _extended(d):
        was, ends = lot.expires_at, _extended_to(d, lot)
        if was is None or (ends is not None and ends <= was):
            unchanged += 1
            continue
        moved.append({"expires_at_before": was, "expires_at": ends})
        points += lot.remaining + lot.frozen
        lot.expires_at = ends
        lot.changes += 1
    return {"lots_moved": len(moved), "points_moved": points, "lots_unchanged": unchanged, "lots": moved}


def _extended(d: Decision) -> list[Lot]:
    """Return the lots that the command names and that have points left."""
    with_points = sorted(
        (lot for lot in d.account.lots if lot.remaining or lot.frozen), key=lambda lot: lot.order
    )
    if not d.fields.get("lots"):
        before = d.fields["expiring_before"]
        return [lot for lot in with_points if lot.expires_at and lot.expires_at < before]
    named: list[Lot] = []
    for given in d.fields["lots"]:
        lot, entry = d.world.lot(given), d.world.entry(given)
        found = [each for each in with_points if each is lot or (entry and each.entry is entry)]
        if not found:
            raise Refused("RELATED_NOT_FOUND")
        named += found
    return [lot for lot in with_points if lot in named]


def _extended_to(d: Decision, lot: Lot) -> datetime | None:
    if d.fields.get("never") or lot.expires_at is None:
        return None
    if d.fields.get("expires_at"):
        return d.fields["expires_at"]  # type: ignore[no-any-return]
    if d.fields.get("days"):
        return d.calendar.plus_days(lot.expires_at, d.fields["days"])
    return d.calendar.plus_months(lot.expires_at, d.fields["months"])


def apply_expiry_policy(d: Decision) -> Data:
    """Change the expiry of lots by a changed policy, unless it was changed meanwhile."""
    moved, unchanged, points = [], 0, 0
    for change in d.fields["lots"]:
        lot, ends = d.world.lot(change["lot_id"]), change.get("expires_at")
        if lot is None or not _may_move(d, lot, change["changes"]) or lot.expires_at == ends:
            unchanged += 1
            continue
        moved.append({"expires_at_before": lot.expires_at, "expires_at": ends})
        points += lot.remaining + lot.frozen
        lot.expires_at = ends
        lot.changes += 1
    return {"lots_moved": len(moved), "points_moved": points, "lots_unchanged": unchanged, "lots": moved}


def _may_move(d: Decision, lot: Lot, changes: int) -> bool:
    """Whether the lot is the user's, has points left, and has exactly so many changes."""
    is_own = lot.entry.user == d.command.user_id
    return is_own and bool(lot.remaining or lot.frozen) and lot.changes == changes
