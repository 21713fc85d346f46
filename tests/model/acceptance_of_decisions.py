"""What was decided where the specification is silent, as tales."""

from collections.abc import Callable

from tests.model.accounts import LARGEST_FIGURE
from tests.model.tales import Tale


def a_debt_is_repaid_by_what_expires_first() -> Tale:
    tale = Tale("D1", {"hold_grace_days": 1})
    tale.do("earn", "ben", "2016-01-16 03:00:00", amount=3, expires_at="2016-01-18 03:00:00")
    tale.do("earn", "ben", "2016-01-16 04:00:00", amount=60)
    tale.do("freeze", "ben", "2016-01-16 05:00:00", amount=7)
    earned = tale.do("earn", "ben", "2016-01-16 06:00:00", amount=56)
    tale.do("spend", "ben", "2016-02-08 16:00:00", amount=60)
    tale.do("clawback", "ben", "2016-02-10 12:00:00", related_id=earned, policy="arrears")
    tale.do("unfreeze", "ben", "2016-02-10 20:00:00", amount=7)
    tale.do("earn", "ben", "2016-02-15 05:00:00", amount=4)
    tale.ends("ben", balance=7, expired_points=0)
    return tale


def lots_of_one_moment_go_in_the_order_in_which_they_came() -> Tale:
    tale = Tale("D2", {"expiry_mode": "fixed_date", "expiry_date": "03-31"})
    tale.do("earn", "ann", "2011-01-28 16:00:00", amount=25)
    tale.together()
    second = tale.do("earn", "ann", "2011-01-28 16:00:00", amount=3)
    tale.separately()
    spent = tale.do("spend", "ann", "2011-02-18 20:00:00", amount=28)
    tale.do("refund", "ann", "2011-02-18 22:00:00", related_id=spent, amount=14)  # the 3, and 11 of the 25
    expected = {"clawed_back": 0}
    when = "2012-04-27 02:00:00"
    tale.do("clawback", "ann", when, expected, related_id=second, amount=3, policy="arrears")
    return tale


def what_would_not_fit_is_refused() -> Tale:
    tale = Tale("D4", {"transfer_enabled": True})
    most = LARGEST_FIGURE
    tale.do("earn", "ann", "2026-03-01 10:00:00", amount=most)
    tale.do("earn", "ann", "2026-03-01 10:00:00", "FIGURE_TOO_LARGE", amount=1)
    tale.do("freeze", "ann", "2026-03-01 10:00:00", amount=most)
    tale.do("adjust", "ann", "2026-03-01 10:00:00", "FIGURE_TOO_LARGE", amount=1, reason="a gift")
    tale.do("earn", "ben", "2026-03-01 10:00:00", amount=5)
    tale.do("transfer", "ben", "2026-03-01 10:00:00", "FIGURE_TOO_LARGE", to_user_id="ann", amount=1)
    tale.do("unfreeze", "ann", "2026-03-01 11:00:00", amount=most)
    tale.do("spend", "ann", "2026-03-01 12:00:00", amount=1)
    tale.do("transfer", "ben", "2026-03-01 13:00:00", to_user_id="ann", amount=1)
    tale.ends("ann", balance=most)
    return tale


def what_was_accepted_first_counts() -> Tale:
    tale = Tale("D5", {"transfer_enabled": True})
    tale.do("earn", "ann", "2026-03-01 10:00:00", amount=100)
    tale.do("earn", "ben", "2026-03-01 11:00:00", amount=1)
    tale.together()
    tale.do("transfer", "ann", "2026-03-01 11:00:00", to_user_id="ben", amount=30)
    tale.do("spend", "ben", "2026-03-01 11:00:00", amount=31)
    tale.ends("ben", balance=0, total_spent=31)
    return tale


def time_passes_with_a_refusal_too() -> Tale:
    tale = Tale("D6", {"spend_enabled": False})
    tale.do("earn", "ann", "2026-01-01 10:00:00", amount=5, expires_at="2026-02-01 00:00:00")
    tale.do("earn", "ann", "2026-01-01 10:00:00", amount=7, activates_at="2026-02-01 00:00:00")
    tale.do("spend", "ann", "2026-02-01 00:00:00", "FEATURE_DISABLED", amount=1)
    tale.ends("ann", balance=7, pending_balance=0, expired_points=5)
    return tale


DECISIONS: tuple[Callable[[], Tale], ...] = (
    a_debt_is_repaid_by_what_expires_first,
    lots_of_one_moment_go_in_the_order_in_which_they_came,
    what_would_not_fit_is_refused,
    what_was_accepted_first_counts,
    time_passes_with_a_refusal_too,
)
