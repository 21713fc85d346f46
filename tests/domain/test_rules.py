"""Tests rules: exact arithmetic, one rounding, and errors that name the field."""

from typing import Any

import pytest

from pointledger.domain.program.rule import Rule, RuleBody
from pointledger.domain.program.rules import Rules
from tests.domain.books import Shop, data_of, moment, reason_of


def earned(metadata: dict[str, Any] | None = None, **rule: Any) -> int:
    """Return the points that one rule grants for an event."""
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
        (10**15, "1000000", 10**15),  # the maximum of one command
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


def test_per_unit_is_floored_before_the_multiplier_and_again_at_the_end() -> None:
    base = {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1}
    assert earned({"amount_minor": 399}, base=base, multiplier="1.5") == 4


def test_an_oversized_award_is_clamped_to_the_maximum_amount() -> None:
    base = {"kind": "per_unit", "field": "n", "per": 1, "points": 10**15}
    assert earned({"n": 2**63 - 1}, base=base, multiplier="1000000") == 10**15


@pytest.mark.parametrize("units", [None, "100", 100.0, True, [100], {"$gt": 0}])
def test_a_field_that_is_not_an_integer_does_not_count(units: Any) -> None:
    shop = Shop()
    shop.rule(base={"kind": "per_unit", "field": "n", "per": 1, "points": 1})
    assert reason_of(shop.event("anna", metadata={"n": units})) == "NO_MATCHING_RULE"


def test_a_rule_that_counts_a_field_does_not_match_an_event_without_it() -> None:
    shop = Shop()
    shop.rule(base={"kind": "per_unit", "field": "n", "per": 1, "points": 1})
    assert reason_of(shop.event("anna", metadata={"m": 5})) == "NO_MATCHING_RULE"
    shop.rule(points=3)
    assert data_of(shop.event("anna", metadata={"m": 5}))["points_earned"] == 3


def test_an_award_of_zero_is_applied_without_an_entry() -> None:
    shop = Shop()
    shop.rule(points=0)
    data = data_of(shop.event("anna"))
    assert (data["points_earned"], data["transactions"], shop.entries("anna")) == (0, [], [])


def test_every_matching_rule_grants_with_its_own_entry() -> None:
    shop = Shop()
    shop.rule(name="low", points=1)
    shop.rule(name="high", points=10, priority=5)
    shop.rule(name="other event", event_type="order", points=100)
    shop.rule(name="off", points=1000, enabled=False)
    data = data_of(shop.event("anna"))
    assert [(grant["rule"], grant["granted"]) for grant in data["grants"]] == [("high", 10), ("low", 1)]
    assert data["points_earned"] == shop.balance("anna") == 11
    assert shop.history("anna") == [("rule", 10), ("rule", 1)]


def test_rules_of_equal_priority_grant_oldest_first() -> None:
    shop = Shop()
    for name in ("first", "second", "third"):
        shop.rule(name=name, points=1)
    assert [grant["rule"] for grant in data_of(shop.event("anna"))["grants"]] == ["first", "second", "third"]


def test_event_types_are_case_sensitive() -> None:
    shop = Shop()
    shop.rule("visit", points=1)
    for event_type in ("Visit", "visit ", "visi", "visit%"):
        assert reason_of(shop.event("anna", event_type)) == "NO_MATCHING_RULE"


def test_a_tenant_without_rules_grants_nothing_and_opens_no_account() -> None:
    shop = Shop()
    assert reason_of(shop.event("anna")) == "NO_MATCHING_RULE"
    assert shop.book.accounts == {}


# --------------------------------------------------------------------------------------------- versions


def test_l10_an_event_uses_the_version_in_force_when_it_happened() -> None:
    shop = Shop(now=moment("2026-03-10"))
    shop.rule(name="a", points=1)
    shop.rule(name="a", points=2, in_force_from=moment("2026-03-01"))
    shop.rule(name="a", points=3, in_force_from=moment("2026-03-05"))
    granted = []
    for occurred_at in ("1999-01-01", "2026-02-28 23:59:59.999999", "2026-03-01", "2026-03-04", "2026-03-05"):
        data = data_of(shop.event("anna", occurred_at=moment(occurred_at)))
        granted.append((data["grants"][0]["rule_version"], data["points_earned"]))
    assert granted == [(1, 1), (1, 1), (2, 2), (2, 2), (3, 3)]


def test_an_entry_names_the_rule_and_the_version_that_granted_it() -> None:
    shop = Shop()
    shop.rule(name="a", points=1)
    second = shop.rule(name="a", points=2, in_force_from=moment("2026-01-01"))
    shop.event("anna")
    assert shop.entries("anna")[0].rule is second


def test_a_disabled_rule_still_grants_for_earlier_events() -> None:
    shop = Shop()
    shop.rule(name="a", points=1)
    shop.rule(name="a", points=1, enabled=False, in_force_from=moment("2026-02-01"))
    assert data_of(shop.event("anna", occurred_at=moment("2026-01-31")))["points_earned"] == 1
    assert reason_of(shop.event("anna")) == "NO_MATCHING_RULE"


def test_a_new_version_can_change_a_rules_event_type() -> None:
    shop = Shop()
    shop.rule("visit", name="a", points=1)
    shop.rule("order", name="a", points=2, in_force_from=moment("2026-02-01"))
    assert reason_of(shop.event("anna", "visit")) == "NO_MATCHING_RULE"
    assert data_of(shop.event("anna", "order"))["points_earned"] == 2


def test_the_order_of_versions_does_not_matter() -> None:
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
