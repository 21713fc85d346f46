"""Decisions where the specification is silent, as scenarios."""

from collections.abc import Callable

from tests.model.accounts import LARGEST_FIGURE
from tests.model.scenarios import Scenario


def the_earliest_expiry_repays_debt_first() -> Scenario:
    scenario = Scenario("D1", {"hold_grace_days": 1})
    scenario.do("earn", "ben", "2016-01-16 03:00:00", amount=3, expires_at="2016-01-18 03:00:00")
    scenario.do("earn", "ben", "2016-01-16 04:00:00", amount=60)
    scenario.do("freeze", "ben", "2016-01-16 05:00:00", amount=7)
    earned = scenario.do("earn", "ben", "2016-01-16 06:00:00", amount=56)
    scenario.do("spend", "ben", "2016-02-08 16:00:00", amount=60)
    scenario.do("clawback", "ben", "2016-02-10 12:00:00", related_id=earned, policy="arrears")
    scenario.do("unfreeze", "ben", "2016-02-10 20:00:00", amount=7)
    scenario.do("earn", "ben", "2016-02-15 05:00:00", amount=4)
    scenario.ends("ben", balance=7, expired_points=0)
    return scenario


def lots_of_one_moment_are_consumed_in_the_order_of_arrival() -> Scenario:
    scenario = Scenario("D2", {"expiry_mode": "fixed_date", "expiry_date": "03-31"})
    scenario.do("earn", "ann", "2011-01-28 16:00:00", amount=25)
    scenario.together()
    second = scenario.do("earn", "ann", "2011-01-28 16:00:00", amount=3)
    scenario.separately()
    spent = scenario.do("spend", "ann", "2011-02-18 20:00:00", amount=28)
    scenario.do(
        "refund", "ann", "2011-02-18 22:00:00", related_id=spent, amount=14
    )  # the 3, and 11 of the 25
    expected = {"clawed_back": 0}
    when = "2012-04-27 02:00:00"
    scenario.do("clawback", "ann", when, expected, related_id=second, amount=3, policy="arrears")
    return scenario


def figures_that_are_too_large_are_refused() -> Scenario:
    scenario = Scenario("D4", {"transfer_enabled": True})
    most = LARGEST_FIGURE
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=most)
    scenario.do("earn", "ann", "2026-03-01 10:00:00", "FIGURE_TOO_LARGE", amount=1)
    scenario.do("freeze", "ann", "2026-03-01 10:00:00", amount=most)
    scenario.do("adjust", "ann", "2026-03-01 10:00:00", "FIGURE_TOO_LARGE", amount=1, reason="a gift")
    scenario.do("earn", "ben", "2026-03-01 10:00:00", amount=5)
    scenario.do("transfer", "ben", "2026-03-01 10:00:00", "FIGURE_TOO_LARGE", to_user_id="ann", amount=1)
    scenario.do("unfreeze", "ann", "2026-03-01 11:00:00", amount=most)
    scenario.do("spend", "ann", "2026-03-01 12:00:00", amount=1)
    scenario.do("transfer", "ben", "2026-03-01 13:00:00", to_user_id="ann", amount=1)
    scenario.ends("ann", balance=most)
    return scenario


def the_order_of_acceptance_decides() -> Scenario:
    scenario = Scenario("D5", {"transfer_enabled": True})
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=100)
    scenario.do("earn", "ben", "2026-03-01 11:00:00", amount=1)
    scenario.together()
    scenario.do("transfer", "ann", "2026-03-01 11:00:00", to_user_id="ben", amount=30)
    scenario.do("spend", "ben", "2026-03-01 11:00:00", amount=31)
    scenario.ends("ben", balance=0, total_spent=31)
    return scenario


def a_refusal_advances_the_clock_too() -> Scenario:
    scenario = Scenario("D6", {"spend_enabled": False})
    scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=5, expires_at="2026-02-01 00:00:00")
    scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=7, activates_at="2026-02-01 00:00:00")
    scenario.do("spend", "ann", "2026-02-01 00:00:00", "FEATURE_DISABLED", amount=1)
    scenario.ends("ann", balance=7, pending_balance=0, expired_points=5)
    return scenario


DECISIONS: tuple[Callable[[], Scenario], ...] = (
    the_earliest_expiry_repays_debt_first,
    lots_of_one_moment_are_consumed_in_the_order_of_arrival,
    figures_that_are_too_large_are_refused,
    the_order_of_acceptance_decides,
    a_refusal_advances_the_clock_too,
)
