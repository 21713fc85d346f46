"""Acceptance cases as scenarios: holds, transfers, refunds, clawbacks, wallets.

The numbers are the specification's.
"""

from collections.abc import Callable

from tests.model.histories import Ref, at
from tests.model.scenarios import Scenario

NOTHING = Ref(-1)


def a_freeze_takes_what_is_available_and_nothing_pending() -> Scenario:
    scenario = Scenario("H1, H3")
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=10)
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=10, activates_at="2026-03-09 00:00:00")
    scenario.do("freeze", "ann", "2026-03-01 11:00:00", "INSUFFICIENT_BALANCE", amount=11)
    scenario.do("freeze", "ann", "2026-03-01 11:00:00", amount=10)
    scenario.do("unfreeze", "ann", "2026-03-01 12:00:00", "INSUFFICIENT_FROZEN", amount=11)
    scenario.ends("ann", balance=0, frozen_balance=10, pending_balance=10)
    return scenario


def a_lot_does_not_expire_while_it_is_held() -> Scenario:
    scenario = Scenario("H2", {"hold_grace_days": 7})
    for user in ("ann", "ben"):
        scenario.do("earn", user, "2026-01-01 10:00:00", amount=10, expires_at="2026-02-01 00:00:00")
    holds = {user: scenario.do("freeze", user, "2026-01-02 10:00:00", amount=10) for user in ("ann", "ben")}
    scenario.do("expire-due", "ann", None, {"points_expired": 0}, as_of="2026-02-02 10:00:00")
    scenario.do(
        "confirm-deduction", "ann", "2026-02-03 10:00:00", {"points_captured": 10}, hold_id=holds["ann"]
    )
    scenario.do("unfreeze", "ben", "2026-02-03 10:00:00", {"points_released": 10}, hold_id=holds["ben"])
    scenario.do("spend", "ben", "2026-02-10 09:59:59", amount=4)
    scenario.do("spend", "ben", "2026-02-10 10:00:00", "INSUFFICIENT_BALANCE", amount=4)
    scenario.ends("ann", total_spent=10, expired_points=0)
    scenario.ends("ben", total_spent=4, expired_points=6)
    return scenario


def a_released_lot_without_grace_expires_at_once() -> Scenario:
    scenario = Scenario("H2", {"hold_grace_days": 0})
    scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=10, expires_at="2026-02-01 00:00:00")
    hold = scenario.do("freeze", "ann", "2026-01-02 10:00:00", amount=10)
    scenario.do("unfreeze", "ann", "2026-02-03 10:00:00", {"points_released": 10}, hold_id=hold)
    scenario.ends("ann", balance=0, frozen_balance=0, expired_points=10)
    return scenario


def a_capture_releases_the_rest() -> Scenario:
    scenario = Scenario("H4")
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=10)
    hold = scenario.do("freeze", "ann", "2026-03-01 11:00:00", amount=10)
    expected = {"points_captured": 4, "points_released": 6}
    scenario.do("confirm-deduction", "ann", "2026-03-01 12:00:00", expected, hold_id=hold, amount=4)
    again = "RELATED_NOT_REVERSIBLE"
    scenario.do("confirm-deduction", "ann", "2026-03-01 13:00:00", again, hold_id=hold, amount=4)
    scenario.ends("ann", balance=6, frozen_balance=0, total_spent=4)
    return scenario


def a_hold_times_out_once() -> Scenario:
    scenario = Scenario("H5")
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=10)
    hold = scenario.do("freeze", "ann", "2026-03-01 11:00:00", amount=10, expires_at="2026-03-02 00:00:00")
    late = "RELATED_NOT_REVERSIBLE"
    scenario.do("confirm-deduction", "ann", "2026-03-02 00:00:00", late, hold_id=hold)
    scenario.do("release-holds-due", "ann", None, {"points_released": 0}, as_of="2026-03-03 00:00:00")
    scenario.ends("ann", balance=10, frozen_balance=0)
    return scenario


def a_suspended_account_gives_back_and_a_closed_one_does_nothing() -> Scenario:
    scenario = Scenario("H6", {"transfer_enabled": True})
    earned = scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=30)
    hold = scenario.do("freeze", "ann", "2026-03-01 11:00:00", amount=10)
    scenario.do("set-status", "ann", "2026-03-01 12:00:00", status="suspended", reason="a doubt")
    for kind in ("earn", "spend", "freeze"):
        scenario.do(kind, "ann", "2026-03-01 13:00:00", "ACCOUNT_SUSPENDED", amount=1)
    scenario.do("transfer", "ann", "2026-03-01 13:00:00", "ACCOUNT_SUSPENDED", to_user_id="ben", amount=1)
    scenario.do("expire", "ann", "2026-03-01 14:00:00", amount=1)
    scenario.do("clawback", "ann", "2026-03-01 14:00:00", {"clawed_back": 2}, related_id=earned, amount=2)
    scenario.do("adjust", "ann", "2026-03-01 14:00:00", amount=3, reason="a gift")
    closed = {"status": "closed", "reason": "requested"}
    scenario.do("set-status", "ann", "2026-03-01 15:00:00", "OPEN_HOLDS", **closed)
    scenario.do("unfreeze", "ann", "2026-03-01 16:00:00", hold_id=hold)
    scenario.do("set-status", "ann", "2026-03-01 17:00:00", {"points_forfeited": 30}, **closed)
    scenario.do("adjust", "ann", "2026-03-01 18:00:00", "ACCOUNT_CLOSED", amount=3, reason="a gift")
    scenario.ends("ann", balance=0, total_adjusted_out=30)
    return scenario


# ------------------------------------------------------------------------------------------ transfers


def each_lot_moves_with_its_expiry() -> Scenario:
    scenario = Scenario("T1, T4, T7", {"transfer_enabled": True})
    for points, month in ((1, 4), (2, 5), (4, 6)):
        scenario.do(
            "earn", "ann", "2026-01-01 10:00:00", amount=points, expires_at=f"2026-0{month}-01 00:00:00"
        )
    scenario.do("open-account", "ben", "2026-01-01 10:00:00")
    scenario.do("transfer", "ann", "2026-01-02 10:00:00", "SELF_TRANSFER", to_user_id="ann", amount=1)
    scenario.do("transfer", "ann", "2026-01-02 10:00:00", to_user_id="ben", amount=7)
    scenario.do(
        "expire-due", "ben", None, {"points_expired": 1, "lots_expired": 1}, as_of="2026-04-01 00:00:00"
    )
    scenario.do("transfer", "ben", "2026-04-02 10:00:00", to_user_id="ann", amount=6)
    scenario.do(
        "expire-due", "ann", None, {"points_expired": 2, "lots_expired": 1}, as_of="2026-05-01 00:00:00"
    )
    scenario.ends("ann", balance=4, total_earned=7, total_spent=0)
    scenario.ends("ben", balance=0, total_earned=0, total_spent=0, expired_points=1)
    return scenario


def a_transfer_is_refused_whole() -> Scenario:
    scenario = Scenario("T6, Q2", {"transfer_enabled": True, "max_balance": 100})
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=100)
    scenario.do("transfer", "ann", "2026-03-01 10:00:00", "RECIPIENT_NOT_FOUND", to_user_id="ben", amount=10)
    scenario.do("earn", "ben", "2026-03-01 10:00:00", amount=95)
    scenario.do("transfer", "ann", "2026-03-01 11:00:00", "MAX_BALANCE", to_user_id="ben", amount=6)
    scenario.do("set-status", "ben", "2026-03-01 12:00:00", status="suspended", reason="a doubt")
    scenario.do("transfer", "ann", "2026-03-01 13:00:00", "RECIPIENT_INACTIVE", to_user_id="ben", amount=1)
    scenario.do("refund", "ann", "2026-03-01 13:00:00", "RELATED_NOT_FOUND", related_id=NOTHING, amount=1)
    scenario.ends("ann", balance=100, total_transferred_out=0)
    return scenario


def tier_points_cannot_be_transferred() -> Scenario:
    scenario = Scenario("T7", {"transfer_enabled": True, "points_type": "tier_points"})
    for user in ("ann", "ben"):
        scenario.do("earn", user, "2026-03-01 10:00:00", amount=10)
    scenario.do("transfer", "ann", "2026-03-01 11:00:00", "FEATURE_DISABLED", to_user_id="ben", amount=1)
    scenario.change("2026-03-02 00:00:00", points_type="expirable")
    scenario.do("transfer", "ann", "2026-03-02 11:00:00", "FEATURE_DISABLED", to_user_id="ben", amount=1)
    return scenario


# -------------------------------------------------------------------------------------------- reversals


def a_refund_gives_back_what_was_spent_and_no_more() -> Scenario:
    scenario = Scenario("R1, R2")
    scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=3, expires_at="2026-03-01 00:00:00")
    scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=4, expires_at="2026-04-01 00:00:00")
    spent = scenario.do("spend", "ann", "2026-01-02 10:00:00", amount=6)
    scenario.do("refund", "ann", "2026-01-03 10:00:00", related_id=spent, amount=4)
    scenario.do("refund", "ann", "2026-01-03 11:00:00", "RELATED_NOT_REVERSIBLE", related_id=spent, amount=3)
    scenario.do("expire-due", "ann", None, {"points_expired": 1}, as_of="2026-03-01 00:00:00")
    scenario.do("expire-due", "ann", None, {"points_expired": 4}, as_of="2026-04-01 00:00:00")
    return scenario


def refunded_points_of_an_expired_lot_get_the_grace() -> Scenario:
    scenario = Scenario("R3", {"refund_grace_days": 30})
    scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=10, expires_at="2026-02-01 00:00:00")
    spent = scenario.do("spend", "ann", "2026-01-02 10:00:00", amount=10)
    scenario.do("refund", "ann", "2026-02-02 10:00:00", related_id=spent, amount=10)
    scenario.do("spend", "ann", "2026-03-04 09:59:59", amount=1)
    scenario.do("spend", "ann", "2026-03-04 10:00:00", "INSUFFICIENT_BALANCE", amount=1)
    return scenario


def without_grace_it_expires_at_once() -> Scenario:
    scenario = Scenario("R3", {"refund_grace_days": 0})
    scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=10, expires_at="2026-02-01 00:00:00")
    spent = scenario.do("spend", "ann", "2026-01-02 10:00:00", amount=10)
    scenario.do("refund", "ann", "2026-02-02 10:00:00", related_id=spent, amount=10)
    scenario.ends("ann", balance=0, total_refunded=10, expired_points=10)
    return scenario


def only_ones_own_spends_are_refunded() -> Scenario:
    scenario = Scenario("R4", {"transfer_enabled": True})
    earned = scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=20)
    scenario.do("open-account", "ben", "2026-03-01 10:00:00")
    spent = scenario.do("spend", "ann", "2026-03-01 11:00:00", amount=5)
    given = scenario.do("transfer", "ann", "2026-03-01 11:00:00", to_user_id="ben", amount=5)
    back = scenario.do("refund", "ann", "2026-03-01 12:00:00", related_id=spent, amount=5)
    for user, related in (("ann", earned), ("ann", given), ("ann", back), ("ben", spent)):
        reason = "RELATED_NOT_REVERSIBLE"
        scenario.do("refund", user, "2026-03-01 13:00:00", reason, related_id=related, amount=1)
    return scenario


def a_clawback_of_pending_points_adds_no_debt() -> Scenario:
    scenario = Scenario("R6")
    earned = scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=10, activates_at="2026-03-09 00:00:00")
    expected = {"clawed_back": 10, "debt_added": 0}
    scenario.do("clawback", "ann", "2026-03-02 10:00:00", expected, related_id=earned, policy="only_pending")
    scenario.ends("ann", pending_balance=0, debt=0, total_clawed_back=10)
    return scenario


def a_clawback_takes_what_its_policy_allows() -> Scenario:
    scenario = Scenario("R7")
    for user, policy, taken, debt in (
        ("ann", "only_pending", 0, 0),
        ("ben", "within_balance", 20, 0),
        ("cem", "arrears", 100, 80),
    ):
        earned = scenario.do("earn", user, "2026-03-01 10:00:00", amount=100)
        scenario.do("spend", user, "2026-03-01 11:00:00", amount=80)
        expected = {"clawed_back": taken, "debt_added": debt}
        scenario.do("clawback", user, "2026-03-01 12:00:00", expected, related_id=earned, policy=policy)
    scenario.do("earn", "cem", "2026-03-02 10:00:00", amount=100)
    scenario.ends("cem", balance=20, debt=0, total_earned=200)
    return scenario


def points_given_away_become_debt_of_the_user_who_earned_them() -> Scenario:
    scenario = Scenario("R10, R12", {"transfer_enabled": True})
    earned = scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=10)
    gone = scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=5, expires_at="2026-02-01 00:00:00")
    scenario.do("expire-due", "ann", None, {"points_expired": 5}, as_of="2026-02-01 00:00:00")
    scenario.do("open-account", "ben", "2026-02-01 10:00:00")
    scenario.do("transfer", "ann", "2026-02-02 10:00:00", to_user_id="ben", amount=10)
    expected = {"clawed_back": 10, "debt_added": 10}
    scenario.do("clawback", "ann", "2026-02-03 10:00:00", expected, related_id=earned, policy="arrears")
    expected = {"clawed_back": 0, "debt_added": 0}
    scenario.do("clawback", "ann", "2026-02-03 10:00:00", expected, related_id=gone, policy="arrears")
    scenario.ends("ben", balance=10, debt=0)
    return scenario


def points_with_grace_are_clawed_back_like_others() -> Scenario:
    scenario = Scenario("R7, H2", {"hold_grace_days": 30})
    earned = scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=10, expires_at="2026-02-01 00:00:00")
    hold = scenario.do("freeze", "ann", "2026-01-02 10:00:00", amount=10)
    scenario.do("earn", "ann", "2026-01-03 10:00:00", amount=5, expires_at="2026-02-10 00:00:00")
    scenario.do("unfreeze", "ann", "2026-02-02 10:00:00", hold_id=hold)
    scenario.do("clawback", "ann", "2026-02-03 10:00:00", {"clawed_back": 10}, related_id=earned)
    scenario.do("expire-due", "ann", None, {"points_expired": 0}, as_of="2026-02-10 00:00:00")
    scenario.ends("ann", balance=5, total_clawed_back=10)
    return scenario


def an_opening_balance_adds_up() -> Scenario:
    scenario = Scenario("Q7, Q10")
    lots = [{"amount": 5, "expires_at": at("2026-02-01 00:00:00")}, {"amount": 7}]
    expected = {"points_earned": 7, "points_rejected": 5, "control_sum": 12}
    scenario.do("import-opening-balance", "ann", "2026-03-01 10:00:00", expected, lots=lots, control_sum=12)
    expected = {"points_earned": 12, "points_expired": 5, "control_sum": 12}
    scenario.do("import-opening-balance", "ben", "2026-03-01 10:00:00", expected, lots=lots, expired="import")
    scenario.do("adjust", "ann", "2026-03-01 11:00:00", "INSUFFICIENT_BALANCE", amount=-8, reason="an error")
    scenario.ends("ann", balance=7)
    scenario.ends("ben", balance=7, expired_points=5)
    return scenario


def money_is_exact() -> Scenario:
    scenario = Scenario("W1, W2")
    for amount in ("100.00", "0.10"):
        scenario.do("wallet-adjust", "ann", None, type="deposit", amount=amount, reason="a gift")
    scenario.do(
        "wallet-adjust", "ann", None, "AMOUNT_INVALID", type="deposit", amount="1.001", reason="a gift"
    )
    withdraw = {"type": "withdraw", "reason": "requested"}
    scenario.do("wallet-adjust", "ann", None, "INSUFFICIENT_BALANCE", amount="100.11", **withdraw)
    scenario.do("wallet-adjust", "ben", None, "WALLET_NOT_FOUND", amount="1", **withdraw)
    scenario.do("wallet-adjust", "ann", None, amount="100.10", **withdraw)
    return scenario


MOVEMENTS: tuple[Callable[[], Scenario], ...] = (
    a_freeze_takes_what_is_available_and_nothing_pending,
    a_lot_does_not_expire_while_it_is_held,
    a_released_lot_without_grace_expires_at_once,
    a_capture_releases_the_rest,
    a_hold_times_out_once,
    a_suspended_account_gives_back_and_a_closed_one_does_nothing,
    each_lot_moves_with_its_expiry,
    a_transfer_is_refused_whole,
    tier_points_cannot_be_transferred,
    a_refund_gives_back_what_was_spent_and_no_more,
    refunded_points_of_an_expired_lot_get_the_grace,
    without_grace_it_expires_at_once,
    only_ones_own_spends_are_refunded,
    a_clawback_of_pending_points_adds_no_debt,
    a_clawback_takes_what_its_policy_allows,
    points_given_away_become_debt_of_the_user_who_earned_them,
    points_with_grace_are_clawed_back_like_others,
    an_opening_balance_adds_up,
    money_is_exact,
)
