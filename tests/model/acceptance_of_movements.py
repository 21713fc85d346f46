"""Acceptance cases as tales: holds, transfers, refunds, clawbacks, wallets. The specification gives each
number."""

from collections.abc import Callable

from tests.model.histories import Ref, at
from tests.model.tales import Tale

NOTHING = Ref(-1)


def a_freeze_takes_what_is_available_and_nothing_pending() -> Tale:
    tale = Tale("H1, H3")
    tale.do("earn", "ann", "2026-03-01 10:00:00", amount=10)
    tale.do("earn", "ann", "2026-03-01 10:00:00", amount=10, activates_at="2026-03-09 00:00:00")
    tale.do("freeze", "ann", "2026-03-01 11:00:00", "INSUFFICIENT_BALANCE", amount=11)
    tale.do("freeze", "ann", "2026-03-01 11:00:00", amount=10)
    tale.do("unfreeze", "ann", "2026-03-01 12:00:00", "INSUFFICIENT_FROZEN", amount=11)
    tale.ends("ann", balance=0, frozen_balance=10, pending_balance=10)
    return tale


def a_lot_does_not_expire_while_it_is_held() -> Tale:
    tale = Tale("H2", {"hold_grace_days": 7})
    for user in ("ann", "ben"):
        tale.do("earn", user, "2026-01-01 10:00:00", amount=10, expires_at="2026-02-01 00:00:00")
    holds = {user: tale.do("freeze", user, "2026-01-02 10:00:00", amount=10) for user in ("ann", "ben")}
    tale.do("expire-due", "ann", None, {"points_expired": 0}, as_of="2026-02-02 10:00:00")
    tale.do("confirm-deduction", "ann", "2026-02-03 10:00:00", {"points_captured": 10}, hold_id=holds["ann"])
    tale.do("unfreeze", "ben", "2026-02-03 10:00:00", {"points_released": 10}, hold_id=holds["ben"])
    tale.do("spend", "ben", "2026-02-10 09:59:59", amount=4)
    tale.do("spend", "ben", "2026-02-10 10:00:00", "INSUFFICIENT_BALANCE", amount=4)
    tale.ends("ann", total_spent=10, expired_points=0)
    tale.ends("ben", total_spent=4, expired_points=6)
    return tale


def released_without_grace_it_expires_at_once() -> Tale:
    tale = Tale("H2", {"hold_grace_days": 0})
    tale.do("earn", "ann", "2026-01-01 10:00:00", amount=10, expires_at="2026-02-01 00:00:00")
    hold = tale.do("freeze", "ann", "2026-01-02 10:00:00", amount=10)
    tale.do("unfreeze", "ann", "2026-02-03 10:00:00", {"points_released": 10}, hold_id=hold)
    tale.ends("ann", balance=0, frozen_balance=0, expired_points=10)
    return tale


def what_is_not_captured_is_released() -> Tale:
    tale = Tale("H4")
    tale.do("earn", "ann", "2026-03-01 10:00:00", amount=10)
    hold = tale.do("freeze", "ann", "2026-03-01 11:00:00", amount=10)
    expected = {"points_captured": 4, "points_released": 6}
    tale.do("confirm-deduction", "ann", "2026-03-01 12:00:00", expected, hold_id=hold, amount=4)
    again = "RELATED_NOT_REVERSIBLE"
    tale.do("confirm-deduction", "ann", "2026-03-01 13:00:00", again, hold_id=hold, amount=4)
    tale.ends("ann", balance=6, frozen_balance=0, total_spent=4)
    return tale


def a_hold_times_out_once() -> Tale:
    tale = Tale("H5")
    tale.do("earn", "ann", "2026-03-01 10:00:00", amount=10)
    hold = tale.do("freeze", "ann", "2026-03-01 11:00:00", amount=10, expires_at="2026-03-02 00:00:00")
    late = "RELATED_NOT_REVERSIBLE"
    tale.do("confirm-deduction", "ann", "2026-03-02 00:00:00", late, hold_id=hold)
    tale.do("release-holds-due", "ann", None, {"points_released": 0}, as_of="2026-03-03 00:00:00")
    tale.ends("ann", balance=10, frozen_balance=0)
    return tale


def a_suspended_account_gives_back_and_a_closed_one_does_nothing() -> Tale:
    tale = Tale("H6", {"transfer_enabled": True})
    earned = tale.do("earn", "ann", "2026-03-01 10:00:00", amount=30)
    hold = tale.do("freeze", "ann", "2026-03-01 11:00:00", amount=10)
    tale.do("set-status", "ann", "2026-03-01 12:00:00", status="suspended", reason="a doubt")
    for kind in ("earn", "spend", "freeze"):
        tale.do(kind, "ann", "2026-03-01 13:00:00", "ACCOUNT_SUSPENDED", amount=1)
    tale.do("transfer", "ann", "2026-03-01 13:00:00", "ACCOUNT_SUSPENDED", to_user_id="ben", amount=1)
    tale.do("expire", "ann", "2026-03-01 14:00:00", amount=1)
    tale.do("clawback", "ann", "2026-03-01 14:00:00", {"clawed_back": 2}, related_id=earned, amount=2)
    tale.do("adjust", "ann", "2026-03-01 14:00:00", amount=3, reason="a gift")
    closed = {"status": "closed", "reason": "asked for"}
    tale.do("set-status", "ann", "2026-03-01 15:00:00", "OPEN_HOLDS", **closed)
    tale.do("unfreeze", "ann", "2026-03-01 16:00:00", hold_id=hold)
    tale.do("set-status", "ann", "2026-03-01 17:00:00", {"points_forfeited": 30}, **closed)
    tale.do("adjust", "ann", "2026-03-01 18:00:00", "ACCOUNT_CLOSED", amount=3, reason="a gift")
    tale.ends("ann", balance=0, total_adjusted_out=30)
    return tale


# ------------------------------------------------------------------------------------------ transfers


def each_lot_moves_with_its_expiry() -> Tale:
    tale = Tale("T1, T4, T7", {"transfer_enabled": True})
    for points, month in ((1, 4), (2, 5), (4, 6)):
        tale.do("earn", "ann", "2026-01-01 10:00:00", amount=points, expires_at=f"2026-0{month}-01 00:00:00")
    tale.do("open-account", "ben", "2026-01-01 10:00:00")
    tale.do("transfer", "ann", "2026-01-02 10:00:00", "SELF_TRANSFER", to_user_id="ann", amount=1)
    tale.do("transfer", "ann", "2026-01-02 10:00:00", to_user_id="ben", amount=7)
    tale.do("expire-due", "ben", None, {"points_expired": 1, "lots_expired": 1}, as_of="2026-04-01 00:00:00")
    tale.do("transfer", "ben", "2026-04-02 10:00:00", to_user_id="ann", amount=6)
    tale.do("expire-due", "ann", None, {"points_expired": 2, "lots_expired": 1}, as_of="2026-05-01 00:00:00")
    tale.ends("ann", balance=4, total_earned=7, total_spent=0)
    tale.ends("ben", balance=0, total_earned=0, total_spent=0, expired_points=1)
    return tale


def a_transfer_is_refused_whole() -> Tale:
    tale = Tale("T6, Q2", {"transfer_enabled": True, "max_balance": 100})
    tale.do("earn", "ann", "2026-03-01 10:00:00", amount=100)
    tale.do("transfer", "ann", "2026-03-01 10:00:00", "RECIPIENT_NOT_FOUND", to_user_id="ben", amount=10)
    tale.do("earn", "ben", "2026-03-01 10:00:00", amount=95)
    tale.do("transfer", "ann", "2026-03-01 11:00:00", "MAX_BALANCE", to_user_id="ben", amount=6)
    tale.do("set-status", "ben", "2026-03-01 12:00:00", status="suspended", reason="a doubt")
    tale.do("transfer", "ann", "2026-03-01 13:00:00", "RECIPIENT_INACTIVE", to_user_id="ben", amount=1)
    tale.do("refund", "ann", "2026-03-01 13:00:00", "RELATED_NOT_FOUND", related_id=NOTHING, amount=1)
    tale.ends("ann", balance=100, total_transferred_out=0)
    return tale


def points_of_a_tier_are_nobody_elses() -> Tale:
    tale = Tale("T7", {"transfer_enabled": True, "points_type": "tier_points"})
    for user in ("ann", "ben"):
        tale.do("earn", user, "2026-03-01 10:00:00", amount=10)
    tale.do("transfer", "ann", "2026-03-01 11:00:00", "FEATURE_DISABLED", to_user_id="ben", amount=1)
    tale.change("2026-03-02 00:00:00", points_type="expirable")
    tale.do("transfer", "ann", "2026-03-02 11:00:00", "FEATURE_DISABLED", to_user_id="ben", amount=1)
    return tale


# ---------------------------------------------------------------------------------------- what is undone


def a_refund_gives_back_what_was_spent_and_no_more() -> Tale:
    tale = Tale("R1, R2")
    tale.do("earn", "ann", "2026-01-01 10:00:00", amount=3, expires_at="2026-03-01 00:00:00")
    tale.do("earn", "ann", "2026-01-01 10:00:00", amount=4, expires_at="2026-04-01 00:00:00")
    spent = tale.do("spend", "ann", "2026-01-02 10:00:00", amount=6)
    tale.do("refund", "ann", "2026-01-03 10:00:00", related_id=spent, amount=4)
    tale.do("refund", "ann", "2026-01-03 11:00:00", "RELATED_NOT_REVERSIBLE", related_id=spent, amount=3)
    tale.do("expire-due", "ann", None, {"points_expired": 1}, as_of="2026-03-01 00:00:00")
    tale.do("expire-due", "ann", None, {"points_expired": 4}, as_of="2026-04-01 00:00:00")
    return tale


def what_has_expired_comes_back_for_the_grace() -> Tale:
    tale = Tale("R3", {"refund_grace_days": 30})
    tale.do("earn", "ann", "2026-01-01 10:00:00", amount=10, expires_at="2026-02-01 00:00:00")
    spent = tale.do("spend", "ann", "2026-01-02 10:00:00", amount=10)
    tale.do("refund", "ann", "2026-02-02 10:00:00", related_id=spent, amount=10)
    tale.do("spend", "ann", "2026-03-04 09:59:59", amount=1)
    tale.do("spend", "ann", "2026-03-04 10:00:00", "INSUFFICIENT_BALANCE", amount=1)
    return tale


def without_grace_it_expires_at_once() -> Tale:
    tale = Tale("R3", {"refund_grace_days": 0})
    tale.do("earn", "ann", "2026-01-01 10:00:00", amount=10, expires_at="2026-02-01 00:00:00")
    spent = tale.do("spend", "ann", "2026-01-02 10:00:00", amount=10)
    tale.do("refund", "ann", "2026-02-02 10:00:00", related_id=spent, amount=10)
    tale.ends("ann", balance=0, total_refunded=10, expired_points=10)
    return tale


def what_is_no_spend_of_ones_own_is_not_refunded() -> Tale:
    tale = Tale("R4", {"transfer_enabled": True})
    earned = tale.do("earn", "ann", "2026-03-01 10:00:00", amount=20)
    tale.do("open-account", "ben", "2026-03-01 10:00:00")
    spent = tale.do("spend", "ann", "2026-03-01 11:00:00", amount=5)
    given = tale.do("transfer", "ann", "2026-03-01 11:00:00", to_user_id="ben", amount=5)
    back = tale.do("refund", "ann", "2026-03-01 12:00:00", related_id=spent, amount=5)
    for user, related in (("ann", earned), ("ann", given), ("ann", back), ("ben", spent)):
        wrong = "RELATED_NOT_REVERSIBLE"
        tale.do("refund", user, "2026-03-01 13:00:00", wrong, related_id=related, amount=1)
    return tale


def a_clawback_of_what_is_pending_owes_nothing() -> Tale:
    tale = Tale("R6")
    earned = tale.do("earn", "ann", "2026-03-01 10:00:00", amount=10, activates_at="2026-03-09 00:00:00")
    expected = {"clawed_back": 10, "debt_added": 0}
    tale.do("clawback", "ann", "2026-03-02 10:00:00", expected, related_id=earned, policy="only_pending")
    tale.ends("ann", pending_balance=0, debt=0, total_clawed_back=10)
    return tale


def a_clawback_takes_what_its_policy_allows() -> Tale:
    tale = Tale("R7")
    for user, policy, taken, debt in (
        ("ann", "only_pending", 0, 0),
        ("ben", "within_balance", 20, 0),
        ("cem", "arrears", 100, 80),
    ):
        earned = tale.do("earn", user, "2026-03-01 10:00:00", amount=100)
        tale.do("spend", user, "2026-03-01 11:00:00", amount=80)
        expected = {"clawed_back": taken, "debt_added": debt}
        tale.do("clawback", user, "2026-03-01 12:00:00", expected, related_id=earned, policy=policy)
    tale.do("earn", "cem", "2026-03-02 10:00:00", amount=100)
    tale.ends("cem", balance=20, debt=0, total_earned=200)
    return tale


def what_was_given_away_is_owed_by_who_earned_it() -> Tale:
    tale = Tale("R10, R12", {"transfer_enabled": True})
    earned = tale.do("earn", "ann", "2026-01-01 10:00:00", amount=10)
    gone = tale.do("earn", "ann", "2026-01-01 10:00:00", amount=5, expires_at="2026-02-01 00:00:00")
    tale.do("expire-due", "ann", None, {"points_expired": 5}, as_of="2026-02-01 00:00:00")
    tale.do("open-account", "ben", "2026-02-01 10:00:00")
    tale.do("transfer", "ann", "2026-02-02 10:00:00", to_user_id="ben", amount=10)
    expected = {"clawed_back": 10, "debt_added": 10}
    tale.do("clawback", "ann", "2026-02-03 10:00:00", expected, related_id=earned, policy="arrears")
    expected = {"clawed_back": 0, "debt_added": 0}
    tale.do("clawback", "ann", "2026-02-03 10:00:00", expected, related_id=gone, policy="arrears")
    tale.ends("ben", balance=10, debt=0)
    return tale


def points_that_live_on_by_grace_are_taken_back_like_others() -> Tale:
    tale = Tale("R7, H2", {"hold_grace_days": 30})
    earned = tale.do("earn", "ann", "2026-01-01 10:00:00", amount=10, expires_at="2026-02-01 00:00:00")
    hold = tale.do("freeze", "ann", "2026-01-02 10:00:00", amount=10)
    tale.do("earn", "ann", "2026-01-03 10:00:00", amount=5, expires_at="2026-02-10 00:00:00")
    tale.do("unfreeze", "ann", "2026-02-02 10:00:00", hold_id=hold)
    tale.do("clawback", "ann", "2026-02-03 10:00:00", {"clawed_back": 10}, related_id=earned)
    tale.do("expire-due", "ann", None, {"points_expired": 0}, as_of="2026-02-10 00:00:00")
    tale.ends("ann", balance=5, total_clawed_back=10)
    return tale


def an_opening_balance_adds_up() -> Tale:
    tale = Tale("Q7, Q10")
    lots = [{"amount": 5, "expires_at": at("2026-02-01 00:00:00")}, {"amount": 7}]
    expected = {"points_earned": 7, "points_rejected": 5, "control_sum": 12}
    tale.do("import-opening-balance", "ann", "2026-03-01 10:00:00", expected, lots=lots, control_sum=12)
    expected = {"points_earned": 12, "points_expired": 5, "control_sum": 12}
    tale.do("import-opening-balance", "ben", "2026-03-01 10:00:00", expected, lots=lots, expired="import")
    tale.do("adjust", "ann", "2026-03-01 11:00:00", "INSUFFICIENT_BALANCE", amount=-8, reason="an error")
    tale.ends("ann", balance=7)
    tale.ends("ben", balance=7, expired_points=5)
    return tale


def money_is_exact() -> Tale:
    tale = Tale("W1, W2")
    for amount in ("100.00", "0.10"):
        tale.do("wallet-adjust", "ann", None, type="deposit", amount=amount, reason="a gift")
    tale.do("wallet-adjust", "ann", None, "AMOUNT_INVALID", type="deposit", amount="1.001", reason="a gift")
    withdraw = {"type": "withdraw", "reason": "asked for"}
    tale.do("wallet-adjust", "ann", None, "INSUFFICIENT_BALANCE", amount="100.11", **withdraw)
    tale.do("wallet-adjust", "ben", None, "WALLET_NOT_FOUND", amount="1", **withdraw)
    tale.do("wallet-adjust", "ann", None, amount="100.10", **withdraw)
    return tale


MOVEMENTS: tuple[Callable[[], Tale], ...] = (
    a_freeze_takes_what_is_available_and_nothing_pending,
    a_lot_does_not_expire_while_it_is_held,
    released_without_grace_it_expires_at_once,
    what_is_not_captured_is_released,
    a_hold_times_out_once,
    a_suspended_account_gives_back_and_a_closed_one_does_nothing,
    each_lot_moves_with_its_expiry,
    a_transfer_is_refused_whole,
    points_of_a_tier_are_nobody_elses,
    a_refund_gives_back_what_was_spent_and_no_more,
    what_has_expired_comes_back_for_the_grace,
    without_grace_it_expires_at_once,
    what_is_no_spend_of_ones_own_is_not_refunded,
    a_clawback_of_what_is_pending_owes_nothing,
    a_clawback_takes_what_its_policy_allows,
    what_was_given_away_is_owed_by_who_earned_it,
    points_that_live_on_by_grace_are_taken_back_like_others,
    an_opening_balance_adds_up,
    money_is_exact,
)
