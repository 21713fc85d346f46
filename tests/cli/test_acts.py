"""`acts`, who acts from the command line, and `integrity`."""

import pytest

from pointledger import Adjust
from tests.cli.conftest import Run
from tests.ledger import Ledger
from tests.observability.verify.tampering import tamper

RULE = '{"name": "visits", "event_type": "visit", "points": 5}'


@pytest.fixture
def adjusted(ledger: Ledger) -> None:
    ledger.apply(Adjust(tenant_id="shop", user_id="anna", actor="boss", amount=5, reason="sorry [b]"))


def test_acts_for_people_and_for_programs(run: Run, adjusted: None) -> None:
    shown = run("acts", "shop", "--kind", "adjust")
    assert "boss" in shown.stdout and "sorry [b]" in shown.stdout
    (act,) = run("acts", "shop", "--user", "anna", "--state", "applied", "--json").json_lines
    assert (act["after"]["account"]["balance"], act["before"]) == (5, {"account": None})
    assert run("acts", "shop", "--actor", "nobody", "--json").stdout == ""
    assert "--before" in run("acts", "shop", "--limit", "1").stderr


def test_who_changes_a_programme_and_why_is_kept(run: Run, ledger: Ledger) -> None:
    done = run("rule", "put", "shop", "-", "--reason", "spring", stdin=RULE)
    assert done.status == 0, done.stderr
    run("tenant", "pause", "shop", "--reason", "stocktaking")
    run("tenant", "resume", "shop")
    resumed, paused, rule = run("acts", "shop", "--json", "--limit", "3").json_lines
    assert [act["reason"] for act in (resumed, paused, rule)] == [None, "stocktaking", "spring"]
    assert rule["actor"].startswith("cli:") and rule["kind"] == "rule-put"


def test_what_is_no_id_or_no_tenant_gets_a_clear_message(run: Run, ledger: Ledger) -> None:
    assert run("acts", "shop", "--before", "x").status == 2
    assert "no such tenant" in run("acts", "nowhere").stderr


def test_the_integrity_of_an_account(run: Run, ledger: Ledger, adjusted: None) -> None:
    assert run("integrity", "shop", "anna").status == 0
    tamper(ledger, "UPDATE accounts SET version = 9")
    broken = run("integrity", "shop", "anna", "--json")
    assert (broken.status, broken.json["is_sound"]) == (1, False)
    assert "BROKEN" in run("integrity", "shop", "anna").stdout
