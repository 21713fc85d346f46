"""A dry run on the ledger: it tells what a worker would do, and neither writes nor waits."""

from typing import Any

from pointledger import ApplyRule, Earn
from pointledger.storage.database import rows
from tests import logged
from tests.ledger import Ledger, data_of


def paid(user_id: str = "anna", **metadata: Any) -> ApplyRule:
    return ApplyRule(tenant_id="shop", user_id=user_id, event_type="paid", metadata=metadata)


def programme(ledger: Ledger) -> None:
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


def test_it_tells_points_rules_rates_and_what_remains_today_as_the_worker_then_grants(ledger: Ledger) -> None:
    programme(ledger)
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=60), paid(minor=2_000))
    before = ledger.counts("journal", "entries", "usage", "outcomes")

    told = ledger.client.dry_run(paid(minor=1_000)).as_json()

    assert (told["applied"], told["reason"], told["points"], told["left_today"]) == (True, None, 10, 10)
    assert told["effective_rates"] == {"minor": "0.01"}
    per_euro, in_app, typo = told["rules"]
    assert [per_euro[name] for name in ("wanted", "granted", "held_by")] == [15, 10, "user/day/points"]
    assert per_euro["left"] == {"user/day/points": 10}
    assert (in_app["skipped"], typo["skipped"], typo["because"]) == ("condition", "error", "NOT_FOUND")
    assert ledger.counts("journal", "entries", "usage", "outcomes") == before
    (outcome,) = ledger.apply(paid(minor=1_000))
    assert data_of(outcome)["points_earned"] == told["points"]


def test_it_tells_the_refusal_and_knows_of_users_and_tenants_that_are_not_there(ledger: Ledger) -> None:
    assert ledger.client.dry_run(paid()).as_json()["reason"] == "NO_MATCHING_RULE"
    elsewhere = ApplyRule(tenant_id="nowhere", user_id="anna", event_type="paid")
    assert ledger.client.dry_run(elsewhere).reason == "TENANT_UNKNOWN"
    programme(ledger)
    assert ledger.client.dry_run(paid("nobody", minor=500)).points == 7


def test_it_does_not_wait_for_a_worker_that_holds_the_account(ledger: Ledger) -> None:
    programme(ledger)
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=1))
    with ledger.database.begin() as worker:
        assert rows(worker, "SELECT FROM accounts FOR UPDATE")
        assert ledger.client.dry_run(paid(minor=1_000)).points == 15


def test_a_rule_that_fails_is_logged_once_per_batch_with_its_count_and_no_persons_data(
    ledger: Ledger,
) -> None:
    programme(ledger)
    with logged.records() as logs:
        outcomes = ledger.apply(*(paid("secret.person", minor=100, note="a secret") for _ in range(3)))
        ledger.client.dry_run(paid("secret.person", minor=100))
    (line,) = [vars(log) for log in logs if log.getMessage().startswith("rule_failed")]
    told = data_of(outcomes[0])["grants"][-1]
    assert (line["levelname"], line["commands"], line["because"]) == ("WARNING", 3, "NOT_FOUND")
    assert (line["tenant_id"], line["rule_id"], line["rule_version"]) == ("shop", told["rule_id"], 1)
    assert "secret" not in str(line)


def test_why_tells_of_the_rules_that_failed(ledger: Ledger) -> None:
    programme(ledger)
    ledger.apply(paid(minor=100))
    why = ledger.client.why("shop", ledger.entries("anna")[0]["id"])
    assert "Rule “typo”, version 1, could not be asked: its expression failed (NOT_FOUND)." in why.told
