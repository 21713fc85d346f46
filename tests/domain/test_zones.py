"""Tests changes of a tenant's time zone: no day is granted twice or lost (acceptance case L6)."""

from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointledger.domain.program.calendar import FormerZone
from pointledger.domain.program.tenant import Tenant, tenant_from
from tests.domain.books import SHOP, Shop, data_of, moment

KIRITIMATI, PAGO = "Pacific/Kiritimati", "Pacific/Pago_Pago"  # 14 hours ahead of UTC, and 11 behind
ZONES = [KIRITIMATI, PAGO, "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata"]
NOON = moment("2026-03-01 12:00")


def shop_in(zone: str, **config: object) -> Shop:
    return Shop(**{"now": NOON, "timezone": zone, **config})  # type: ignore[arg-type]


def move(shop: Shop, zone: str, at: datetime) -> None:
    """Save the tenant with another zone."""
    fields = shop.tenant.model_dump() | {"timezone": zone}
    shop.book.tenants[SHOP] = tenant_from(fields).following(shop.tenant, at)


def zones_before(shop: Shop) -> tuple[FormerZone, ...]:
    return shop.tenant.former_zones


def granted(shop: Shop, at: str) -> int:
    return int(data_of(shop.event("anna", at=moment(at)))["points_earned"])


@pytest.mark.parametrize(
    ("before", "after", "dates"),
    [
        # In Kiritimati the 1st ends at 10:00 UTC, in Pago Pago at 11:00 of the 2nd.
        (
            KIRITIMATI,
            PAGO,
            {
                "2026-03-01 10:30": "2026-03-02",
                "2026-03-02 09:59": "2026-03-02",
                "2026-03-02 10:00": "2026-03-03",
                "2026-03-02 10:59": "2026-03-03",
                "2026-03-02 11:00": "2026-03-03",  # where it is already the 2nd
                "2026-03-04 10:59": "2026-03-03",
                "2026-03-04 11:00": "2026-03-04",
            },
        ),
        (
            PAGO,
            KIRITIMATI,
            {
                "2026-03-01 12:00": "2026-03-01",
                "2026-03-02 09:59": "2026-03-01",
                "2026-03-02 10:00": "2026-03-03",  # the 2nd does not occur
                "2026-03-03 09:59": "2026-03-03",
                "2026-03-03 10:00": "2026-03-04",
            },
        ),
        (
            "UTC",
            "America/New_York",
            {
                "2026-03-02 04:59": "2026-03-02",
                "2026-03-02 05:00": "2026-03-02",
                "2026-03-03 04:59": "2026-03-02",
                "2026-03-03 05:00": "2026-03-03",
            },
        ),
    ],
)
def test_the_old_zone_applies_until_the_new_ones_midnight_and_dates_never_go_back(
    before: str, after: str, dates: dict[str, str]
) -> None:
    shop = shop_in(before)
    move(shop, after, NOON)
    assert {at: str(shop.tenant.local_date(moment(at))) for at in dates} == dates


def test_a_change_to_the_west_grants_no_day_twice() -> None:
    shop = shop_in(KIRITIMATI)
    shop.rule(points=10, daily_limit=10)
    assert granted(shop, "2026-03-01 12:00") == 10  # of the 2nd
    move(shop, PAGO, NOON)
    assert granted(shop, "2026-03-01 12:01") == 0
    assert granted(shop, "2026-03-02 10:30") == 10  # of the 3rd, still in the old zone
    assert granted(shop, "2026-03-02 11:30") == 0
    assert granted(shop, "2026-03-04 10:59") == 0
    assert granted(shop, "2026-03-04 11:00") == 10


def test_a_change_to_the_east_grants_each_existing_day_once() -> None:
    shop = shop_in(PAGO)
    shop.rule(points=10, daily_limit=10)
    assert granted(shop, "2026-03-01 12:00") == 10  # of the 1st
    move(shop, KIRITIMATI, NOON)
    assert granted(shop, "2026-03-02 09:59") == 0
    assert granted(shop, "2026-03-02 10:00") == 10  # of the 3rd
    assert not shop.tenant.occurs(date(2026, 3, 2))
    assert shop.tenant.day_before(date(2026, 3, 3)) == date(2026, 3, 1)


@pytest.mark.parametrize(("period", "on_monday"), [("week", 10), ("month", 0)])
def test_weeks_and_months_follow_the_tenants_dates(period: str, on_monday: int) -> None:
    sunday_the_first = "2026-02-28 10:30"  # in Kiritimati; in Pago Pago it is Friday
    shop = shop_in(KIRITIMATI, now=moment(sunday_the_first))
    shop.rule(points=10, limits=[{"scope": "user", "period": period, "unit": "points", "max": 10}])
    assert granted(shop, sunday_the_first) == 10
    move(shop, PAGO, moment(sunday_the_first))
    assert granted(shop, "2026-03-02 10:59") == 0  # still Sunday, because dates never go back
    assert granted(shop, "2026-03-02 11:00") == on_monday
    assert granted(shop, "2026-03-03 11:00") == 0


def test_a_pending_change_that_is_replaced_never_takes_effect() -> None:
    shop = shop_in("UTC")
    move(shop, PAGO, NOON)
    move(shop, "UTC", NOON + timedelta(hours=1))
    assert zones_before(shop) == ()
    move(shop, "Europe/Berlin", NOON)
    move(shop, PAGO, NOON + timedelta(hours=1))
    assert [former.timezone for former in zones_before(shop)] == ["UTC"]


def test_a_change_of_other_fields_keeps_the_zones() -> None:
    shop = shop_in("UTC")
    move(shop, PAGO, NOON)
    fields = {"tenant_id": SHOP, "timezone": PAGO, "max_balance": 5}
    later = NOON + timedelta(days=9)
    new = tenant_from(fields).following(shop.tenant, later)
    assert new.former_zones == shop.tenant.former_zones
    forged = fields | {"former_zones": [{"timezone": "UTC", "until": "2020-01-01T00:00:00Z"}]}
    assert tenant_from(forged).following(shop.tenant, later) == new
    assert tenant_from(forged).following(None, later).former_zones == ()


def test_expiries_and_notice_periods_use_the_zone_that_applies_when_they_end() -> None:
    shop = shop_in("UTC", default_expiry_days=2, expiry_round="end_of_month")
    move(shop, PAGO, NOON)
    shop.earn("anna", 5, at=NOON)
    assert shop.lots("anna")[0].expires_at == moment("2026-04-01 11:00")
    assert shop.tenant.notice_ends(NOON, days=1) == moment("2026-03-02 00:00")  # the old zone's midnight
    assert shop.tenant.notice_ends(NOON, days=2) == moment("2026-03-03 11:00")


def test_hours_and_weekdays_use_the_old_zone_until_then() -> None:
    shop = shop_in("UTC")
    shop.rule(points=1, valid={"hours": ["12:00-13:00"], "weekdays": [7]})  # the 1st of March is a Sunday
    move(shop, PAGO, NOON)
    data_of(shop.event("anna", at=NOON + timedelta(minutes=5)))
    assert shop.tenant.local(moment("2026-03-02 10:59")).hour == 10
    assert shop.tenant.local(moment("2026-03-02 11:01")).hour == 0


Changes = st.lists(st.tuples(st.integers(0, 24 * 60), st.sampled_from(ZONES)), min_size=1, max_size=4)


def changed_often(first: str, starts: datetime, changes: list[tuple[int, str]]) -> Tenant:
    tenant, now = tenant_from({"tenant_id": SHOP, "timezone": first}), starts
    for minutes, zone in changes:
        now += timedelta(minutes=minutes * 3)
        tenant = tenant_from({"tenant_id": SHOP, "timezone": zone}).following(tenant, now)
    return tenant


@given(
    st.sampled_from(ZONES),
    st.sampled_from([moment("2026-03-01"), moment("2026-03-28 20:00"), moment("2018-11-03 20:00")]),
    Changes,
)
def test_each_date_is_one_continuous_span(
    first: str, starts: datetime, changes: list[tuple[int, str]]
) -> None:
    tenant = changed_often(first, starts, changes)
    moments = [starts + timedelta(minutes=30 * step) for step in range(-48, 48 * 14)]
    dates = [tenant.local_date(each) for each in moments]
    assert dates == sorted(dates)
    for day, following in pairwise(sorted(set(dates))):
        begins = tenant.day_starts_at(following)
        assert tenant.local_date(begins) == following
        assert tenant.local_date(begins - timedelta.resolution) == day == tenant.day_before(following)
        for leapt in range(1, (following - day).days):
            assert not tenant.occurs(day + timedelta(days=leapt))
            assert tenant.day_starts_at(day + timedelta(days=leapt)) == begins


@given(st.sampled_from(ZONES), Changes)
def test_days_later_is_always_later(first: str, changes: list[tuple[int, str]]) -> None:
    tenant = changed_often(first, NOON, changes)
    for hour in range(24 * 12):
        at = NOON + timedelta(hours=hour)
        assert tenant.days_later(at, 1) > at
        assert tenant.notice_ends(at, days=1) > at
