"""A dry run tells what applying would do, and does nothing."""

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


def test_it_tells_which_rules_would_grant_what_and_why_the_others_would_not() -> None:
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
    told = would(shop)
    assert [(line.rule.body.name, line.granted, line.skipped, line.because) for line in told.lines] == [
        ("base", 5, None, None),
        ("app", 0, "condition", None),
        ("broken", 0, "error", "NOT_FOUND"),
        ("summer", 0, "window", None),
        ("units", 0, "field", "n"),
        ("good", 0, "stacking", "better"),
        ("better", 2, None, None),
        ("off", 0, "disabled", None),
    ]
    assert (told.points, told.reason, told.left_today) == (7, None, 88)
    base = told.lines[0]
    assert (base.wanted, base.held_by, base.left) == (10, "user/day/points", {"user/day/points": 5})
    assert base.as_json()["left"] == {"user/day/points": 5}
    assert "left" not in told.lines[1].as_json()


def test_it_tells_until_when_points_would_be_pending() -> None:
    shop = Shop()
    shop.rule(points=10, pending_days=14)
    shop.rule(points=5, priority=-1)
    lines = would(shop).lines
    assert [line.activates_at for line in lines] == [moment("2026-03-15 12:00"), None]
    assert lines[0].as_json()["activates_at"] == "2026-03-15T12:00:00Z"


def test_a_refusal_is_told_with_its_lines() -> None:
    shop = Shop()
    shop.rule(name="a", points=5, daily_limit=1, on_exceed="refuse")
    told = would(shop)
    assert (told.reason, told.points) == ("LIMIT_REACHED", 0)
    assert told.lines[0].held_by == "user/day/points"
    assert (would(shop, event_type="order").reason, would(shop, event_type="order").lines) == (
        "NO_MATCHING_RULE",
        (),
    )
    shop.configure(earn_enabled=False)
    assert would(shop).reason == "FEATURE_DISABLED"
    stranger = ApplyRule(tenant_id="nowhere", user_id="anna", event_type="visit")
    assert dry_run(shop.book, stranger, shop.now).reason == "TENANT_UNKNOWN"


def test_it_looks_after_what_is_due_has_expired_and_leaves_it_there() -> None:
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
def test_it_changes_nothing_and_says_what_applying_then_does(events: list[tuple[str, int, int]]) -> None:
    shop = Shop(max_balance=500, max_earn_per_day=120, default_expiry_days=9)
    shop.rule(base={"kind": "per_unit", "field": "n", "per": 3, "points": 2}, daily_limit=90, priority=5)
    shop.rule(award={"base": {"kind": "formula", "expr": "int(100 / event.n)"}}, when="account.balance < 200")
    shop.rule(points=7, valid={"weekdays": [1, 2, 3]}, limits=[{"period": "week", "unit": "times", "max": 2}])
    shop.rule(points=30, when="event.n > 100", stacking={"mode": "exclusive"})
    shop.rule(points=3, pending_days=1)
    for user_id, number, hours in events:
        shop.now = moment(f"2026-03-{1 + hours:02} {hours % 24:02}:30") if hours else shop.now
        before = deepcopy(shop.book)
        told = would(shop, user_id, metadata={"n": number})
        assert shop.book == before
        decision = shop.event(user_id, metadata={"n": number})
        assert isinstance(told.decision, Applied) == isinstance(decision, Applied)
        if isinstance(decision, Applied):
            assert told.points == data_of(decision)["points_earned"]
            granted = {line.rule.body.name: line.granted for line in told.lines if not line.skipped}
            stored = {
                line["rule"]: line["granted"] for line in decision.data["grants"] if "skipped" not in line
            }
            assert granted == stored
