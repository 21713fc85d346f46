"""Tests awards: bases, rounding, bounds, and the stacking of rules."""

from typing import Any

import pytest

from tests.domain.books import Shop, data_of, reason_of
from tests.domain.test_rules import earned

BRACKETS = [{"from": 0, "points": 0}, {"from": 1000, "points": 10}, {"from": 5000, "points": 100}]
TABLE: dict[str, Any] = {"kind": "table", "field": "amount_minor", "brackets": BRACKETS}


@pytest.mark.parametrize(
    ("amount", "points"),
    [(-1, 0), (0, 0), (999, 0), (1000, 10), (4999, 10), (5000, 100), (2**63 - 1, 100)],
)
def test_a_table_grants_the_points_of_the_bracket_that_contains_the_field(amount: int, points: int) -> None:
    assert earned({"amount_minor": amount}, base=TABLE) == points


@pytest.mark.parametrize("amount", [None, "1000", 1000.0, True])
def test_a_table_does_not_match_an_event_without_its_integer(amount: Any) -> None:
    shop = Shop()
    shop.rule(base=TABLE)
    assert reason_of(shop.event("anna", metadata={"amount_minor": amount})) == "NO_MATCHING_RULE"


@pytest.mark.parametrize(
    ("points", "multiplier", "floor", "ceil", "half_up", "half_even"),
    [
        (100, "1.15", 115, 115, 115, 115),  # A1
        (7, "1.1", 7, 8, 8, 8),
        (10, "1.05", 10, 11, 11, 10),
        (10, "1.15", 11, 12, 12, 12),
        (5, "1.69", 8, 9, 8, 8),
        (1, "0.5", 0, 1, 1, 0),
        (3, "0.5", 1, 2, 2, 2),
        (1, "0.500001", 0, 1, 1, 1),
        (1, "0.499999", 0, 1, 0, 0),
        (0, "1.5", 0, 0, 0, 0),
    ],
)
def test_a1_points_are_rounded_once_by_the_rules_mode(
    points: int, multiplier: str, floor: int, ceil: int, half_up: int, half_even: int
) -> None:
    base = {"kind": "fixed", "points": points}
    ways = ("floor", "ceil", "half_up", "half_even")
    found = [earned(award={"base": base, "multiplier": multiplier, "rounding": way}) for way in ways]
    assert found == [floor, ceil, half_up, half_even]


def test_an_award_is_clamped_between_min_and_max_after_rounding() -> None:
    base = {"kind": "per_unit", "field": "n", "per": 1, "points": 1}
    award = {"base": base, "multiplier": "1.5", "min": 5, "max": 20}
    assert [earned({"n": n}, award=award) for n in (-9, 0, 3, 4, 13, 14, 99)] == [5, 5, 5, 6, 19, 20, 20]


def test_a2_a_negative_award_is_zero_and_is_applied() -> None:
    shop = Shop()
    shop.rule(award={"base": {"kind": "formula", "expr": "-50"}})
    data = data_of(shop.event("anna"))
    assert (data["points_earned"], data["transactions"], shop.balance("anna")) == (0, [], 0)


# -------------------------------------------------------------------------------------------- stacking


def grants_by_rule(shop: Shop, **metadata: Any) -> dict[str, Any]:
    """Return, per rule, the points it granted or the rule that won instead."""
    grants = data_of(shop.event("anna", metadata=metadata))["grants"]
    return {line["rule"]: line.get("granted", line.get("detail")) for line in grants}


def rules(shop: Shop, mode: str, group: str | None = None, **points: int) -> None:
    """Add rules of falling priority with the given points."""
    for position, (name, wanted) in enumerate(points.items()):
        stacking = {"mode": mode} | ({"group": group} if group else {})
        shop.rule(name=name, points=wanted, priority=-position, stacking=stacking)


def test_rules_that_stack_all_grant() -> None:
    shop = Shop()
    rules(shop, "stack", a=1, b=2, c=3)
    assert grants_by_rule(shop) == {"a": 1, "b": 2, "c": 3}


def test_only_the_exclusive_rule_of_highest_priority_grants() -> None:
    shop = Shop()
    rules(shop, "exclusive", a=1, b=2)
    assert grants_by_rule(shop) == {"a": 1, "b": "a"}


def test_an_exclusive_rule_skips_the_other_rules_of_its_group_at_any_priority() -> None:
    shop = Shop()
    shop.rule(name="stacks", points=5, priority=9)
    shop.rule(name="best", points=7, priority=8, stacking={"mode": "best_of"})
    rules(shop, "exclusive", alone=1)
    assert grants_by_rule(shop) == {"alone": 1, "stacks": "alone", "best": "alone"}


def test_the_oldest_of_equal_exclusive_rules_grants() -> None:
    shop = Shop()
    for name in ("old", "new"):
        shop.rule(name=name, points=1, stacking={"mode": "exclusive"})
    assert grants_by_rule(shop) == {"old": 1, "new": "old"}


def test_the_best_of_rule_with_the_highest_award_grants_and_so_do_stack_rules() -> None:
    shop = Shop()
    rules(shop, "best_of", a=1, b=3, c=2)
    shop.rule(name="stacks", points=5)
    assert grants_by_rule(shop) == {"b": 3, "stacks": 5, "a": "b", "c": "b"}


def test_equal_best_of_rules_are_ordered_by_priority_then_age() -> None:
    shop = Shop()
    shop.rule(name="late", points=3, priority=1, stacking={"mode": "best_of"})
    shop.rule(name="first", points=3, priority=2, stacking={"mode": "best_of"})
    shop.rule(name="later", points=3, priority=2, stacking={"mode": "best_of"})
    assert grants_by_rule(shop) == {"first": 3, "late": "first", "later": "first"}


def test_groups_are_independent() -> None:
    shop = Shop()
    rules(shop, "exclusive", "x", a=1, b=2)
    rules(shop, "best_of", "y", c=3, d=4)
    shop.rule(name="none", points=5)
    assert grants_by_rule(shop) == {"a": 1, "d": 4, "none": 5, "b": "a", "c": "d"}


def test_a_rule_that_does_not_match_does_not_win() -> None:
    shop = Shop()
    shop.rule(name="app", points=9, priority=5, when="has(event.app)", stacking={"mode": "exclusive"})
    rules(shop, "exclusive", a=1)
    assert grants_by_rule(shop) == {"a": 1, "app": None}
    assert grants_by_rule(shop, app=True) == {"app": 9, "a": "app"}


def test_a_rule_whose_limit_is_reached_still_wins() -> None:
    shop = Shop()
    shop.rule(name="best", points=9, daily_limit=9, stacking={"mode": "best_of"})
    rules(shop, "best_of", a=1)
    assert grants_by_rule(shop) == {"best": 9, "a": "best"}
    assert grants_by_rule(shop) == {"best": 0, "a": "best"}


def test_an_exclusive_rule_of_no_points_skips_the_other_rules() -> None:
    shop = Shop()
    rules(shop, "exclusive", none=0)
    shop.rule(name="a", points=5)
    assert grants_by_rule(shop) == {"none": 0, "a": "none"}
    assert shop.balance("anna") == 0
