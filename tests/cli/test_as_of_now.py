"""Commands show points that are due but not recorded yet."""

from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.due import LATER, advance, ago, earn, freeze
from tests.ledger import Ledger


@pytest.fixture(autouse=True)
def due(ledger: Ledger) -> None:
    """Of anna's points, 4 have expired, 5 become available and 2 return from a hold."""
    ledger.tenant(points_type="cash_equivalent")
    ledger.apply(
        earn("anna", 1000, expires_at=LATER),
        freeze("anna", 2, expires_at=ago(2)),
        earn("anna", 5, activates_at=ago(2)),
        earn("anna", 4, expires_at=ago(2)),
        earn("ben", 7),
    )


def test_json_has_current_and_recorded_figures(run: Run) -> None:
    accounts: list[Any] = [
        run("account", "shop", "anna", "--json").json,
        run("accounts", "shop", "--json").json_lines[0],
        run("stats", "shop", "anna", "--json").json["account"],
        run("export", "shop", "anna").json["account"],
    ]
    for account in accounts:
        assert (account["balance"], account["recorded_balance"]) == (1005, 1002)
        assert (account["frozen_balance"], account["recorded_frozen_balance"]) == (0, 2)
        assert (account["pending_balance"], account["recorded_pending_balance"]) == (0, 5)
        assert (account["expired_points"], account["recorded_expired_points"]) == (4, 0)
        assert account["as_of"].endswith("Z")
    value = run("value", "shop", "anna", "--json").json
    assert (value["value"], value["balance"], value["recorded_balance"]) == ("10.05", 1005, 1002)
    tenant = run("stats", "shop", "--json").json
    assert (tenant["totals"]["balance"], tenant["recorded_totals"]["balance"]) == (1012, 1009)
    (hold,) = run("holds", "shop", "anna", "--state", "timed_out", "--json").json_lines
    assert (hold["state"], hold["recorded_state"]) == ("timed_out", "open")
    assert run("holds", "shop", "anna", "--state", "open", "--json").json_lines == []
    expiring = run("expiring", "shop", "anna", "--json").json
    assert (expiring["points"], expiring["recorded_points"]) == (1000, 998)


def test_people_see_recorded_figures_only_if_they_differ(run: Run, ledger: Ledger) -> None:
    commands = (
        ("account", "shop", "anna"),
        ("value", "shop", "anna"),
        ("stats", "shop", "anna"),
        ("stats", "shop"),
    )
    for command in commands:
        assert "recorded_" in run(*command).stdout, command
    assert "recorded_debt" not in run("account", "shop", "anna").stdout
    assert "not recorded yet" in run("accounts", "shop").stderr
    assert "Recorded are 998" in run("expiring", "shop", "anna").stderr
    hold = run("holds", "shop", "anna", "--json").json_lines[0]["id"]
    assert "recorded_state" in run("hold", "shop", hold).stdout

    advance(ledger, "anna")

    for command in commands:
        assert "recorded_" not in run(*command).stdout, command
    for quiet in (("accounts", "shop"), ("expiring", "shop", "anna")):
        assert "recorded" not in run(*quiet).stderr.lower()
    assert "recorded_" not in run("hold", "shop", hold).stdout


def test_an_account_as_of_a_past_time_has_the_figures_recorded_by_then(run: Run) -> None:
    account = run("account", "shop", "anna", "--as-of", "2100-01-01T00:00:00Z", "--json").json
    assert (account["balance"], account["recorded_balance"]) == (1002, 1002)
    assert account["as_of"] < "2100"
