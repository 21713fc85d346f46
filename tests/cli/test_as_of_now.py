"""What the command line tells of what is due and not recorded yet."""

from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.due import LATER, ago, earn, freeze, touch
from tests.ledger import Ledger


@pytest.fixture(autouse=True)
def due(ledger: Ledger) -> None:
    """Of anna's, 4 have expired, 5 become available and 2 come back from a hold."""
    ledger.tenant(points_type="cash_equivalent")
    ledger.apply(
        earn("anna", 1000, expires_at=LATER),
        freeze("anna", 2, expires_at=ago(2)),
        earn("anna", 5, activates_at=ago(2)),
        earn("anna", 4, expires_at=ago(2)),
        earn("ben", 7),
    )


def test_programs_get_both_what_is_so_now_and_what_is_recorded(run: Run) -> None:
    asked: list[Any] = [
        run("account", "shop", "anna", "--json").json,
        run("accounts", "shop", "--json").json_lines[0],
        run("stats", "shop", "anna", "--json").json["account"],
        run("export", "shop", "anna").json["account"],
    ]
    for told in asked:
        assert (told["balance"], told["recorded_balance"]) == (1005, 1002)
        assert (told["frozen_balance"], told["recorded_frozen_balance"]) == (0, 2)
        assert (told["pending_balance"], told["recorded_pending_balance"]) == (0, 5)
        assert (told["expired_points"], told["recorded_expired_points"]) == (4, 0)
        assert told["as_of"].endswith("Z")
    value = run("value", "shop", "anna", "--json").json
    assert (value["value"], value["balance"], value["recorded_balance"]) == ("10.05", 1005, 1002)
    tenant = run("stats", "shop", "--json").json
    assert (tenant["totals"]["balance"], tenant["recorded_totals"]["balance"]) == (1012, 1009)
    (hold,) = run("holds", "shop", "anna", "--state", "timed_out", "--json").json_lines
    assert (hold["state"], hold["recorded_state"]) == ("timed_out", "open")
    assert run("holds", "shop", "anna", "--state", "open", "--json").json_lines == []
    expiring = run("expiring", "shop", "anna", "--json").json
    assert (expiring["points"], expiring["recorded_points"]) == (1000, 998)


def test_people_are_shown_what_is_recorded_where_it_differs(run: Run, ledger: Ledger) -> None:
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
    assert "As recorded, 998 do" in run("expiring", "shop", "anna").stderr
    hold = run("holds", "shop", "anna", "--json").json_lines[0]["id"]
    assert "recorded_state" in run("hold", "shop", hold).stdout

    touch(ledger, "anna")

    for command in commands:
        assert "recorded_" not in run(*command).stdout, command
    for quiet in (("accounts", "shop"), ("expiring", "shop", "anna")):
        assert "recorded" not in run(*quiet).stderr.lower()
    assert "recorded_" not in run("hold", "shop", hold).stdout


def test_an_account_as_of_a_past_moment_says_what_was_recorded(run: Run) -> None:
    told = run("account", "shop", "anna", "--as-of", "2100-01-01T00:00:00Z", "--json").json
    assert (told["balance"], told["recorded_balance"]) == (1002, 1002)
    assert told["as_of"] < "2100"
