"""Tests that a dry run predicts the decision and changes nothing."""

from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pointledger.client.queries.dry_run import DryRun, dry_run
from pointledger.domain.commands import ApplyRule
from pointledger.domain.commands.outcomes import Applied
from tests.domain.books import SHOP, Shop, data_of, moment


def would(shop: Shop, user_id: str = "anna", event_type: str = "visit", **more: Any) -> DryRun:
    command = ApplyRule(tenant_id=SHOP, user_id=user_id, event_type=event_type, **more)
    return dry_run(shop.book, command, shop.now)


def test_a_dry_run_shows_the_grants_and_the_skipped_rules() -> None:
    shop = Shop(max_earn_per_day=100)
    shop.rule(name="base", points=10, daily_limit=15, priority=9)
    shop.rule(name="app", points=5, when="has(event.app)", priority=8)
    shop.rule(name="broken", points=5, when="event.app == 1", priority=7)
    shop.rule(name="summer", points=5, valid={"from": "2026-06-01T00:00:00"}, priority=6)
    shop.rule(name="units", base={"kind": "per_unit", "field": "n", "per": 1, "points": 1}, priority=5)
    shop.rule(name="good", points=1, stacking={"mode": "best_of", "group": "x"}, priority=4)
    shop.rule(name="better", points=2, stacking={"mode": "best_of", "group": "x"}, priority=3)
    shop.rule(name="off", points=5, enabled=False)
    shop.rule("order", name="other event", points=5)
    shop.event("anna")
    result = would(shop)
    assert [(line.rule.body.name, line.granted, line.skipped, line.detail) for line in result.lines] == [
        ("base", 5, None, None),
        ("app", 0, "condition", None),
        ("broken", 0, "error", "NOT_FOUND"),
        ("summer", 0, "window", None),
        ("units", 0, "field", "n"),
        ("good", 0, "stacking", "better"),
        ("better", 2, None, None),
        ("off", 0, "disabled", None),
    ]
    assert (result.points, result.reason, result.left_today) == (7, None, 88)
    base = result.lines[0]
    assert (base.wanted, base.limited_by, base.left) == (10, "user/day/points", {"user/day/points": 5})
    assert base.as_json()["left"] == {"user/day/points": 5}
    assert "left" not in result.lines[1].as_json()


def test_a_dry_run_shows_when_pending_points_activate() -> None:
    shop = Shop()
    shop.rule(points=10, pending_days=14)
    shop.rule(points=5, priority=-1)
    lines = would(shop).lines
    assert [line.activates_at for line in lines] == [moment("2026-03-15 12:00"), None]
    assert lines[0].as_json()["activates_at"] == "2026-03-15T12:00:00Z"


def test_a_refused_dry_run_shows_its_lines() -> None:
    shop = Shop()
    shop.rule(name="a", points=5, daily_limit=1, on_exceed="refuse")
    result = would(shop)
    assert (result.reason, result.points) == ("LIMIT_REACHED", 0)
    assert result.lines[0].limited_by == "user/day/points"
    assert (would(shop, event_type="order").reason, would(shop, event_type="order").lines) == (
        "NO_MATCHING_RULE",
        (),
    )
    shop.configure(earn_enabled=False)
    assert would(shop).reason == "FEATURE_DISABLED"
    unknown = ApplyRule(tenant_id="nowhere", user_id="anna", event_type="visit")
    assert dry_run(shop.book, unknown, shop.now).reason == "TENANT_UNKNOWN"


def test_a_dry_run_sees_due_points_as_expired_and_does_not_expire_them() -> None:
    shop = Shop()
    shop.rule(points=1, when="account.balance == 0")
    shop.earn("anna", 5, expires_at=moment("2026-03-02"))
    shop.now = moment("2026-03-02")
    assert would(shop).points == 1
    assert shop.balance("anna") == 5


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["anna", "ben"]), st.integers(-50, 400), st.integers(0, 30)), max_size=8
    )
)
def test_a_dry_run_changes_nothing_and_predicts_the_decision(events: list[tuple[str, int, int]]) -> None:
    shop = Shop(max_balance=500, max_earn_per_day=120, default_expiry_days=9)
    shop.rule(base={"kind": "per_unit", "field": "n", "per": 3, "points": 2}, daily_limit=90, priority=5)
    shop.rule(award={"base": {"kind": "formula", "expr": "int(100 / event.n)"}}, when="account.balance < 200")
    shop.rule(points=7, valid={"weekdays": [1, 2, 3]}, limits=[{"period": "week", "unit": "times", "max": 2}])
    shop.rule(points=30, when="event.n > 100", stacking={"mode": "exclusive"})
    shop.rule(points=3, pending_days=1)
    for user_id, number, hours in events:
        shop.now = moment(f"2026-03-{1 + hours:02} {hours % 24:02}:30") if hours else shop.now
        before = deepcopy(shop.book)
        result = would(shop, user_id, metadata={"n": number})
        assert shop.book == before
        decision = shop.event(user_id, metadata={"n": number})
        assert isinstance(result.decision, Applied) == isinstance(decision, Applied)
        if isinstance(decision, Applied):
            assert result.points == data_of(decision)["points_earned"]
            granted = {line.rule.body.name: line.granted for line in result.lines if not line.skipped}
            stored = {
                line["rule"]: line["granted"] for line in decision.data["grants"] if "skipped" not in line
            }
            assert granted == stored
