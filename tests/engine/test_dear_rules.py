"""Rules that another version of pointledger saved: of unbounded cost, or not readable yet."""

import json
from typing import Any

from pointledger import ApplyRule, CancelPending
from pointledger.observability.replay.replay import replay
from pointledger.storage.database import autocommit_engine
from tests.ledger import Ledger, data_of

DEAR = "event.l.all(x, event.l == event.l)"


def visit(user_id: str = "anna", **metadata: Any) -> ApplyRule:
    return ApplyRule(tenant_id="shop", user_id=user_id, event_type="visit", metadata=metadata)


def make_dear(ledger: Ledger, name: str, when: str = DEAR) -> None:
    """Give a rule the condition that an older version of pointledger would have saved."""
    with autocommit_engine(ledger.owner).connect() as connection:
        connection.exec_driver_sql("ALTER TABLE rule_versions DISABLE TRIGGER ALL")
        connection.exec_driver_sql(
            "UPDATE rule_versions SET body = jsonb_set(body::jsonb, '{when}', %(when)s)::json "
            "WHERE name = %(name)s",
            {"name": name, "when": json.dumps(when)},
        )


def test_a_reversal_releases_the_limit_of_the_version_that_granted(ledger: Ledger) -> None:
    ledger.tenant()
    limits = [{"period": "day", "max": 10}]
    ledger.rule(name="r", event_type="visit", points=8, limits=limits, pending_days=3)
    (granted,) = ledger.apply(visit())
    ledger.rule(name="r", event_type="visit", points=8, limits=limits, pending_days=3, priority=1)
    entry = data_of(granted)["transactions"][0]["id"]

    ledger.apply(CancelPending(tenant_id="shop", user_id="anna", related_id=entry))

    (again,) = ledger.apply(visit())
    assert data_of(again)["points_earned"] == 8


def test_events_of_a_tenant_whose_rule_a_newer_version_saved_wait_without_a_failure(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.rule(name="r", event_type="visit", points=1)
    with autocommit_engine(ledger.owner).connect() as connection:
        connection.exec_driver_sql("ALTER TABLE rule_versions DISABLE TRIGGER ALL")
        connection.exec_driver_sql(
            "UPDATE rule_versions SET body = jsonb_set(body::jsonb, '{invented_later}', 'true')::json"
        )

    (event,) = ledger.apply(visit("anna"))

    assert event.state == "pending"
    assert ledger.rows("SELECT DISTINCT attempts, dead_at FROM failures") == [(0, None)]


def test_a_dear_rule_of_an_older_version_is_skipped_and_explained(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.rule(name="dear", event_type="visit", points=5)
    ledger.rule(name="cheap", event_type="visit", points=3)
    make_dear(ledger, "dear")

    large, small = ledger.apply(visit(l=[1] * 1_200), visit(l=[1, 2]))

    lines = {line["rule"]: line for line in data_of(large)["grants"]}
    assert (lines["dear"]["skipped"], lines["dear"]["detail"]) == ("cost", "over 10 ms")
    assert data_of(large)["points_earned"] == 3
    assert data_of(small)["points_earned"] == 8
    entry = data_of(large)["transactions"][0]["id"]
    explained = str(ledger.client.explain_entry("shop", entry))
    assert "it would have cost too much (over 10 ms)" in explained
    dry = ledger.client.dry_run(visit(l=[1] * 1_200))
    assert {line.rule.body.name: line.skipped for line in dry.lines} == {"dear": "cost", "cheap": None}


def test_what_an_older_version_granted_by_a_dear_rule_is_taken_on_trust(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.rule(name="dear", event_type="visit", points=5)
    ledger.apply(visit(l=[1] * 1_200), visit("ben", l=[1]))
    make_dear(ledger, "dear")

    report = replay(ledger.database)

    assert report.differences == 0
    assert report.on_trust == 2
