"""A dry run reports what a worker would do, and neither writes nor waits."""

from typing import Any

from pointledger import ApplyRule, Earn
from pointledger.storage.database import rows
from tests import logged
from tests.ledger import Ledger, data_of


def paid(user_id: str = "anna", **metadata: Any) -> ApplyRule:
    return ApplyRule(tenant_id="shop", user_id=user_id, event_type="paid", metadata=metadata)


def program(ledger: Ledger) -> None:
    ledger.tenant(max_earn_per_day=100)
    ledger.rule(
        name="per euro",
        event_type="paid",
        base={"kind": "per_unit", "field": "minor", "per": 100, "points": 1},
        multiplier="1.5",
        daily_limit=40,
    )
    ledger.rule(name="in the app", event_type="paid", points=5, when="has(event.app)")
    ledger.rule(name="typo", event_type="paid", points=5, when="event.apq == 1")


def test_a_dry_run_reports_points_rules_rates_and_todays_rest_as_the_worker_then_grants(
    ledger: Ledger,
) -> None:
    program(ledger)
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=60), paid(minor=2_000))
    before = ledger.counts("journal", "entries", "usage", "outcomes")

    found = ledger.client.dry_run(paid(minor=1_000)).as_json()

    assert (found["applied"], found["reason"], found["points"], found["left_today"]) == (True, None, 10, 10)
    assert found["effective_rates"] == {"minor": "0.01"}
    per_euro, in_app, typo = found["rules"]
    assert [per_euro[name] for name in ("wanted", "granted", "limited_by")] == [15, 10, "user/day/points"]
    assert per_euro["left"] == {"user/day/points": 10}
    assert (in_app["skipped"], typo["skipped"], typo["detail"]) == ("condition", "error", "NOT_FOUND")
    assert ledger.counts("journal", "entries", "usage", "outcomes") == before
    (outcome,) = ledger.apply(paid(minor=1_000))
    assert data_of(outcome)["points_earned"] == found["points"]


def test_a_dry_run_reports_the_refusal_also_for_unknown_users_and_tenants(ledger: Ledger) -> None:
    assert ledger.client.dry_run(paid()).as_json()["reason"] == "NO_MATCHING_RULE"
    elsewhere = ApplyRule(tenant_id="nowhere", user_id="anna", event_type="paid")
    assert ledger.client.dry_run(elsewhere).reason == "TENANT_UNKNOWN"
    program(ledger)
    assert ledger.client.dry_run(paid("nobody", minor=500)).points == 7


def test_a_dry_run_does_not_wait_for_a_worker_that_locks_the_account(ledger: Ledger) -> None:
    program(ledger)
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=1))
    with ledger.database.begin() as worker:
        assert rows(worker, "SELECT FROM accounts FOR UPDATE")
        assert ledger.client.dry_run(paid(minor=1_000)).points == 15


def test_a_failed_rule_is_logged_once_per_batch_with_its_count_and_no_personal_data(
    ledger: Ledger,
) -> None:
    program(ledger)
    with logged.records() as logs:
        outcomes = ledger.apply(*(paid("secret.person", minor=100, note="a secret") for _ in range(3)))
        ledger.client.dry_run(paid("secret.person", minor=100))
    (line,) = [vars(log) for log in logs if log.getMessage().startswith("rule_failed")]
    grant = data_of(outcomes[0])["grants"][-1]
    assert (line["levelname"], line["commands"], line["detail"]) == ("WARNING", 3, "NOT_FOUND")
    assert (line["tenant_id"], line["rule_id"], line["rule_version"]) == ("shop", grant["rule_id"], 1)
    assert "secret" not in str(line)


def test_an_explanation_names_the_rules_that_failed(ledger: Ledger) -> None:
    program(ledger)
    ledger.apply(paid(minor=100))
    explanation = ledger.client.explain_entry("shop", ledger.entries("anna")[0]["id"])
    failed = "Rule “typo”, version 1, could not be evaluated: its expression failed (NOT_FOUND)."
    assert failed in explanation.sentences
