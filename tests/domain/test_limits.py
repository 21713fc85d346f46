"""Limits: what may be earned in a span of the tenant's calendar. The names L1 to L12 are the acceptance
cases'."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from pointledger.domain.commands.outcomes import Decision
from tests.domain.books import Shop, data_of, moment, reason_of, refusal_of


def visited(shop: Shop, *moments: str, user_id: str = "anna") -> list[int]:
    """Points granted for a visit at each of these moments."""
    return [data_of(shop.event(user_id, at=moment(text)))["points_earned"] for text in moments]


def grant_of(shop: Shop, **event: Any) -> dict[str, Any]:
    grants = data_of(shop.event("anna", **event))["grants"]
    assert len(grants) == 1
    return dict(grants[0])


def test_l1_a_day_is_the_tenants_not_utcs() -> None:
    shop = Shop(timezone="Asia/Shanghai")
    shop.rule(points=10, daily_limit=10)
    at = ("2026-03-01 15:59:59", "2026-03-01 16:00:00", "2026-03-02 00:00:00", "2026-03-02 15:59:59.999999")
    assert visited(shop, *at) == [10, 10, 0, 0]


@pytest.mark.parametrize(
    ("first", "last", "next_day"),
    [
        ("2026-03-29 00:00+01:00", "2026-03-29 23:59:59+02:00", "2026-03-30 00:00+02:00"),
        ("2026-10-25 00:00+02:00", "2026-10-25 23:59:59+01:00", "2026-10-26 00:00+01:00"),
    ],
    ids=["of 23 hours", "of 25 hours"],
)
def test_l2_a_day_is_a_date_however_long_it_is(first: str, last: str, next_day: str) -> None:
    shop = Shop(timezone="Europe/Berlin")
    shop.rule(points=10, daily_limit=10)
    assert visited(shop, first, last, next_day) == [10, 0, 10]


def test_l2_the_hour_that_comes_twice_belongs_to_one_day() -> None:
    shop = Shop(timezone="Europe/Berlin")
    shop.rule(points=10, daily_limit=15)
    assert visited(shop, "2026-10-25 02:30+02:00", "2026-10-25 02:30+01:00") == [10, 5]


def test_l3_a_day_without_midnight_begins_when_it_begins() -> None:
    shop = Shop(timezone="America/Santiago")  # 2026-09-06 begins at 01:00, UTC-3
    shop.rule(points=10, daily_limit=10)
    assert visited(shop, "2026-09-06 03:59:59+00:00", "2026-09-06 04:00+00:00", "2026-09-06 12:00") == [
        10,
        10,
        0,
    ]


def test_l4_an_event_counts_on_the_day_it_happened() -> None:
    shop = Shop(now=moment("2026-03-02 00:00:10"))
    shop.rule(points=10, daily_limit=10)
    yesterday = moment("2026-03-01 23:59:58")
    assert grant_of(shop, occurred_at=yesterday)["granted"] == 10
    assert grant_of(shop)["granted"] == 10
    assert grant_of(shop, occurred_at=yesterday)["granted"] == 0


def test_l4_beyond_the_backdating_window_it_counts_when_it_is_accepted() -> None:
    shop = Shop(backdating_days=1)
    shop.rule(points=10, daily_limit=10)
    assert grant_of(shop, occurred_at=moment("2026-02-27"))["granted"] == 10
    assert grant_of(shop)["granted"] == 0


def test_l5_a_new_day_needs_no_reset() -> None:
    shop = Shop()
    shop.rule(points=10, daily_limit=10)
    days = [f"2026-03-{day:02} 12:00" for day in range(1, 29)]
    assert visited(shop, *days) == [10] * 28
    assert visited(shop, "2026-03-28 12:00") == [0]


def test_l6_a_change_of_time_zone_grants_no_day_twice() -> None:
    shop = Shop(timezone="UTC")
    shop.rule(points=10, daily_limit=10)
    assert visited(shop, "2026-03-01 12:00") == [10]
    shop.configure(timezone="Asia/Shanghai")
    assert visited(shop, "2026-03-01 13:00", "2026-03-01 16:00") == [0, 10]
    shop.configure(timezone="UTC")
    assert visited(shop, "2026-03-01 17:00", "2026-03-02 00:00") == [0, 0]


def test_l7_a_grant_over_the_limit_is_clamped_to_what_is_left() -> None:
    shop = Shop()
    shop.rule(base={"kind": "per_unit", "field": "n", "per": 1, "points": 1}, daily_limit=300)
    assert grant_of(shop, metadata={"n": 290})["granted"] == 290
    grant = grant_of(shop, metadata={"n": 15})
    assert (grant["wanted"], grant["granted"], grant["held_by"]) == (15, 10, "user/day/points")
    assert shop.balance("anna") == 300


def test_l7_a_grant_clamped_to_nothing_is_applied_and_says_why() -> None:
    shop = Shop()
    shop.rule(points=10, daily_limit=10)
    shop.event("anna")
    data = data_of(shop.event("anna"))
    assert (data["points_earned"], data["transactions"]) == (0, [])
    assert data["grants"][0]["held_by"] == "user/day/points"


def test_l7_a_rule_that_refuses_grants_all_or_nothing() -> None:
    shop = Shop()
    shop.rule(
        base={"kind": "per_unit", "field": "n", "per": 1, "points": 1}, daily_limit=300, on_exceed="refuse"
    )
    shop.event("anna", metadata={"n": 290})
    refused = refusal_of(shop.event("anna", metadata={"n": 15}))
    assert (refused.reason.name, shop.balance("anna")) == ("LIMIT_REACHED", 290)
    assert "user/day/points" in refused.message
    assert grant_of(shop, metadata={"n": 10})["granted"] == 10


def test_l7_times_count_grants_whatever_their_points() -> None:
    shop = Shop()
    per_unit = {"kind": "per_unit", "field": "n", "per": 1, "points": 1}
    shop.rule(base=per_unit, daily_limit=2, daily_limit_unit="times", total_limit=100)
    granted = [grant_of(shop, metadata={"n": points})["granted"] for points in (70, 70, 70)]
    assert granted == [70, 30, 0]  # the clamped one is one time, like any other


def test_l7_what_granted_nothing_is_no_time() -> None:
    shop = Shop()
    shop.rule(
        base={"kind": "per_unit", "field": "n", "per": 100, "points": 1},
        daily_limit=1,
        daily_limit_unit="times",
    )
    assert [grant_of(shop, metadata={"n": n})["granted"] for n in (99, 100, 100)] == [0, 1, 0]


def test_a_limit_in_points_and_one_in_times_over_the_same_day_count_each_grant_once() -> None:
    shop = Shop()
    limits = [{"period": "day", "unit": "points", "max": 50}, {"period": "day", "unit": "times", "max": 3}]
    shop.rule(points=10, limits=limits)
    assert [grant_of(shop)["granted"] for _ in range(4)] == [10, 10, 10, 0]
    assert grant_of(shop)["held_by"] == "user/day/times"


def test_the_tighter_of_two_limits_holds_and_is_named() -> None:
    shop = Shop()
    shop.rule(points=10, daily_limit=8, total_limit=5)
    grant = grant_of(shop)
    assert (grant["granted"], grant["held_by"]) == (5, "user/lifetime/points")


def test_a_limit_for_life_outlasts_every_day() -> None:
    shop = Shop()
    shop.rule(points=10, total_limit=25)
    assert visited(shop, "2026-03-01", "2026-03-02", "2027-03-03", "2036-03-03") == [10, 10, 5, 0]


@pytest.mark.parametrize(
    ("period", "at", "granted"),
    [
        ("week", ("2026-03-02 00:00", "2026-03-08 23:59:59", "2026-03-09 00:00"), [10, 0, 10]),  # Monday
        ("week", ("2025-12-29", "2026-01-01", "2026-01-04", "2026-01-05"), [10, 0, 0, 10]),  # over New Year
        ("month", ("2028-02-01", "2028-02-29 23:59:59", "2028-03-01 00:00"), [10, 0, 10]),
        ("month", ("2026-12-31", "2027-01-01", "2027-01-31"), [10, 10, 0]),
    ],
)
def test_a_week_begins_on_monday_and_a_month_on_its_first(
    period: str, at: tuple[str, ...], granted: list[int]
) -> None:
    shop = Shop()
    shop.rule(points=10, limits=[{"period": period, "max": 10}])
    assert visited(shop, *at) == granted


def test_weeks_and_months_are_the_tenants_too() -> None:
    shop = Shop(timezone="Asia/Shanghai")
    shop.rule(points=10, limits=[{"period": "month", "max": 10}])
    assert visited(shop, "2026-02-28 15:59:59", "2026-02-28 16:00", "2026-03-31 15:59:59") == [10, 10, 0]
    assert grant_of(shop)["held_by"] == "user/month/points"


def test_an_event_of_last_month_counts_in_last_month() -> None:
    shop = Shop()
    limits = [{"period": "week", "max": 30}, {"period": "month", "max": 20}, {"period": "day", "max": 10}]
    shop.rule(points=10, limits=limits)
    last_month = moment("2026-02-27")
    assert [grant_of(shop, occurred_at=last_month)["granted"] for _ in range(2)] == [10, 0]
    assert [grant_of(shop)["granted"] for _ in range(2)] == [10, 0]


def test_a_limit_of_nothing_grants_nothing() -> None:
    shop = Shop()
    shop.rule(points=10, daily_limit=0)
    assert grant_of(shop)["granted"] == 0


def test_a_limit_counts_each_user_and_each_rule_by_itself() -> None:
    shop = Shop()
    shop.rule(name="a", points=10, daily_limit=10)
    shop.rule(name="b", points=1, daily_limit=2)
    assert visited(shop, "2026-03-01", "2026-03-01", "2026-03-01") == [11, 1, 0]
    assert visited(shop, "2026-03-01", user_id="ben") == [11]


def test_a_new_version_of_a_rule_goes_on_counting() -> None:
    shop = Shop()
    shop.rule(name="a", points=10, daily_limit=15)
    assert grant_of(shop)["granted"] == 10
    shop.rule(name="a", points=20, daily_limit=15, in_force_from=moment("2026-02-01"))
    assert grant_of(shop)["granted"] == 5


def test_a_refusing_rule_does_not_keep_another_from_granting() -> None:
    shop = Shop()
    shop.rule(name="refuses", points=10, daily_limit=5, on_exceed="refuse", priority=1)
    shop.rule(name="grants", points=3)
    data = data_of(shop.event("anna"))
    assert [(grant["rule"], grant["granted"]) for grant in data["grants"]] == [("refuses", 0), ("grants", 3)]


# ----------------------------------------------------------------------------- the tenant's daily limits


def test_max_earn_per_day_clamps_what_rules_grant_over_all_of_them() -> None:
    shop = Shop(max_earn_per_day=25)
    shop.rule(name="a", points=20, priority=1)
    shop.rule(name="b", points=20)
    grants = data_of(shop.event("anna"))["grants"]
    assert [(grant["granted"], grant.get("held_by")) for grant in grants] == [
        (20, None),
        (5, "tenant/max_earn_per_day"),
    ]
    assert visited(shop, "2026-03-01 23:59", "2026-03-02 00:00") == [0, 25]


def test_max_earn_per_day_refuses_what_is_earned_by_hand_whole() -> None:
    shop = Shop(max_earn_per_day=25)
    data_of(shop.earn("anna", 20))
    refused = refusal_of(shop.earn("anna", 6))
    assert (refused.reason.name, shop.balance("anna")) == ("LIMIT_REACHED", 20)
    assert "5 points are left" in refused.message
    data_of(shop.earn("anna", 5))


def test_rules_and_hand_share_max_earn_per_day() -> None:
    shop = Shop(max_earn_per_day=25)
    shop.rule(points=10)
    shop.earn("anna", 20)
    assert grant_of(shop)["granted"] == 5
    assert reason_of(shop.earn("anna", 1)) == "LIMIT_REACHED"


def test_max_earn_per_day_is_each_users_own() -> None:
    shop = Shop(max_earn_per_day=25)
    shop.earn("anna", 25)
    assert data_of(shop.earn("ben", 25))["points_earned"] == 25


def test_max_spend_per_day_refuses_beyond_it_until_the_next_day() -> None:
    shop = Shop(max_spend_per_day=30)
    shop.earn("anna", 100)
    data_of(shop.spend("anna", 20))
    assert reason_of(shop.spend("anna", 11)) == "LIMIT_REACHED"
    data_of(shop.spend("anna", 10))
    data_of(shop.spend("anna", 30, at=moment("2026-03-02")))
    assert shop.balance("anna") == 40


def test_a_refused_spend_does_not_use_up_the_day() -> None:
    shop = Shop(max_spend_per_day=30)
    shop.earn("anna", 10)
    assert reason_of(shop.spend("anna", 30)) == "INSUFFICIENT_BALANCE"
    shop.earn("anna", 20)
    data_of(shop.spend("anna", 30))


def test_transfers_and_expiries_count_toward_no_daily_limit() -> None:
    shop = Shop(max_spend_per_day=1, transfer_enabled=True)
    shop.earn("anna", 100)
    shop.earn("ben", 1)
    shop.configure(max_spend_per_day=1, max_earn_per_day=1, transfer_enabled=True)
    data_of(shop.transfer("anna", "ben", 50))
    data_of(shop.expire("anna", 50))


# ----------------------------------------------------------------------------------- the largest balance


def test_l12_a_rules_grant_is_clamped_to_the_room_that_is_left() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 95)
    shop.rule(points=10)
    grant = grant_of(shop)
    assert (grant["wanted"], grant["granted"], grant["held_by"]) == (10, 5, "tenant/max_balance")
    assert grant_of(shop)["granted"] == 0


def test_l12_a_full_account_is_clamped_also_by_a_rule_that_refuses_over_its_own_limit() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 100)
    shop.rule(points=10, daily_limit=1000, on_exceed="refuse")
    grant = grant_of(shop)
    assert (grant["granted"], grant["held_by"]) == (0, "tenant/max_balance")


def test_l12_what_is_earned_by_hand_beyond_the_room_is_refused_whole() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 95)
    refused = refusal_of(shop.earn("anna", 6))
    assert (refused.reason.name, shop.balance("anna")) == ("MAX_BALANCE", 95)
    assert "room for 5 points" in refused.message
    assert reason_of(shop.earn("ben", 101)) == "MAX_BALANCE"


def test_l12_pending_points_take_room_too() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 60)
    shop.account("anna").pending_balance = 35
    assert reason_of(shop.earn("anna", 6)) == "MAX_BALANCE"
    data_of(shop.earn("anna", 5))


def test_l12_due_points_make_room() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 100, expires_at=moment("2026-03-02"))
    data_of(shop.earn("anna", 100, at=moment("2026-03-02")))


def test_l12_a_maximum_that_was_lowered_takes_nothing_away() -> None:
    shop = Shop()
    shop.earn("anna", 100)
    shop.configure(max_balance=50)
    shop.rule(points=1)
    assert grant_of(shop)["granted"] == 0
    assert reason_of(shop.earn("anna", 1)) == "MAX_BALANCE"
    assert shop.balance("anna") == 100


def test_no_balance_grows_beyond_what_the_ledger_holds() -> None:
    shop = Shop()
    data_of(shop.earn("anna", 10**15))
    assert reason_of(shop.earn("anna", 1)) == "FIGURE_TOO_LARGE"
    shop.rule(points=1)
    assert reason_of(shop.event("anna")) == "FIGURE_TOO_LARGE"


def test_a_limits_message_never_speaks_of_less_than_nothing() -> None:
    shop = Shop()
    shop.configure(max_earn_per_day=100, max_spend_per_day=100)
    shop.earn("anna", 100)
    shop.spend("anna", 50)
    shop.configure(max_earn_per_day=10, max_spend_per_day=10)
    for refused in (refusal_of(shop.earn("anna", 1)), refusal_of(shop.spend("anna", 1))):
        assert refused.message.startswith("0 points are left")


# ------------------------------------------------------------------------------- what must be loaded


def test_what_is_loaded_for_a_command_is_every_window_it_counts() -> None:
    """A window that `needs_of` forgets would be read as unused, and its limit be granted again."""
    shop = Shop(max_earn_per_day=1000, max_spend_per_day=1000, timezone="Asia/Shanghai")
    limits = [{"period": period, "max": 100} for period in ("day", "week", "month", "lifetime")]
    shop.rule(points=10, limits=limits)
    before: datetime = moment("2026-02-20 17:00")
    acts: tuple[Callable[[], Decision], ...] = (
        lambda: shop.event("anna"),
        lambda: shop.event("anna", occurred_at=before),
        lambda: shop.earn("anna", 10),
        lambda: shop.spend("anna", 1),
        lambda: shop.spend("anna", 1, occurred_at=before),
    )
    for act in acts:
        shop.book.usage.clear()
        data_of(act())
        assert shop.last is not None
        needed = shop.needs(shop.last).windows
        assert {window for window, used in shop.book.usage.items() if used.changed} == needed
