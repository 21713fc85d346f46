"""Tests how one batch decides about shared limits, of scope `rule` and `tenant`.

`tests/engine/test_shared_limits.py` tests concurrent lanes.
"""

from typing import Any

import pytest

from pointledger.client.queries.dry_run import dry_run
from pointledger.domain.commands import ApplyRule, Clawback
from pointledger.domain.program.limits import LIFETIME_STARTS_ON, SharedUsage
from tests.domain.books import SHOP, Shop, data_of, moment, reason_of

PER_UNIT = {"kind": "per_unit", "field": "n", "per": 1, "points": 1}


def limit(scope: str, most: int, period: str = "day", unit: str = "points") -> dict[str, Any]:
    return {"scope": scope, "period": period, "unit": unit, "max": most}


def granted(shop: Shop, user_id: str, n: int, **event: Any) -> int:
    return int(data_of(shop.event(user_id, metadata={"n": n}, **event))["points_earned"])


def shared(shop: Shop) -> list[SharedUsage]:
    return [used for used in shop.book.usage.values() if isinstance(used, SharedUsage)]


def test_a_rule_limit_counts_grants_to_all_users() -> None:
    shop = Shop()
    shop.rule(base=PER_UNIT, limits=[limit("rule", 10)])
    assert [granted(shop, "anna", 7), granted(shop, "ben", 7), granted(shop, "cleo", 7)] == [7, 3, 0]


def test_a_tenant_limit_is_shared_only_by_the_rules_that_have_it() -> None:
    shop = Shop()
    shop.rule("a", base=PER_UNIT, limits=[limit("tenant", 10)])
    shop.rule("b", base=PER_UNIT, limits=[limit("tenant", 10)])
    shop.rule("c", base=PER_UNIT)
    events = (("c", 100), ("a", 6), ("b", 6), ("c", 100), ("a", 1))
    assert [granted(shop, "anna", n, event_type=kind) for kind, n in events] == [100, 6, 4, 100, 0]


def test_rules_that_share_a_budget_each_stop_at_their_own_maximum() -> None:
    shop = Shop()
    shop.rule("early", base=PER_UNIT, limits=[limit("tenant", 10)])
    shop.rule("late", base=PER_UNIT, limits=[limit("tenant", 15)])
    events = (("late", 8), ("early", 8), ("late", 8), ("early", 1))
    assert [granted(shop, "anna", n, event_type=kind) for kind, n in events] == [8, 2, 5, 0]


def test_one_event_under_two_rules_counts_twice_in_their_budget() -> None:
    shop = Shop()
    shop.rule(name="a", base=PER_UNIT, limits=[limit("tenant", 3, unit="times")], priority=1)
    shop.rule(name="b", base=PER_UNIT, limits=[limit("tenant", 3, unit="times")])
    assert [granted(shop, "anna", 5), granted(shop, "ben", 5)] == [10, 5]


def test_the_tightest_of_several_limits_is_named() -> None:
    shop = Shop()
    limits = [limit("user", 30), limit("rule", 8), limit("tenant", 9), limit("rule", 5, "lifetime", "times")]
    shop.rule(base=PER_UNIT, limits=limits)
    (grant,) = data_of(shop.event("anna", metadata={"n": 20}))["grants"]
    assert (grant["wanted"], grant["granted"], grant["limited_by"]) == (20, 8, "rule/day/points")


def test_a_refusing_rule_refuses_over_a_shared_limit() -> None:
    shop = Shop()
    shop.rule(base=PER_UNIT, limits=[limit("rule", 10)], on_exceed="refuse")
    granted(shop, "anna", 7)
    assert reason_of(shop.event("ben", metadata={"n": 4})) == "LIMIT_REACHED"
    assert granted(shop, "ben", 3) == 3


@pytest.mark.parametrize(
    ("period", "at", "expected"),
    [
        ("day", ("2026-03-01 15:59:59", "2026-03-01 16:00", "2026-03-02 15:59:59"), [10, 10, 0]),
        ("week", ("2026-03-01 15:59:59", "2026-03-01 16:00", "2026-03-08 15:59:59"), [10, 10, 0]),
        ("month", ("2026-02-28 15:59:59", "2026-02-28 16:00", "2026-03-31 15:59:59"), [10, 10, 0]),
        ("lifetime", ("2026-02-28", "2026-03-01", "2036-03-01"), [10, 0, 0]),
    ],
)
def test_a_shared_window_is_in_the_tenants_calendar(
    period: str, at: tuple[str, ...], expected: list[int]
) -> None:
    shop = Shop(timezone="Asia/Shanghai")
    shop.rule(base=PER_UNIT, limits=[limit("tenant", 10, period)])
    users = zip(("anna", "ben", "cleo"), at, strict=True)
    assert [granted(shop, user, 10, at=moment(text)) for user, text in users] == expected


def test_an_event_of_yesterday_counts_in_yesterdays_budget() -> None:
    shop = Shop()
    shop.rule(base=PER_UNIT, limits=[limit("tenant", 10)])
    yesterday = moment("2026-02-28 12:00")
    assert [granted(shop, "anna", 10), granted(shop, "ben", 10, occurred_at=yesterday)] == [10, 10]
    assert [granted(shop, "ben", 1), granted(shop, "anna", 1, occurred_at=yesterday)] == [0, 0]


def test_a_new_version_continues_the_count_with_its_own_maximum() -> None:
    shop = Shop()
    shop.rule(name="a", base=PER_UNIT, limits=[limit("rule", 10)])
    granted(shop, "anna", 8)
    for most, expected in ((20, 12), (15, 0)):
        at = moment(f"2026-02-{most}")
        shop.rule(name="a", base=PER_UNIT, limits=[limit("rule", most)], in_force_from=at)
        if expected:
            assert granted(shop, "ben", 100) == expected
    assert granted(shop, "ben", 100) == 0


def test_a_limit_counts_from_the_version_that_introduces_it() -> None:
    shop = Shop()
    shop.rule(name="a", base=PER_UNIT)
    granted(shop, "anna", 80)
    shop.rule(name="a", base=PER_UNIT, limits=[limit("rule", 10)], in_force_from=moment("2026-02-01"))
    assert [granted(shop, "ben", 7), granted(shop, "ben", 7)] == [7, 3]


def test_l11_a_clawback_on_the_same_day_releases_a_shared_limit() -> None:
    shop = Shop()
    shop.rule(base=PER_UNIT, limits=[limit("rule", 10), limit("tenant", 10)])
    granted(shop, "anna", 10)
    data_of(shop.clawback("anna", shop.last_entry("anna"), amount=4))
    assert [granted(shop, "ben", 9), granted(shop, "ben", 9)] == [4, 0]


@pytest.mark.parametrize(
    "kept", [limit("rule", 10, "week"), limit("tenant", 10, "lifetime"), limit("rule", 1, unit="times")]
)
def test_l11_other_shared_limits_are_never_released(kept: dict[str, Any]) -> None:
    shop = Shop()
    shop.rule(base=PER_UNIT, limits=[kept])
    granted(shop, "anna", 10)
    data_of(shop.clawback("anna", shop.last_entry("anna")))
    assert granted(shop, "ben", 1) == 0


def test_l11_a_clawback_on_a_later_day_does_not_release_a_budget() -> None:
    shop = Shop()
    shop.rule(base=PER_UNIT, limits=[limit("tenant", 10)])
    first = moment("2026-03-01 12:00")
    granted(shop, "anna", 10, at=first)
    data_of(shop.clawback("anna", shop.last_entry("anna"), at=moment("2026-03-02 00:00")))
    assert granted(shop, "ben", 1, occurred_at=first) == 0


def test_a_dry_run_shows_the_rest_of_a_shared_limit_and_uses_none() -> None:
    shop = Shop()
    shop.rule(base=PER_UNIT, limits=[limit("tenant", 10), limit("rule", 3, "lifetime", "times")])
    granted(shop, "anna", 7)
    command = ApplyRule(tenant_id=SHOP, user_id="ben", event_type="visit", metadata={"n": 5})
    for _ in range(2):
        (line,) = dry_run(shop.book, command, shop.now).lines
        assert (line.granted, line.limited_by) == (3, "tenant/day/points")
        assert line.left == {"tenant/day/points": 3, "rule/lifetime/times": 2}
    assert granted(shop, "ben", 5) == 3


def test_the_bound_for_other_batches_is_the_room_that_every_grant_leaves() -> None:
    """Storage compares this bound with the counter at the end of the batch."""
    shop = Shop()
    shop.rule("a", base=PER_UNIT, limits=[limit("tenant", 100), limit("tenant", 5, unit="times")])
    shop.rule("b", base=PER_UNIT, limits=[limit("tenant", 30)])
    granted(shop, "anna", 10, event_type="a")
    (used,) = shared(shop)
    assert (used.most_points, used.most_times) == (90, 4)
    granted(shop, "anna", 10, event_type="b")
    assert (used.most_points, used.most_times) == (10, 4)
    granted(shop, "ben", 10, event_type="a")
    assert (used.most_points, used.most_times) == (10, 2)
    granted(shop, "ben", 50, event_type="b")  # grants 0: 30 are used
    assert (used.points, used.times, used.most_points) == (30, 3, 10)


def test_a_clamped_grant_leaves_no_room_for_other_batches() -> None:
    shop = Shop()
    shop.rule(base=PER_UNIT, limits=[limit("tenant", 100)])
    window = next(iter(shop.read_set(_visit("anna")).windows))
    shop.book.usage[window] = SharedUsage(95, 9, points_before=95, times_before=9)
    assert granted(shop, "anna", 10) == 5
    (used,) = shared(shop)
    assert used.most_points == 95, "the decision holds for at most this count"


def test_the_read_set_has_every_shared_window_of_a_command() -> None:
    shop = Shop()
    limits = [limit(scope, 100, period) for scope in ("rule", "tenant") for period in ("day", "lifetime")]
    shop.rule(base=PER_UNIT, limits=limits)
    command = _visit("anna")
    data_of(shop.apply(command))
    assert shop.read_set(command).windows == set(shop.book.usage)
    taken = Clawback(tenant_id=SHOP, user_id="anna", related_id=shop.last_entry("anna").id)
    data_of(shop.apply(taken))
    days = {window for window in shop.book.usage if window.starts_on != LIFETIME_STARTS_ON}
    assert shop.read_set(taken).windows == days


def _visit(user_id: str) -> ApplyRule:
    return ApplyRule(tenant_id=SHOP, user_id=user_id, event_type="visit", metadata={"n": 5})
