"""The commands `audit-log` and `verify TENANT USER`."""

import pytest

from pointledger import Adjust
from tests.cli.conftest import Run
from tests.ledger import Ledger
from tests.observability.verify.corruption import corrupt

RULE = '{"name": "visits", "event_type": "visit", "points": 5}'


@pytest.fixture
def adjusted(ledger: Ledger) -> None:
    ledger.apply(Adjust(tenant_id="shop", user_id="anna", actor="boss", amount=5, reason="sorry [b]"))


def test_the_audit_log_for_people_and_programs(run: Run, adjusted: None) -> None:
    shown = run("audit-log", "shop", "--kind", "adjust")
    assert "boss" in shown.stdout and "sorry [b]" in shown.stdout
    (record,) = run("audit-log", "shop", "--user", "anna", "--state", "applied", "--json").json_lines
    assert (record["after"]["account"]["balance"], record["before"]) == (5, {"account": None})
    assert run("audit-log", "shop", "--actor", "nobody", "--json").stdout == ""
    assert "--before" in run("audit-log", "shop", "--limit", "1").stderr


def test_changes_of_a_program_are_logged_with_actor_and_reason(run: Run, ledger: Ledger) -> None:
    done = run("rule", "put", "shop", "-", "--reason", "spring", stdin=RULE)
    assert done.status == 0, done.stderr
    run("tenant", "pause", "shop", "--reason", "stocktaking")
    run("tenant", "resume", "shop")
    resumed, paused, rule = run("audit-log", "shop", "--json", "--limit", "3").json_lines
    assert [record["reason"] for record in (resumed, paused, rule)] == [None, "stocktaking", "spring"]
    assert rule["actor"].startswith("cli:") and rule["kind"] == "rule-put"


def test_an_invalid_id_and_an_unknown_tenant_are_reported(run: Run, ledger: Ledger) -> None:
    assert run("audit-log", "shop", "--before", "x").status == 2
    assert "no such tenant" in run("audit-log", "nowhere").stderr


def test_verifying_one_account(run: Run, ledger: Ledger, adjusted: None) -> None:
    assert run("verify", "shop", "anna").status == 0
    corrupt(ledger, "UPDATE accounts SET version = 9")
    broken = run("verify", "shop", "anna", "--json")
    assert (broken.status, broken.json["is_sound"]) == (1, False)
    assert "BROKEN" in run("verify", "shop", "anna").stdout
