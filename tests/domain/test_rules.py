"""From an event to points: exact arithmetic, one rounding down, and every malformed rule named."""

from decimal import Decimal
from typing import Any

import pytest

from pointledger.domain.program.rule import Rule, RuleBody, Rules, rule_as_saved, rule_from
from pointledger.domain.values.json_values import read_json
from pointledger.errors import InvalidRule
from tests.domain.books import Shop, data_of, moment, reason_of

FLAT: dict[str, Any] = {"name": "per visit", "event_type": "visit", "points": 10}


def earned(metadata: dict[str, Any] | None = None, **rule: Any) -> int:
    """What one rule alone grants for an event."""
    shop = Shop()
    shop.rule(**rule)
    return int(data_of(shop.event("anna", metadata=metadata or {}))["points_earned"])


@pytest.mark.parametrize(
    ("points", "multiplier", "granted"),
    [
        (100, "1.15", 115),  # 114 in binary floats
        (7, "1.1", 7),
        (10, "1.5", 15),
        (5, "1.69", 8),
        (3, "0.333333", 0),
        (3, "0.333334", 1),
        (1, "0.999999", 0),
        (1000, "0", 0),
        (0, "1.5", 0),
        (29, "1.000000", 29),
        (100, 2, 200),
        (10**15, "1", 10**15),
        (10**15, "1000000", 10**15),  # the most that one command may grant
        (999_999_999_999_999, "1.000001", 10**15),
        (123_456_789_012_345, "1.1", 135_802_467_913_579),
    ],
)
def test_points_are_the_product_rounded_down_once(points: int, multiplier: str | int, granted: int) -> None:
    assert earned(points=points, multiplier=multiplier) == granted


@pytest.mark.parametrize(
    ("units", "granted"),
    [
        (0, 0),
        (99, 0),
        (100, 2),
        (199, 2),
        (200, 4),
        (1999, 38),
        (-1, 0),
        (-1000, 0),
        (2**53 + 1, 180143985094818),
    ],
)
def test_per_unit_counts_whole_units(units: int, granted: int) -> None:
    base = {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 2}
    assert earned({"amount_minor": units}, base=base) == granted


def test_per_unit_is_floored_before_it_is_multiplied_and_once_more_at_the_end() -> None:
    base = {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1}
    assert earned({"amount_minor": 399}, base=base, multiplier="1.5") == 4


def test_an_amount_beyond_all_bounds_is_granted_up_to_the_most() -> None:
    base = {"kind": "per_unit", "field": "n", "per": 1, "points": 10**15}
    assert earned({"n": 2**63 - 1}, base=base, multiplier="1000000") == 10**15


@pytest.mark.parametrize("units", [None, "100", 100.0, True, [100], {"$gt": 0}])
def test_a_field_that_is_no_integer_is_not_counted(units: Any) -> None:
    shop = Shop()
    shop.rule(base={"kind": "per_unit", "field": "n", "per": 1, "points": 1})
    assert reason_of(shop.event("anna", metadata={"n": units})) == "NO_MATCHING_RULE"


def test_a_rule_that_counts_a_field_does_not_match_an_event_without_it() -> None:
    shop = Shop()
    shop.rule(base={"kind": "per_unit", "field": "n", "per": 1, "points": 1})
    assert reason_of(shop.event("anna", metadata={"m": 5})) == "NO_MATCHING_RULE"
    shop.rule(points=3)
    assert data_of(shop.event("anna", metadata={"m": 5}))["points_earned"] == 3


def test_an_award_of_nothing_is_applied_without_an_entry() -> None:
    shop = Shop()
    shop.rule(points=0)
    data = data_of(shop.event("anna"))
    assert (data["points_earned"], data["transactions"], shop.entries("anna")) == (0, [], [])


def test_every_matching_rule_grants_with_an_entry_of_its_own() -> None:
    shop = Shop()
    shop.rule(name="low", points=1)
    shop.rule(name="high", points=10, priority=5)
    shop.rule(name="other event", event_type="order", points=100)
    shop.rule(name="off", points=1000, enabled=False)
    data = data_of(shop.event("anna"))
    assert [(grant["rule"], grant["granted"]) for grant in data["grants"]] == [("high", 10), ("low", 1)]
    assert data["points_earned"] == shop.balance("anna") == 11
    assert shop.told("anna") == [("rule", 10), ("rule", 1)]


def test_rules_of_one_priority_are_tried_from_the_oldest() -> None:
    shop = Shop()
    for name in ("first", "second", "third"):
        shop.rule(name=name, points=1)
    assert [grant["rule"] for grant in data_of(shop.event("anna"))["grants"]] == ["first", "second", "third"]


def test_an_event_type_is_compared_letter_by_letter() -> None:
    shop = Shop()
    shop.rule("visit", points=1)
    for event_type in ("Visit", "visit ", "visi", "visit%"):
        assert reason_of(shop.event("anna", event_type)) == "NO_MATCHING_RULE"


def test_a_tenant_without_rules_grants_nothing_and_opens_no_account() -> None:
    shop = Shop()
    assert reason_of(shop.event("anna")) == "NO_MATCHING_RULE"
    assert shop.book.accounts == {}


# -------------------------------------------------------------------------------------------- the forms


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
def test_the_flat_form_is_the_nested_one_written_shorter(
    flat: dict[str, Any], nested: dict[str, Any]
) -> None:
    names = {"name": "a rule", "event_type": "visit"}
    assert rule_from({**names, **flat}) == rule_from({**names, **nested})


def test_a_rule_that_was_saved_is_read_back_as_it_was() -> None:
    body = rule_from(
        {**FLAT, "multiplier": "1.15", "daily_limit": 3, "daily_limit_unit": "times", "expiry_days": 9}
    )
    assert rule_from(read_json(body.model_dump_json())) == body


def test_a_rule_in_full_is_read_back_as_it_was() -> None:
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


def test_what_is_left_out_takes_its_default() -> None:
    body = rule_from(FLAT)
    assert (body.enabled, body.priority, body.award.multiplier) == (True, 0, Decimal(1))
    assert (body.limits, body.on_exceed, body.expiry) == ((), "clamp", None)
    assert (body.when, body.valid, body.stacking.mode, body.award.rounding) == (None, None, "stack", "floor")


def test_a_multiplier_may_be_a_number_where_json_is_read_exactly() -> None:
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
    ({"daily_limit_unit": "euros"}, "unit"),  # also where no limit goes with it
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
def test_what_a_rule_must_say_is_asked_for(missing: str) -> None:
    fields = {name: value for name, value in FLAT.items() if name != missing}
    with pytest.raises(InvalidRule, match="award" if missing == "points" else missing):
        rule_from(fields)


# --------------------------------------------------------------------------------------------- versions


def test_l10_an_event_finds_the_version_that_was_in_force_when_it_happened() -> None:
    shop = Shop(now=moment("2026-03-10"))
    shop.rule(name="a", points=1)
    shop.rule(name="a", points=2, in_force_from=moment("2026-03-01"))
    shop.rule(name="a", points=3, in_force_from=moment("2026-03-05"))
    granted = []
    for occurred_at in ("1999-01-01", "2026-02-28 23:59:59.999999", "2026-03-01", "2026-03-04", "2026-03-05"):
        data = data_of(shop.event("anna", occurred_at=moment(occurred_at)))
        granted.append((data["grants"][0]["rule_version"], data["points_earned"]))
    assert granted == [(1, 1), (1, 1), (2, 2), (2, 2), (3, 3)]


def test_an_entry_remembers_the_rule_and_the_version_that_granted_it() -> None:
    shop = Shop()
    shop.rule(name="a", points=1)
    second = shop.rule(name="a", points=2, in_force_from=moment("2026-01-01"))
    shop.event("anna")
    assert shop.entries("anna")[0].rule is second


def test_a_rule_that_was_switched_off_still_grants_for_what_happened_before() -> None:
    shop = Shop()
    shop.rule(name="a", points=1)
    shop.rule(name="a", points=1, enabled=False, in_force_from=moment("2026-02-01"))
    assert data_of(shop.event("anna", occurred_at=moment("2026-01-31")))["points_earned"] == 1
    assert reason_of(shop.event("anna")) == "NO_MATCHING_RULE"


def test_a_rule_may_change_its_event_type_with_a_version() -> None:
    shop = Shop()
    shop.rule("visit", name="a", points=1)
    shop.rule("order", name="a", points=2, in_force_from=moment("2026-02-01"))
    assert reason_of(shop.event("anna", "visit")) == "NO_MATCHING_RULE"
    assert data_of(shop.event("anna", "order"))["points_earned"] == 2


def test_the_order_in_which_versions_are_known_does_not_matter() -> None:
    shop = Shop()
    versions: list[Rule] = [
        shop.rule(name="a", points=1),
        shop.rule(name="a", points=2, in_force_from=moment("2026-02-01")),
        shop.rule(name="b", points=3, priority=1),
    ]
    for known in (versions, versions[::-1]):
        found: list[RuleBody] = [
            rule.body for rule in Rules(tuple(known)).for_event("visit", moment("2026-03-01"))
        ]
        assert [body.name for body in found] == ["b", "a"]
        assert found[1] == versions[1].body
