"""Acceptance cases as scenarios: limits, time, arithmetic, expiry. The numbers are the specification's."""

from collections.abc import Callable
from typing import Any

from tests.model.scenarios import Scenario

VISIT = {"name": "visit", "event_type": "visit"}


def visit(scenario: Scenario, when: str, expected: Any = None, user: str = "ann", **metadata: Any) -> None:
    scenario.do("apply-rule", user, when, expected, event_type="visit", metadata=metadata)


def days_are_local() -> Scenario:
    scenario = Scenario("L1", {"timezone": "Asia/Shanghai"}, ({**VISIT, "points": 7, "daily_limit": 7},))
    visit(scenario, "2026-03-01 15:59:59", {"points_earned": 7})
    visit(scenario, "2026-03-01 16:00:00", {"points_earned": 7})
    visit(scenario, "2026-03-01 16:00:00", {"points_earned": 0})
    return scenario


def a_repeated_hour_is_of_one_day() -> Scenario:
    scenario = Scenario("L2", {"timezone": "Europe/Berlin"}, ({**VISIT, "points": 7, "daily_limit": 10},))
    visit(scenario, "2025-10-26 00:30:00", {"points_earned": 7})  # 02:30, in summer time
    visit(scenario, "2025-10-26 01:30:00", {"points_earned": 3})  # 02:30 again
    visit(scenario, "2025-10-26 22:59:59", {"points_earned": 0})  # the day has 25 hours
    visit(scenario, "2025-10-26 23:00:00", {"points_earned": 7})
    visit(scenario, "2026-03-28 23:00:00", {"points_earned": 7})
    visit(scenario, "2026-03-29 21:59:59", {"points_earned": 3})  # 23 hours later
    visit(scenario, "2026-03-29 22:00:00", {"points_earned": 7})
    return scenario


def where_midnight_is_skipped_the_day_begins_after_it() -> Scenario:
    config = {"timezone": "America/Sao_Paulo", "expiry_mode": "fixed_date", "expiry_date": "10-14"}
    scenario = Scenario("L3", config, ({**VISIT, "points": 7, "daily_limit": 7},))
    visit(scenario, "2017-10-15 02:59:59", {"points_earned": 7})
    visit(scenario, "2017-10-15 03:00:00", {"points_earned": 7})  # 01:00 on the 15th
    scenario.do("earn", "ben", "2017-10-14 12:00:00", amount=5)
    scenario.do("spend", "ben", "2017-10-15 02:59:59.999999", amount=1)
    scenario.do("spend", "ben", "2017-10-15 03:00:00", "INSUFFICIENT_BALANCE", amount=1)
    return scenario


def no_day_is_granted_twice_by_a_change_of_zone() -> Scenario:
    config = {"timezone": "Pacific/Kiritimati"}
    scenario = Scenario("L6, D3", config, ({**VISIT, "points": 10, "daily_limit": 10},))
    visit(scenario, "2026-03-02 11:00:00", {"points_earned": 10})  # the 3rd, 01:00
    scenario.change("2026-03-02 11:30:00", timezone="Pacific/Pago_Pago")  # where it is the 2nd, 00:30
    visit(scenario, "2026-03-02 12:00:00", {"points_earned": 0})
    visit(
        scenario, "2026-03-03 10:59:59", {"points_earned": 10}
    )  # the 4th in the old zone, which still counts
    visit(
        scenario, "2026-03-03 11:00:00", {"points_earned": 0}
    )  # the new zone has the 3rd, so the 4th continues
    visit(scenario, "2026-03-05 10:59:59", {"points_earned": 0})
    visit(scenario, "2026-03-05 11:00:00", {"points_earned": 10})
    return scenario


def a_zone_that_is_replaced_before_its_midnight_never_counts() -> Scenario:
    scenario = Scenario("D3", {"timezone": "UTC"}, ({**VISIT, "points": 10, "daily_limit": 10},))
    visit(scenario, "2026-03-02 20:00:00", {"points_earned": 10})
    scenario.change("2026-03-02 20:30:00", timezone="Asia/Kathmandu")
    scenario.change("2026-03-02 21:00:00", timezone="UTC")
    visit(scenario, "2026-03-02 23:00:00", {"points_earned": 0})
    visit(scenario, "2026-03-03 00:00:00", {"points_earned": 10})
    return scenario


def a_limit_clamps() -> Scenario:
    rule = {**VISIT, "base": {"kind": "formula", "expr": "int(event.n)"}, "daily_limit": 300}
    scenario = Scenario("L7", {}, (rule,))
    visit(scenario, "2026-03-01 10:00:00", {"points_earned": 290}, n=290)
    grant = {"rule": "visit", "rule_version": 1, "wanted": 15, "granted": 10, "limited_by": "user/day/points"}
    visit(scenario, "2026-03-01 11:00:00", {"points_earned": 10, "grants": [grant]}, n=15)
    scenario.ends("ann", balance=300)
    return scenario


def a_limit_refuses() -> Scenario:
    limit = {"scope": "user", "period": "day", "unit": "points", "max": 300}
    award = {"base": {"kind": "formula", "expr": "int(event.n)"}}
    scenario = Scenario("L7", {}, ({**VISIT, "award": award, "limits": [limit], "on_exceed": "refuse"},))
    visit(scenario, "2026-03-01 10:00:00", {"points_earned": 290}, n=290)
    visit(scenario, "2026-03-01 11:00:00", "LIMIT_REACHED", n=15)
    scenario.ends("ann", balance=290)
    return scenario


def a_clamped_grant_counts_as_one_time() -> Scenario:
    limits = [
        {"scope": "user", "period": "day", "unit": "points", "max": 10},
        {"scope": "user", "period": "week", "unit": "times", "max": 2},
    ]
    award = {"base": {"kind": "fixed", "points": 7}}
    scenario = Scenario("L7", {}, ({**VISIT, "award": award, "limits": limits},))
    visit(scenario, "2026-03-02 10:00:00", {"points_earned": 7})
    visit(scenario, "2026-03-02 11:00:00", {"points_earned": 3})
    visit(scenario, "2026-03-03 10:00:00", {"points_earned": 0})
    visit(scenario, "2026-03-09 10:00:00", {"points_earned": 7})
    return scenario


def the_version_that_was_in_force_decides() -> Scenario:
    scenario = Scenario("L10", {}, ({**VISIT, "points": 10},))
    scenario.change_rule("2026-03-02 00:00:00", **VISIT, points=10, multiplier="2")
    visit(scenario, "2026-03-01 23:59:59", {"points_earned": 10})
    visit(scenario, "2026-03-02 00:00:00", {"points_earned": 20})
    return scenario


def a_clawback_makes_room_on_the_same_day_alone() -> Scenario:
    scenario = Scenario("L11", {"max_earn_per_day": 100})
    first = scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=100)
    scenario.do("earn", "ann", "2026-03-01 11:00:00", "LIMIT_REACHED", amount=30)
    scenario.do("clawback", "ann", "2026-03-01 12:00:00", {"clawed_back": 30}, related_id=first, amount=30)
    second = scenario.do("earn", "ann", "2026-03-01 13:00:00", amount=30)
    scenario.do("clawback", "ann", "2026-03-02 00:00:00", {"clawed_back": 30}, related_id=second)
    scenario.do("earn", "ann", "2026-03-01 23:00:00", "LIMIT_REACHED", amount=1)
    return scenario


def a_maximum_clamps_grants_and_bounds_no_refund() -> Scenario:
    scenario = Scenario("L12", {"max_balance": 100}, ({**VISIT, "points": 30},))
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=80)
    spent = scenario.do("spend", "ann", "2026-03-01 11:00:00", amount=20)
    visit(scenario, "2026-03-01 12:00:00", {"points_earned": 30})
    grant = {"rule": "visit", "rule_version": 1, "wanted": 30, "granted": 10}
    grant["limited_by"] = "tenant/max_balance"
    visit(scenario, "2026-03-01 13:00:00", {"points_earned": 10, "grants": [grant]})
    scenario.do("earn", "ann", "2026-03-01 14:00:00", "MAX_BALANCE", amount=1)
    scenario.do("refund", "ann", "2026-03-01 15:00:00", related_id=spent, amount=20)
    scenario.ends("ann", balance=120)
    return scenario


def points_are_exact() -> Scenario:
    def rule(name: str, points: int, multiplier: str) -> dict[str, Any]:
        return {"name": name, "event_type": name, "points": points, "multiplier": multiplier}

    rules = (rule("a", 100, "1.15"), rule("b", 7, "1.1"), rule("c", 10, "1.5"), rule("d", 5, "1.69"))
    scenario = Scenario("A1", {}, rules)
    for name, points in (("a", 115), ("b", 7), ("c", 15), ("d", 8)):
        scenario.do("apply-rule", "ann", "2026-03-01 10:00:00", {"points_earned": points}, event_type=name)
    return scenario


def a_negative_formula_takes_nothing() -> Scenario:
    scenario = Scenario("A2", {}, ({**VISIT, "base": {"kind": "formula", "expr": "int(event.n) - 50"}},))
    scenario.do("earn", "ann", "2026-03-01 09:00:00", amount=20)
    visit(scenario, "2026-03-01 10:00:00", {"points_earned": 0, "transactions": []}, n=10)
    scenario.ends("ann", balance=20)
    return scenario


def money_is_rounded_down_and_points_that_buy_nothing_stay() -> Scenario:
    config = {"points_type": "cash_equivalent", "exchange_rate": 300, "currency": "EUR"}
    scenario = Scenario("A5, W5", config)
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=100)
    expected = {"points_exchanged": 9, "points_left": 1}  # 10 points are 3.33 cents
    scenario.do("exchange", "ann", "2026-03-01 11:00:00", expected, amount=10, exchange_type="wallet")
    scenario.do("exchange", "ann", "2026-03-01 11:00:00", "BELOW_MINIMUM", amount=2, exchange_type="wallet")
    scenario.ends("ann", balance=91, total_spent=9)
    return scenario


# --------------------------------------------------------------------------------------------- expiry


def an_expiry_is_exclusive_and_a_late_job_changes_no_outcome() -> Scenario:
    scenario = Scenario("E1, E2")
    for user in ("ann", "ben"):
        scenario.do("earn", user, "2026-01-01 00:00:00", amount=5, expires_at="2026-02-01 00:00:00")
    scenario.do("spend", "ann", "2026-01-31 23:59:59.999999", amount=5)
    scenario.do("spend", "ben", "2026-02-01 00:00:00", "INSUFFICIENT_BALANCE", amount=5)
    scenario.do("expire-due", "ben", None, {"points_expired": 0}, as_of="2026-02-02 00:00:00")
    scenario.ends("ben", balance=0, expired_points=5)
    return scenario


def months_end_on_their_last_day() -> Scenario:
    scenario = Scenario("E4", {"expiry_mode": "rolling", "default_expiry_months": 1})
    scenario.do("earn", "ann", "2026-01-31 10:00:00", amount=5)
    scenario.do("spend", "ann", "2026-02-28 09:59:59", amount=1)
    scenario.do("spend", "ann", "2026-02-28 10:00:00", "INSUFFICIENT_BALANCE", amount=1)
    return scenario


def expiry_counts_from_activation() -> Scenario:
    rule = {**VISIT, "points": 5, "pending_days": 14, "expiry_days": 7}
    scenario = Scenario("E5", {}, (rule,))
    visit(scenario, "2026-03-01 10:00:00")
    scenario.do("spend", "ann", "2026-03-15 09:59:59", "INSUFFICIENT_BALANCE", amount=1)
    scenario.do("spend", "ann", "2026-03-15 10:00:00", amount=1)
    scenario.do("spend", "ann", "2026-03-22 09:59:59", amount=1)
    scenario.do("spend", "ann", "2026-03-22 10:00:00", "INSUFFICIENT_BALANCE", amount=1)
    scenario.ends("ann", expired_points=3)
    return scenario


def the_soonest_expiry_is_spent_first() -> Scenario:
    scenario = Scenario("E6")
    scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=1)
    scenario.do("earn", "ann", "2026-01-02 10:00:00", amount=2, expires_at="2026-03-02 00:00:00")
    scenario.do("earn", "ann", "2026-01-03 10:00:00", amount=4, expires_at="2026-03-01 00:00:00")
    scenario.do("spend", "ann", "2026-01-04 10:00:00", amount=5)
    scenario.do("expire-due", "ann", None, {"points_expired": 1}, as_of="2026-03-03 00:00:00")
    scenario.ends("ann", balance=1)
    return scenario


def a_manual_expiry_takes_what_there_is() -> Scenario:
    scenario = Scenario("E11, E12")
    scenario.do("earn", "ann", "2026-03-01 10:00:00", amount=500)
    scenario.do("freeze", "ann", "2026-03-01 11:00:00", amount=200)
    expected = {"requested": 500, "settled": 300, "ratio": "0.6"}
    scenario.do("expire", "ann", "2026-03-01 12:00:00", expected, amount=500)
    scenario.do("expire", "ann", "2026-03-01 13:00:00", {"settled": 0, "ratio": "0"}, amount=5)
    scenario.ends("ann", balance=0, frozen_balance=200, expired_points=300)
    return scenario


def shares_are_exact() -> Scenario:
    scenario = Scenario("A3")
    for day, points in ((1, 1), (2, 1), (3, 1)):
        scenario.do(
            "earn", "ann", f"2026-03-0{day} 10:00:00", amount=points, expires_at=f"2026-04-0{day} 00:00:00"
        )
    scenario.do("expire", "ann", "2026-03-04 10:00:00", {"settled": 2}, amount=2, strategy="pro_rata")
    scenario.do("expire-due", "ann", None, {"points_expired": 0}, as_of="2026-04-02 12:00:00")
    scenario.do("expire-due", "ann", None, {"points_expired": 1}, as_of="2026-04-03 12:00:00")
    return scenario


def time_takes_nothing_from_an_exempt_account() -> Scenario:
    scenario = Scenario("E13")
    scenario.do("open-account", "ann", "2026-01-01 09:00:00")
    scenario.do("set-expiry-exemption", "ann", None, exempt=True, reason="a law")
    scenario.do("earn", "ann", "2026-01-01 10:00:00", amount=5, expires_at="2026-02-01 00:00:00")
    scenario.do("expire-due", "ann", None, {"points_expired": 0}, as_of="2026-03-01 00:00:00")
    scenario.do("expire", "ann", None, {"settled": 2}, amount=2)
    scenario.ends("ann", balance=3)
    return scenario


LIMITS_AND_TIME: tuple[Callable[[], Scenario], ...] = (
    days_are_local,
    a_repeated_hour_is_of_one_day,
    where_midnight_is_skipped_the_day_begins_after_it,
    no_day_is_granted_twice_by_a_change_of_zone,
    a_zone_that_is_replaced_before_its_midnight_never_counts,
    a_limit_clamps,
    a_limit_refuses,
    a_clamped_grant_counts_as_one_time,
    the_version_that_was_in_force_decides,
    a_clawback_makes_room_on_the_same_day_alone,
    a_maximum_clamps_grants_and_bounds_no_refund,
    points_are_exact,
    a_negative_formula_takes_nothing,
    money_is_rounded_down_and_points_that_buy_nothing_stay,
    an_expiry_is_exclusive_and_a_late_job_changes_no_outcome,
    months_end_on_their_last_day,
    expiry_counts_from_activation,
    the_soonest_expiry_is_spent_first,
    a_manual_expiry_takes_what_there_is,
    shares_are_exact,
    time_takes_nothing_from_an_exempt_account,
)
