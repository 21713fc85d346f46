"""Tests the nested and flat forms of rules, and errors that name the field."""

from decimal import Decimal
from typing import Any

import pytest

from pointledger.domain.program.rule import rule_as_saved, rule_from
from pointledger.domain.values.json_values import read_json
from pointledger.errors import InvalidRule

FLAT: dict[str, Any] = {"name": "per visit", "event_type": "visit", "points": 10}


@pytest.mark.parametrize(
    ("flat", "nested"),
    [
        ({"points": 10}, {"award": {"base": {"kind": "fixed", "points": 10}}}),
        (
            {"points": 10, "multiplier": "1.5"},
            {"award": {"base": {"kind": "fixed", "points": 10}, "multiplier": "1.5"}},
        ),
        (
            {"base": {"kind": "per_unit", "field": "n", "per": 100, "points": 1}, "multiplier": 2},
            {
                "award": {
                    "base": {"kind": "per_unit", "field": "n", "per": 100, "points": 1},
                    "multiplier": "2",
                }
            },
        ),
        (
            {"points": 1, "daily_limit": 300, "total_limit": 2, "total_limit_unit": "times"},
            {
                "award": {"base": {"kind": "fixed", "points": 1}},
                "limits": [
                    {"scope": "user", "period": "day", "unit": "points", "max": 300},
                    {"scope": "user", "period": "lifetime", "unit": "times", "max": 2},
                ],
            },
        ),
        (
            {"points": 1, "expiry_days": 30},
            {"award": {"base": {"kind": "fixed", "points": 1}}, "expiry": {"mode": "rolling", "days": 30}},
        ),
        (
            {"points": 1, "daily_limit": None, "total_limit": None, "expiry_days": None},
            {"award": {"base": {"kind": "fixed", "points": 1}}},
        ),
    ],
    ids=["points", "multiplier", "per unit", "limits", "expiry", "nulls"],
)
def test_the_flat_form_equals_the_nested_form(flat: dict[str, Any], nested: dict[str, Any]) -> None:
    names = {"name": "a rule", "event_type": "visit"}
    assert rule_from({**names, **flat}) == rule_from({**names, **nested})


def test_a_saved_rule_is_loaded_unchanged() -> None:
    body = rule_from(
        {**FLAT, "multiplier": "1.15", "daily_limit": 3, "daily_limit_unit": "times", "expiry_days": 9}
    )
    assert rule_from(read_json(body.model_dump_json())) == body


def test_a_rule_with_every_field_is_loaded_unchanged() -> None:
    body = rule_from(
        {
            "name": "in full",
            "event_type": "order.paid",
            "valid": {
                "from": "2026-03-01T00:00:00",
                "until": "2026-06-01T00:00:00",
                "tz": "tenant",
                "weekdays": [6, 7],
                "hours": ["10:00-22:00"],
            },
            "when": "event.amount_minor >= 10000 && event.channel == 'app'",
            "award": {
                "base": {"kind": "table", "field": "amount_minor", "brackets": [{"from": 0, "points": 0}]},
                "multiplier": "1.5",
                "rounding": "half_even",
                "min": 1,
                "max": 5000,
            },
            "stacking": {"mode": "best_of", "group": "order-base"},
            "limits": [{"scope": "user", "period": "week", "unit": "points", "max": 300}],
            "expiry": {"mode": "rolling", "months": 12, "round": "end_of_month"},
        }
    )
    assert rule_from(read_json(body.model_dump_json())) == body
    assert rule_as_saved(read_json(body.model_dump_json())) == body


def test_absent_fields_take_their_defaults() -> None:
    body = rule_from(FLAT)
    assert (body.enabled, body.priority, body.award.multiplier) == (True, 0, Decimal(1))
    assert (body.limits, body.on_exceed, body.expiry) == ((), "clamp", None)
    assert (body.when, body.valid, body.stacking.mode, body.award.rounding) == (None, None, "stack", "floor")


def test_a_multiplier_can_be_a_number_in_exact_json() -> None:
    text = '{"name": "a", "event_type": "visit", "points": 100, "multiplier": 1.15}'
    assert rule_from(read_json(text, decimals=True)).award.multiplier == Decimal("1.15")


MALFORMED_MULTIPLIERS: list[Any] = [
    1.15, True, None, "", ".", "-1", -1, "+1", " 1", "1e3", "1_0", "１", "0x1", "1.1.1", "1,5", "NaN",
    "Infinity", "1.1234567", "0." + "0" * 5000 + "1", "9" * 5000, "1000000.000001", 10**6 + 1, Decimal("NaN"),
    Decimal("Infinity"), Decimal("-0.1"), Decimal("1E+1000000"), Decimal("1E-9"), [], {},
]  # fmt: skip

MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "n" * 101}, "name"),
    ({"name": "a\x00b"}, "name"),
    ({"name": None}, "name"),
    ({"event_type": ""}, "event_type"),
    ({"event_type": "a\nb"}, "event_type"),
    ({"event_type": 5}, "event_type"),
    ({"points": -1}, "points"),
    ({"points": "10"}, "points"),
    ({"points": 1.0}, "points"),
    ({"points": True}, "points"),
    ({"points": None}, "points"),
    ({"points": 10**15 + 1}, "points"),
    ({"points": Decimal("1.0")}, "points"),
    *[({"multiplier": multiplier}, "multiplier") for multiplier in MALFORMED_MULTIPLIERS],
    ({"daily_limit": -1}, "daily_limit"),
    ({"daily_limit": "300"}, "daily_limit"),
    ({"daily_limit": 1.5}, "daily_limit"),
    ({"total_limit": True}, "total_limit"),
    ({"total_limit": 10**15 + 1}, "total_limit"),
    ({"daily_limit": 1, "daily_limit_unit": "euros"}, "daily_limit_unit"),
    ({"daily_limit": 1, "daily_limit_unit": {}}, "daily_limit_unit"),
    ({"total_limit": 1, "total_limit_unit": ""}, "total_limit_unit"),
    ({"daily_limit_unit": "euros"}, "unit"),  # also without its limit
    ({"limits": 5}, "limits"),
    ({"limits": [5]}, "limits"),
    ({"limits": [{"period": "year", "max": 1}]}, "period"),
    ({"limits": [{"period": "day", "max": 1}] * 21}, "limits"),
    ({"limits": [{"scope": "world", "period": "day", "max": 1}]}, "scope"),
    ({"limits": [{"period": "day"}]}, "max"),
    ({"limits": [{"period": "day", "max": 1, "min": 0}]}, "min"),
    ({"limits": [], "daily_limit": 1}, "limits"),
    ({"on_exceed": "explode"}, "on_exceed"),
    ({"expiry_days": 0}, "expiry_days"),
    ({"expiry_days": 36_501}, "expiry"),
    ({"expiry_days": "30"}, "expiry"),
    ({"expiry": {"mode": "lunar", "days": 1}}, "expiry"),
    ({"expiry": {"days": 1}, "expiry_days": 1}, "expiry"),
    ({"priority": 1.5}, "priority"),
    ({"priority": 10**7}, "priority"),
    ({"enabled": "yes"}, "enabled"),
    ({"enabled": 1}, "enabled"),
    ({"base": {"kind": "fixed", "points": 1}}, "points"),  # beside points
    ({"award": {"base": {"kind": "fixed", "points": 1}}}, "award"),  # beside points
    ({"rounding": "floor"}, "rounding"),
    ({"stacking": {"mode": "sum"}}, "mode"),
    ({"stacking": {"group": ""}}, "group"),
    ({"tenant_id": "shop"}, "tenant_id"),
    ({"point_type": "points"}, "point_type"),
]  # fmt: skip


def test_every_malformed_rule_names_its_field() -> None:
    unnamed = {}
    for change, field in MALFORMED:
        try:
            unnamed[str(change)[:60]] = str(rule_from({**FLAT, **change}))
        except InvalidRule as error:
            if field not in str(error).partition("(")[2]:
                unnamed[str(change)[:60]] = str(error)
    assert unnamed == {}


@pytest.mark.parametrize(
    ("base", "field"),
    [
        ({"kind": "formula", "expr": "1 +"}, "expr"),
        ({"kind": "table", "field": "n", "brackets": []}, "brackets"),
        ({"kind": "table", "field": "n", "brackets": [{"from": 1, "points": 1}] * 2}, "brackets"),
        ({"kind": "table", "field": "n", "brackets": [{"starts": 1, "points": 1}]}, "from"),
        ({"kind": "table", "field": "n", "brackets": [{"from": 1.5, "points": 1}]}, "from"),
        ({"kind": "table", "field": "n", "brackets": [{"from": 1, "points": -1}]}, "points"),
        ({"points": 1}, "base"),
        ({"kind": "fixed"}, "points"),
        ({"kind": "fixed", "points": 1, "per": 1}, "per"),
        ({"kind": "per_unit", "field": "n", "per": 0, "points": 1}, "per"),
        ({"kind": "per_unit", "field": "n", "per": -1, "points": 1}, "per"),
        ({"kind": "per_unit", "field": "n", "per": 1, "points": 0}, "points"),
        ({"kind": "per_unit", "field": "", "per": 1, "points": 1}, "field"),
        ({"kind": "per_unit", "per": 1, "points": 1}, "field"),
        (5, "base"),
        (None, "base"),
    ],
)
def test_a_malformed_base_names_its_field(base: Any, field: str) -> None:
    with pytest.raises(InvalidRule, match=field):
        rule_from({"name": "a", "event_type": "visit", "base": base})


@pytest.mark.parametrize("missing", ["name", "event_type", "points"])
def test_a_missing_required_field_is_named(missing: str) -> None:
    fields = {name: value for name, value in FLAT.items() if name != missing}
    with pytest.raises(InvalidRule, match="award" if missing == "points" else missing):
        rule_from(fields)
