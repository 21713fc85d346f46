"""Tests a tenant's configuration and calendar."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from pointledger.domain.commands import command_from
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.errors import InvalidCommand, InvalidTenant
from tests.domain import corpus
from tests.domain.books import SHOP, Shop, moment


def tenant(**config: Any) -> Tenant:
    return tenant_from({"tenant_id": SHOP, **config})


def test_a_tenant_has_defaults_for_all_fields_but_its_id() -> None:
    shop = tenant()
    assert (shop.timezone, shop.expiry_mode, shop.transfer_enabled) == ("UTC", "never", False)
    assert (shop.max_balance, shop.backdating_days, shop.min_spend_points) == (None, None, 1)


def test_a_saved_tenant_is_loaded_unchanged() -> None:
    shop = tenant(
        timezone="Asia/Shanghai", default_expiry_days=365, max_balance=10, points_type="tier_points"
    )
    assert Tenant.model_validate_json(shop.model_dump_json()) == shop


MALFORMED: list[tuple[dict[str, Any], str]] = [
    *[({"tenant_id": value}, "tenant_id") for value in ("", "a\n", "a\u200b", "\ud800", None, 5, "a" * 256)],
    *[({"exchange_rate": value}, "exchange_rate") for value in (0, -1, "100", 1.5, True, 10**15 + 1)],
    *[({"max_balance": value}, "max_balance") for value in (0, -1, "1", 1.0, True, 10**15 + 1, float("nan"))],
    *[({"min_spend_points": value}, "min_spend_points") for value in (0, None, "1")],
    *[({"max_earn_per_day": value}, "max_earn_per_day") for value in (0, -1, 1.5)],
    *[({"max_spend_per_day": value}, "max_spend_per_day") for value in (0, -1, 1.5)],
    *[({"default_expiry_days": value}, "default_expiry_days") for value in (0, -1, 36_501, "365", 1.5, True)],
    *[({"backdating_days": value}, "backdating_days") for value in (-1, 36_501, "7", True)],
    *[({"transfer_enabled": value}, "transfer_enabled") for value in ("true", 1, None)],
    ({"points_type": "cash"}, "points_type"),
    ({"expiry_mode": "rolling"}, "default_expiry_days"),  # without its days
    ({"expiry_mode": "never", "default_expiry_days": 30}, "default_expiry_days"),
    ({"expiry_mode": "monthly"}, "expiry_mode"),
    ({"default_expiry_days": 30, "default_expiry_months": 1}, "default_expiry_months"),
    ({"default_expiry_months": 0}, "default_expiry_months"),
    ({"expiry_round": "end_of_month"}, "expiry_round"),
    ({"expiry_mode": "fixed_date"}, "expiry_date"),
    ({"expiry_mode": "fixed_date", "expiry_date": "31.12."}, "expiry_date"),
    ({"expiry_date": "12-31"}, "expiry_date"),
    ({"dead_policy": "retry"}, "dead_policy"),
    ({"is_admin": True}, "is_admin"),
]  # fmt: skip


def test_every_malformed_configuration_names_its_field() -> None:
    unnamed = {}
    for change, field in MALFORMED:
        try:
            unnamed[str(change)] = str(tenant(**change))
        except InvalidTenant as error:
            if field not in str(error).partition("(")[2]:
                unnamed[str(change)] = str(error)
    assert unnamed == {}


@pytest.mark.parametrize("body", [None, [], "{}", 5])
def test_a_configuration_that_is_not_an_object_is_refused(body: Any) -> None:
    with pytest.raises(InvalidTenant, match="body"):
        tenant_from(body)


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Phobos", "", " ", "CET ", "Europe/Berlin ", "europe/berlin", "+08:00", "UTC+8",
        "EST5EDT,M3.2.0,M11.1.0", "../../etc/passwd", "/etc/passwd", "/etc/localtime",
        "Europe/../../../etc/passwd", "Europe/../Europe/Berlin", "Europe//Berlin", "./UTC", "Europe",
        "Europe/", "Europe\\Berlin", "..", ".", "Europe/Berlin\x00", "\x00", "Europe/Bérlin", "\ud800",
        "x" * 5000, "zone.tab", "tzdata.zi", "__init__.py", "$(date)", "' OR 1=1--",
    ],
)  # fmt: skip
def test_an_invalid_zone_is_refused_and_no_other_file_is_read(name: str) -> None:
    with pytest.raises(InvalidTenant, match=r"\(timezone: "):
        tenant(timezone=name)


@pytest.mark.parametrize("name", ["localtime", "posixrules"])
def test_a_zone_that_depends_on_the_host_is_refused(name: str) -> None:
    with pytest.raises(InvalidTenant, match="timezone"):
        tenant(timezone=name)


# ---------------------------------------------------------------------------------------- the calendar


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("UTC", "2026-03-01 23:59:59.999999", "2026-03-01"),
        ("UTC", "2026-03-02 00:00", "2026-03-02"),
        ("Asia/Shanghai", "2026-03-01 15:59:59", "2026-03-01"),
        ("Asia/Shanghai", "2026-03-01 16:00", "2026-03-02"),
        ("America/New_York", "2026-03-01 04:59:59", "2026-02-28"),
        ("America/New_York", "2026-03-01 05:00", "2026-03-01"),
        ("Asia/Kathmandu", "2026-03-01 18:14:59", "2026-03-01"),
        ("Asia/Kathmandu", "2026-03-01 18:15", "2026-03-02"),
        ("Pacific/Kiritimati", "2026-03-01 10:00", "2026-03-02"),
        ("Pacific/Pago_Pago", "2026-03-01 10:59:59", "2026-02-28"),
        ("Pacific/Apia", "2011-12-30 10:00", "2011-12-31"),  # Samoa skipped the 30th
    ],
)
def test_a_moments_day_is_in_the_tenants_time_zone(zone: str, at: str, day: str) -> None:
    assert tenant(timezone=zone).local_date(moment(at)) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("zone", "day", "starts_at"),
    [
        ("UTC", "2026-03-01", "2026-03-01 00:00"),
        ("Europe/Berlin", "2026-03-29", "2026-03-28 23:00"),
        ("Europe/Berlin", "2026-03-30", "2026-03-29 22:00"),
        ("Europe/Berlin", "2026-10-25", "2026-10-24 22:00"),
        ("Europe/Berlin", "2026-10-26", "2026-10-25 23:00"),
        ("America/Santiago", "2026-09-06", "2026-09-06 04:00"),  # the clocks skip midnight: 01:00, UTC-3
        ("Africa/Cairo", "2026-04-24", "2026-04-23 22:00"),
        ("Asia/Beirut", "2026-03-29", "2026-03-28 22:00"),
        ("America/Havana", "2026-11-01", "2026-11-01 04:00"),  # midnight occurs twice: the first
    ],
)
def test_a_day_starts_at_its_first_instant(zone: str, day: str, starts_at: str) -> None:
    shop = tenant(timezone=zone)
    found = shop.day_starts_at(date.fromisoformat(day))
    assert found == moment(starts_at)
    assert shop.local_date(found) == date.fromisoformat(day)
    assert shop.local_date(found - timedelta(microseconds=1)) < date.fromisoformat(day)


@pytest.mark.parametrize(
    ("zone", "at", "days", "later"),
    [
        ("UTC", "2026-01-31 10:00", 30, "2026-03-02 10:00"),
        ("UTC", "2026-01-31 10:00", 28, "2026-02-28 10:00"),
        ("UTC", "2028-01-31 10:00", 29, "2028-02-29 10:00"),
        ("UTC", "2028-02-29 00:00", 365, "2029-02-28 00:00"),
        ("UTC", "2026-12-31 23:59:59.999999", 1, "2027-01-01 23:59:59.999999"),
        ("Europe/Berlin", "2026-03-28 10:00", 1, "2026-03-29 09:00"),  # over the day of 23 hours
        ("Europe/Berlin", "2026-10-24 10:00", 1, "2026-10-25 11:00"),  # over the day of 25 hours
        ("Europe/Berlin", "2026-03-28 01:30", 1, "2026-03-29 01:30"),  # 02:30 is skipped: offset as before
        ("Europe/Berlin", "2026-10-24 00:30", 1, "2026-10-25 00:30"),  # 02:30 occurs twice: the first
        ("Europe/Berlin", "2026-10-25 01:30", 1, "2026-10-26 01:30"),  # from the second 02:30
        ("Asia/Shanghai", "2026-01-31 17:00", 30, "2026-03-02 17:00"),
    ],
)
def test_days_later_keeps_the_local_time(zone: str, at: str, days: int, later: str) -> None:
    found = tenant(timezone=zone).days_later(moment(at), days)
    assert (found, found.tzinfo) == (moment(later), UTC)


def test_points_of_31_january_that_live_thirty_days_expire_on_2_march() -> None:
    shop = Shop(now=moment("2026-01-31 10:00"), default_expiry_days=30)
    shop.earn("anna", 1)
    assert shop.lots("anna")[0].expires_at == moment("2026-03-02 10:00")


def test_points_under_a_policy_of_never_do_not_expire() -> None:
    shop = Shop()
    shop.earn("anna", 1)
    assert (shop.lots("anna")[0].expires_at, shop.account("anna").next_expiry_at) == (None, None)


def test_a_rules_policy_precedes_the_tenants_policy() -> None:
    shop = Shop(now=moment("2026-03-01"), default_expiry_days=30)
    shop.rule(points=1, expiry_days=7)
    shop.event("anna")
    assert shop.lots("anna")[0].expires_at == moment("2026-03-08")


def test_expiry_counts_from_when_the_event_happened() -> None:
    shop = Shop(now=moment("2026-03-10"), default_expiry_days=30)
    shop.earn("anna", 1, occurred_at=moment("2026-03-01"))
    lot = shop.lots("anna")[0]
    assert (lot.earned_at, lot.expires_at) == (moment("2026-03-01"), moment("2026-03-31"))


# ------------------------------------------------------------------------------------------ backdating


@pytest.mark.parametrize(
    ("backdating_days", "occurred_at", "effective_at"),
    [
        (None, None, "2026-03-10"),
        (None, "1999-12-31 23:59", "1999-12-31 23:59"),
        (None, "2026-03-10 00:00:00.000001", "2026-03-10"),  # the future does not count
        (None, "2050-01-01", "2026-03-10"),
        (7, "2026-03-03", "2026-03-03"),
        (7, "2026-03-02 23:59:59.999999", "2026-03-10"),
        (0, "2026-03-10", "2026-03-10"),
        (0, "2026-03-09 23:59:59.999999", "2026-03-10"),
    ],
)
def test_an_occurred_at_within_the_backdating_window_decides(
    backdating_days: int | None, occurred_at: str | None, effective_at: str
) -> None:
    at = tenant(backdating_days=backdating_days).effective_at(
        moment(occurred_at) if occurred_at else None, moment("2026-03-10")
    )
    assert at == moment(effective_at)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("earn", {"occurred_at": "0001-01-01T00:00:00Z"}),
        ("earn", {"occurred_at": "9999-12-31T23:59:59Z"}),
        ("earn", {"expires_at": "9999-12-31T23:59:59Z"}),
        ("apply-rule", {"occurred_at": "0001-01-01T00:00:00Z"}),
        ("expire-due", {"as_of": "0001-01-01T00:00:00Z"}),
        ("expire-due", {"as_of": "9999-12-31T23:59:59Z"}),
    ],
    ids=[
        "earned long ago",
        "earned far ahead",
        "expires last",
        "event long ago",
        "scheduled long ago",
        "scheduled last",
    ],
)
def test_a_moment_at_the_end_of_the_range_is_refused_or_decided(kind: str, change: dict[str, Any]) -> None:
    """Applying it must not raise, because the command would become dead."""
    try:
        command = command_from(kind, corpus.fields_of(kind, change))
    except InvalidCommand:
        return
    for zone in ("UTC", "America/New_York", "Pacific/Kiritimati"):
        shop = Shop(timezone=zone, default_expiry_days=36_500, max_earn_per_day=100)
        shop.rule(points=1, daily_limit=1)
        shop.earn("anna", 1, expires_at=datetime(2026, 4, 1, tzinfo=UTC))
        shop.read_set(command)
        shop.apply(command)
