"""Tests when rules are valid and when their grants expire, in the tenant's local time."""

from typing import Any

import pytest

from pointledger.domain.program.rule import rule_from
from pointledger.errors import InvalidRule
from tests.domain.books import Shop, data_of, moment


def holds(at: str, timezone: str = "UTC", **valid: Any) -> bool:
    shop = Shop(timezone=timezone)
    shop.rule(name="always", points=1)
    shop.rule(points=1, valid=valid)
    data = data_of(shop.event("anna", at=moment(at)))
    if data["points_earned"] == 1:
        assert data["grants"][1]["skipped"] == "window"
    return bool(data["points_earned"] == 2)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-02-28 22:59:59.999999", False),
        ("2026-02-28 23:00", True),  # midnight in Berlin
        ("2026-05-31 21:59:59.999999", True),
        ("2026-05-31 22:00", False),  # until is exclusive
    ],
)
def test_from_and_until_are_local_times(at: str, expected: bool) -> None:
    span = {"from": "2026-03-01T00:00:00", "until": "2026-06-01T00:00:00"}
    assert holds(at, "Europe/Berlin", **span) is expected


def test_one_of_from_and_until_is_enough() -> None:
    assert holds("2026-03-01", **{"from": "2026-03-01T00:00"})
    assert not holds("2026-03-01", until="2026-03-01T00:00")


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-02-27 15:59:59", False),  # Friday in Shanghai
        ("2026-02-27 16:00", True),
        ("2026-03-01 15:59:59", True),
        ("2026-03-01 16:00", False),  # Monday
    ],
)
def test_weekdays_are_iso_and_local(at: str, expected: bool) -> None:
    assert holds(at, "Asia/Shanghai", weekdays=[6, 7]) is expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [("09:59:59", False), ("10:00", True), ("21:59:59", True), ("22:00", False), ("23:30", True)],
)
def test_the_end_of_hours_is_exclusive(at: str, expected: bool) -> None:
    assert holds(f"2026-03-04 {at}", hours=["10:00-22:00", "23:00-24:00"]) is expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-03-06 21:59", False),
        ("2026-03-06 22:00", True),  # Friday
        ("2026-03-07 01:59:59", True),  # the night of Friday
        ("2026-03-07 02:00", False),
        ("2026-03-07 23:00", False),  # Saturday is not valid
        ("2026-03-06 01:00", False),  # nor is Thursday
    ],
)
def test_hours_over_midnight_belong_to_the_day_on_which_they_begin(at: str, expected: bool) -> None:
    assert holds(at, weekdays=[5], hours=["22:00-02:00"]) is expected


def test_the_night_of_sunday_reaches_into_monday() -> None:
    assert holds("2026-03-02 01:00", weekdays=[7], hours=["22:00-02:00"])


def test_a_repeated_hour_is_valid_twice_and_a_skipped_hour_never() -> None:
    at_night = {"hours": ["02:00-03:00"]}
    assert holds("2026-10-25 00:30", "Europe/Berlin", **at_night)
    assert holds("2026-10-25 01:30", "Europe/Berlin", **at_night)
    assert not any(
        holds(f"2026-03-29 {hour:02}:{minute}", "Europe/Berlin", **at_night)
        for hour in range(24)
        for minute in ("00", "59")
    )


@pytest.mark.parametrize(
    ("valid", "field"),
    [
        ({"from": "2026-03-01T00:00:00Z"}, "from"),
        ({"from": "1st of March"}, "from"),
        ({"from": "0001-01-01T00:00:00"}, "from"),
        ({"until": 5}, "until"),
        ({"from": "2026-03-01T00:00:00", "until": "2026-03-01"}, "valid"),
        ({"tz": "UTC"}, "tz"),
        ({"weekdays": []}, "weekdays"),
        ({"weekdays": [0]}, "weekdays"),
        ({"weekdays": [8]}, "weekdays"),
        ({"weekdays": [1, 1]}, "weekdays"),
        ({"weekdays": [True]}, "weekdays"),
        ({"hours": ["10-22"]}, "hours"),
        ({"hours": ["10:00-10:00"]}, "hours"),
        ({"hours": ["24:00-10:00"]}, "hours"),
        ({"hours": ["10:00-24:30"]}, "hours"),
        ({"hours": "10:00-22:00"}, "hours"),
        ({"hours": ["1０:00-22:00"]}, "hours"),  # a digit of another script
        ({"days": [1]}, "days"),
    ],
)
def test_a_malformed_validity_names_its_field(valid: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRule, match=field):
        rule_from({"name": "a", "event_type": "visit", "points": 1, "valid": valid})


# ---------------------------------------------------------------------------------------------- expiry


def ends(at: str, expiry: dict[str, Any] | None = None, **config: Any) -> str | None:
    """Return the local time at which points that a rule grants then expire."""
    shop = Shop(**config)
    shop.rule(points=1, expiry=expiry)
    shop.event("anna", at=moment(at))
    expires_at = shop.lots("anna")[0].expires_at
    local = shop.tenant.local(expires_at) if expires_at else None
    return str(local) if local else None


@pytest.mark.parametrize(
    ("at", "expiry", "expected"),
    [
        ("2026-03-01 12:00", {"days": 30}, "2026-03-31 12:00:00"),
        ("2026-01-31 12:00", {"months": 1}, "2026-02-28 12:00:00"),  # E4
        ("2028-01-31 12:00", {"months": 1}, "2028-02-29 12:00:00"),
        ("2028-02-29 12:00", {"months": 12}, "2029-02-28 12:00:00"),
        ("2026-12-31 12:00", {"months": 2}, "2027-02-28 12:00:00"),
        ("2026-01-15 12:00", {"months": 12, "round": "end_of_month"}, "2027-02-01 00:00:00"),
        ("2026-01-31 12:00", {"days": 1, "round": "end_of_month"}, "2026-03-01 00:00:00"),
        ("2026-01-15 12:00", {"months": 1, "round": "end_of_quarter"}, "2026-04-01 00:00:00"),
        ("2026-11-15 12:00", {"days": 1, "round": "end_of_quarter"}, "2027-01-01 00:00:00"),
        ("2026-01-15 12:00", {"months": 3, "round": "end_of_year"}, "2027-01-01 00:00:00"),
        ("2026-03-01 12:00", {"mode": "fixed_date", "date": "12-31"}, "2027-01-01 00:00:00"),
        ("2026-12-31 23:59", {"mode": "fixed_date", "date": "12-31"}, "2027-01-01 00:00:00"),
        ("2027-01-01 00:00", {"mode": "fixed_date", "date": "12-31"}, "2028-01-01 00:00:00"),
        ("2026-07-01 00:00", {"mode": "fixed_date", "date": "06-30"}, "2027-07-01 00:00:00"),
        ("2026-02-01 00:00", {"mode": "fixed_date", "date": "02-29"}, "2026-03-01 00:00:00"),
        ("2028-02-01 00:00", {"mode": "fixed_date", "date": "02-29"}, "2028-03-01 00:00:00"),
        ("2026-03-01 12:00", {"mode": "never"}, None),
    ],
)
def test_e4_points_expire_by_the_rules_policy(at: str, expiry: dict[str, Any], expected: str | None) -> None:
    assert ends(at, expiry, default_expiry_days=1) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"default_expiry_days": 30}, "2026-03-31 20:00:00"),
        ({"default_expiry_months": 1}, "2026-04-01 20:00:00"),
        ({"default_expiry_months": 12, "expiry_round": "end_of_year"}, "2028-01-01 00:00:00"),
        ({"expiry_mode": "fixed_date", "expiry_date": "03-01"}, "2026-03-02 00:00:00"),
    ],
)
def test_e1_points_expire_by_the_tenants_policy_in_its_calendar(
    config: dict[str, Any], expected: str | None
) -> None:
    assert ends("2026-03-01 12:00", timezone="Asia/Shanghai", **config) == expected


def test_a_rounded_expiry_is_the_tenants_midnight_and_is_exclusive() -> None:
    shop = Shop(timezone="Europe/Berlin", default_expiry_months=1, expiry_round="end_of_month")
    shop.earn("anna", 5, at=moment("2026-02-15"))
    assert shop.lots("anna")[0].expires_at == moment("2026-03-31 22:00")
    assert data_of(shop.spend("anna", 1, at=moment("2026-03-31 21:59:59.999999")))
    shop.spend("anna", 1, at=moment("2026-03-31 22:00"))
    assert shop.balance("anna") == 0


def test_e7_a_new_tenant_policy_does_not_change_existing_lots() -> None:
    shop = Shop(default_expiry_days=365)
    shop.earn("anna", 5)
    before = shop.lots("anna")[0].expires_at
    shop.configure(default_expiry_days=180)
    shop.earn("anna", 5, at=moment("2026-03-02"))
    assert before in [lot.expires_at for lot in shop.lots("anna")]


@pytest.mark.parametrize(
    "expiry",
    [
        {},
        {"days": 1, "months": 1},
        {"mode": "never", "days": 1},
        {"mode": "never", "round": "end_of_month"},
        {"mode": "fixed_date"},
        {"mode": "fixed_date", "date": "13-01"},
        {"mode": "fixed_date", "date": "02-30"},
        {"mode": "fixed_date", "date": "2026-12-31"},
        {"mode": "fixed_date", "date": "12-31", "days": 1},
        {"mode": "fixed_date", "date": "12-31", "round": "end_of_month"},
        {"days": 1, "date": "12-31"},
        {"months": 0},
        {"months": 1201},
        {"days": 1, "round": "end_of_week"},
    ],
)
def test_an_incomplete_policy_is_refused(expiry: dict[str, Any]) -> None:
    with pytest.raises(InvalidRule, match="expiry"):
        rule_from({"name": "a", "event_type": "visit", "points": 1, "expiry": expiry})
