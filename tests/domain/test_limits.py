"""Tests limits of rules in the tenant's calendar. L1 to L7 are acceptance cases."""

from collections.abc import Callable
from datetime import datetime

import pytest

from pointledger.domain.commands.outcomes import Decision
from tests.domain.books import Shop, data_of, grant_of, moment, refusal_of, visited


def test_l1_a_day_is_in_the_tenants_time_zone_not_in_utc() -> None:
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
def test_l2_a_day_is_a_date_of_any_length(first: str, last: str, next_day: str) -> None:
    shop = Shop(timezone="Europe/Berlin")
    shop.rule(points=10, daily_limit=10)
    assert visited(shop, first, last, next_day) == [10, 0, 10]


def test_l2_a_repeated_hour_belongs_to_one_day() -> None:
    shop = Shop(timezone="Europe/Berlin")
    shop.rule(points=10, daily_limit=15)
    assert visited(shop, "2026-10-25 02:30+02:00", "2026-10-25 02:30+01:00") == [10, 5]


def test_l3_a_day_without_midnight_begins_at_its_first_instant() -> None:
    shop = Shop(timezone="America/Santiago")  # 2026-09-06 begins at 01:00, UTC-3
    shop.rule(points=10, daily_limit=10)
    assert visited(shop, "2026-09-06 03:59:59+00:00", "2026-09-06 04:00+00:00", "2026-09-06 12:00") == [
        10,
        10,
        0,
    ]


def test_l4_an_event_counts_on_the_day_when_it_happened() -> None:
    shop = Shop(now=moment("2026-03-02 00:00:10"))
    shop.rule(points=10, daily_limit=10)
    yesterday = moment("2026-03-01 23:59:58")
    assert grant_of(shop, occurred_at=yesterday)["granted"] == 10
    assert grant_of(shop)["granted"] == 10
    assert grant_of(shop, occurred_at=yesterday)["granted"] == 0


def test_l4_an_event_beyond_the_backdating_window_counts_when_it_is_accepted() -> None:
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


def test_l7_a_grant_over_the_limit_is_clamped_to_the_rest() -> None:
    shop = Shop()
    shop.rule(base={"kind": "per_unit", "field": "n", "per": 1, "points": 1}, daily_limit=300)
    assert grant_of(shop, metadata={"n": 290})["granted"] == 290
    grant = grant_of(shop, metadata={"n": 15})
    assert (grant["wanted"], grant["granted"], grant["limited_by"]) == (15, 10, "user/day/points")
    assert shop.balance("anna") == 300


def test_l7_a_grant_clamped_to_zero_is_applied_with_its_reason() -> None:
    shop = Shop()
    shop.rule(points=10, daily_limit=10)
    shop.event("anna")
    data = data_of(shop.event("anna"))
    assert (data["points_earned"], data["transactions"]) == (0, [])
    assert data["grants"][0]["limited_by"] == "user/day/points"


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


def test_l7_times_count_grants_of_any_amount() -> None:
    shop = Shop()
    per_unit = {"kind": "per_unit", "field": "n", "per": 1, "points": 1}
    shop.rule(base=per_unit, daily_limit=2, daily_limit_unit="times", total_limit=100)
    granted = [grant_of(shop, metadata={"n": points})["granted"] for points in (70, 70, 70)]
    assert granted == [70, 30, 0]  # a clamped grant counts as one time


def test_l7_a_grant_of_zero_does_not_count_as_a_time() -> None:
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
    assert grant_of(shop)["limited_by"] == "user/day/times"


def test_the_tighter_of_two_limits_applies_and_is_named() -> None:
    shop = Shop()
    shop.rule(points=10, daily_limit=8, total_limit=5)
    grant = grant_of(shop)
    assert (grant["granted"], grant["limited_by"]) == (5, "user/lifetime/points")


def test_a_lifetime_limit_outlasts_every_day() -> None:
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


def test_weeks_and_months_are_in_the_tenants_time_zone() -> None:
    shop = Shop(timezone="Asia/Shanghai")
    shop.rule(points=10, limits=[{"period": "month", "max": 10}])
    assert visited(shop, "2026-02-28 15:59:59", "2026-02-28 16:00", "2026-03-31 15:59:59") == [10, 10, 0]
    assert grant_of(shop)["limited_by"] == "user/month/points"


def test_an_event_of_last_month_counts_in_last_month() -> None:
    shop = Shop()
    limits = [{"period": "week", "max": 30}, {"period": "month", "max": 20}, {"period": "day", "max": 10}]
    shop.rule(points=10, limits=limits)
    last_month = moment("2026-02-27")
    assert [grant_of(shop, occurred_at=last_month)["granted"] for _ in range(2)] == [10, 0]
    assert [grant_of(shop)["granted"] for _ in range(2)] == [10, 0]


def test_a_limit_of_zero_grants_nothing() -> None:
    shop = Shop()
    shop.rule(points=10, daily_limit=0)
    assert grant_of(shop)["granted"] == 0


def test_a_limit_counts_each_user_and_each_rule_separately() -> None:
    shop = Shop()
    shop.rule(name="a", points=10, daily_limit=10)
    shop.rule(name="b", points=1, daily_limit=2)
    assert visited(shop, "2026-03-01", "2026-03-01", "2026-03-01") == [11, 1, 0]
    assert visited(shop, "2026-03-01", user_id="ben") == [11]


def test_a_new_version_of_a_rule_continues_the_count() -> None:
    shop = Shop()
    shop.rule(name="a", points=10, daily_limit=15)
    assert grant_of(shop)["granted"] == 10
    shop.rule(name="a", points=20, daily_limit=15, in_force_from=moment("2026-02-01"))
    assert grant_of(shop)["granted"] == 5


def test_a_refusing_rule_does_not_stop_another_rule() -> None:
    shop = Shop()
    shop.rule(name="refuses", points=10, daily_limit=5, on_exceed="refuse", priority=1)
    shop.rule(name="grants", points=3)
    data = data_of(shop.event("anna"))
    assert [(grant["rule"], grant["granted"]) for grant in data["grants"]] == [("refuses", 0), ("grants", 3)]


# ---------------------------------------------------------------------------------------- read sets


def test_the_read_set_has_every_window_that_a_command_counts_in() -> None:
    """A window that `read_set_of` omits would count as unused, so its limit would be granted again."""
    shop = Shop(max_earn_per_day=1000, max_spend_per_day=1000, timezone="Asia/Shanghai")
    limits = [{"period": period, "max": 100} for period in ("day", "week", "month", "lifetime")]
    shop.rule(points=10, limits=limits)
    before: datetime = moment("2026-02-20 17:00")
    calls: tuple[Callable[[], Decision], ...] = (
        lambda: shop.event("anna"),
        lambda: shop.event("anna", occurred_at=before),
        lambda: shop.earn("anna", 10),
        lambda: shop.spend("anna", 1),
        lambda: shop.spend("anna", 1, occurred_at=before),
    )
    for call in calls:
        shop.book.usage.clear()
        data_of(call())
        assert shop.last is not None
        needed = shop.read_set(shop.last).windows
        assert {window for window, used in shop.book.usage.items() if used.changed} == needed
