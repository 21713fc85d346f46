"""Transfers points from user to user: both legs, lot by lot, in one step."""

from tests.model.accounts import Account, Entry, Lot
from tests.model.deciding import Data, Decision, Refused


def guard(d: Decision, account: Account | None) -> None:
    """Refuse transfers of tier points, and transfers to oneself."""
    points_type = account.points_type if account else d.config.points_type
    d.refuse_unless(points_type != "tier_points", "FEATURE_DISABLED")
    d.refuse_unless(d.fields["to_user_id"] != d.command.user_id, "SELF_TRANSFER")


def recipient_of(d: Decision) -> Account:
    """Return the account that receives the points."""
    recipient = d.world.accounts.get(d.fields["to_user_id"])
    if recipient is None:
        raise Refused("RECIPIENT_NOT_FOUND")
    d.refuse_unless(recipient.status == "active", "RECIPIENT_INACTIVE")
    return recipient


def transfer(d: Decision) -> Data:
    """Move points lot by lot, each with its expiry, age and origin.

    The recipient's account changes only if the whole transfer succeeds.
    """
    recipient = recipient_of(d)
    trial = recipient if not _is_due(d, recipient) else recipient.copied()
    if trial is not recipient:
        d.clock.advance(trial, d.effective_at)
    d.must_have_room(d.amount, trial)
    d.must_have(d.amount)
    d.must_fit(d.amount, "total_transferred_in", trial)
    d.clock.advance(recipient, d.effective_at)
    _move(d, recipient)
    return {}


def _is_due(d: Decision, account: Account) -> bool:
    """Whether the account may have something due."""
    moment = max(account.as_of, d.effective_at)
    moments = [hold.expires_at for hold in account.holds if hold.state == "open"]
    for lot in account.lots:
        if lot.remaining:
            moments += [lot.activates_at if lot.is_pending else lot.expires_at]
    return any(each is not None and each <= moment for each in moments)


def _move(d: Decision, recipient: Account) -> None:
    out = d.debit("spend", "transfer_out", d.amount, "total_transferred_out", "transfer")
    owed = min(recipient.figures["debt"], d.amount)
    into = recipient.post(
        "earn",
        "transfer_in",
        d.amount,
        at=d.effective_at,
        command=d.command.id,
        total="total_transferred_in",
        balance=d.amount - owed,
        debt=-owed,
        related=out.id,
    )
    out.related = into.id
    recipient.repay(into, owed, [_moved(recipient, into, lot, points) for lot, _, points in out.moves])


def _moved(recipient: Account, into: Entry, lot: Lot, points: int) -> Lot:
    return recipient.bring(
        into, points, origin=lot.origin, earned_at=lot.earned_at, expires_at=lot.expires_at
    )
