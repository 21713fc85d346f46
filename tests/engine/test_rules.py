"""Rules on a real ledger: saved, read back, and decided by a worker."""

from datetime import UTC, datetime
from typing import Any

from pointledger import ApplyRule, Earn
from pointledger.client.queries.dry_run import dry_run
from pointledger.domain.commands.accepted import Accepted
from pointledger.storage.database import rows
from pointledger.storage.ledger import book
from pointledger.storage.ledger.program import Programs
from tests.ledger import Ledger, data_of

SUNDAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def order(user_id: str = "anna", at: datetime = SUNDAY, **metadata: Any) -> ApplyRule:
    return ApplyRule(tenant_id="shop", user_id=user_id, event_type="order", occurred_at=at, metadata=metadata)


def program(ledger: Ledger) -> None:
    """Save rules of every form."""
    ledger.tenant(timezone="Europe/Berlin", default_expiry_months=1, expiry_round="end_of_month")
    orders = {"event_type": "order"}
    ledger.rule(
        **orders,
        name="app on weekends",
        priority=9,
        valid={"weekdays": [6, 7], "hours": ["10:00-22:00"]},
        when="has(event.app) && event.app == true && account.balance < 1000",
        award={"base": {"kind": "formula", "expr": "event.amount_minor / 100"}, "multiplier": "1.5"},
        stacking={"mode": "best_of", "group": "orders"},
        limits=[{"period": "week", "max": 100}, {"period": "month", "unit": "times", "max": 3}],
        expiry={"mode": "fixed_date", "date": "12-31"},
    )
    ledger.rule(
        **orders,
        name="by size",
        base={"kind": "table", "field": "amount_minor", "brackets": [{"from": 5000, "points": 20}]},
        stacking={"mode": "best_of", "group": "orders"},
    )
    ledger.rule(**orders, name="typo", points=1000, when="event.amonut > 5")


def test_an_outcome_says_which_rules_granted_points_and_why_others_did_not(ledger: Ledger) -> None:
    program(ledger)
    both, table_only = ledger.apply(order(amount_minor=6000, app=True), order("ben", amount_minor=6000))
    lines = [{name: line.get(name) for name in ("rule", "granted", "skipped", "detail")} for line in
            data_of(both)["grants"]]  # fmt: skip
    assert lines == [
        {"rule": "app on weekends", "granted": 90, "skipped": None, "detail": None},
        {"rule": "by size", "granted": None, "skipped": "stacking", "detail": "app on weekends"},
        {"rule": "typo", "granted": None, "skipped": "error", "detail": "NOT_FOUND"},
    ]
    assert data_of(both)["transactions"][0]["expires_at"] == "2026-12-31T23:00:00Z"
    assert data_of(table_only)["points_earned"] == 20
    assert data_of(table_only)["transactions"][0]["expires_at"] == "2026-04-30T22:00:00Z"


def test_a_weekly_limit_holds_across_batches_and_restarts_on_monday(ledger: Ledger) -> None:
    program(ledger)
    granted = []
    for day in (1, 1, 7):
        [outcome] = ledger.apply(
            order(at=datetime(2026, 3, day, 12, tzinfo=UTC), amount_minor=4000, app=True)
        )
        granted.append(data_of(outcome)["points_earned"])
    [clamped] = ledger.apply(order(at=datetime(2026, 3, 8, 12, tzinfo=UTC), amount_minor=9900, app=True))
    assert (granted, data_of(clamped)["points_earned"]) == ([60, 40, 60], 0)
    assert data_of(clamped)["grants"][0]["limited_by"] == "user/month/times"


def test_a_dry_run_predicts_what_the_worker_does(ledger: Ledger) -> None:
    program(ledger)
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=10))
    command = order(amount_minor=4000, app=True)
    with ledger.database.begin() as connection:
        now = rows(connection, "SELECT clock_timestamp()")[0][0]
        accepted = Accepted(1, command, now)
        predicted = dry_run(book.load_unlocked(connection, accepted, Programs()), command, SUNDAY)
    [outcome] = ledger.apply(command)
    assert predicted.points == data_of(outcome)["points_earned"] == 60
    assert [(line.rule.body.name, line.skipped) for line in predicted.lines] == [
        ("app on weekends", None),
        ("by size", "stacking"),
        ("typo", "error"),
    ]
