"""The commands `holds`, `hold`, `jobs release-holds` and `rule test`."""

import json
from datetime import UTC, datetime

import pytest

from pointledger import Earn, Freeze
from tests.cli.conftest import Run
from tests.ledger import Ledger, data_of


@pytest.fixture
def hold_id(ledger: Ledger) -> str:
    outcomes = ledger.apply(
        Earn(tenant_id="shop", user_id="anna", amount=1200),
        Freeze(tenant_id="shop", user_id="anna", amount=200, reason="order 17"),
        Freeze(tenant_id="shop", user_id="anna", amount=100),
    )
    return str(data_of(outcomes[1])["hold_id"])


def test_holds_are_listed_in_pages(run: Run, hold_id: str) -> None:
    listed = run("holds", "shop", "anna", "--state", "open", "--json")
    assert [line["amount"] for line in listed.json_lines] == [100, 200]
    first = run("holds", "shop", "anna", "--limit", "1")
    assert "--before 3" in first.stderr
    assert hold_id in run("holds", "shop", "anna", "--before", "3").stdout
    assert run("holds", "shop", "anna", "--state", "lost").status == 2
    assert run("holds", "shop", "nobody", "--json").status == 1


def test_one_hold_is_shown_with_its_lots(run: Run, hold_id: str) -> None:
    found = run("hold", "shop", hold_id, "--json").json
    assert (found["reason"], [lot["held"] for lot in found["lots"]]) == ("order 17", [200])
    assert "order 17" in run("hold", "shop", hold_id).stdout
    assert run("hold", "shop", "x", "--json").status == 2


def test_timed_out_holds_are_released_by_the_job(run: Run, ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=10))
    ledger.apply(
        Freeze(tenant_id="shop", user_id="anna", amount=4, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    )
    released = run("jobs", "release-holds", "--json")
    assert (released.status, set(released.json)) == (0, {"accepted"})
    ledger.drain()
    assert ledger.account("anna")["frozen_balance"] == 0


def test_a_dry_run_shows_the_effect_and_changes_nothing(run: Run, ledger: Ledger) -> None:
    ledger.rule(name="visit", event_type="visit", points=5, daily_limit=8)
    event = json.dumps({"user_id": "anna", "event_type": "visit"})
    tried = run("rule", "test", "shop", "-", "--json", stdin=event)
    assert (tried.status, tried.json["points"], tried.json["rules"][0]["left"]) == (
        0,
        5,
        {"user/day/points": 8},
    )
    assert "visit" in run("rule", "test", "shop", "-", stdin=event).stdout
    assert ledger.counts("journal", "accounts") == [0, 0]

    refused = run("rule", "test", "shop", "-", "--json", stdin='{"user_id": "anna", "event_type": "x"}')
    assert (refused.status, refused.json["reason"]) == (1, "NO_MATCHING_RULE")
    for event_text in (
        "[]",
        "{",
        '{"user_id": "anna"}',
        '{"tenant_id": "cafe", "user_id": "a", "event_type": "x"}',
    ):
        assert run("rule", "test", "shop", "-", "--json", stdin=event_text).status == 2
