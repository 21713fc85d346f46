"""Other queries: one entry, its explanation, expiry, cash value, statistics, limits, export, preview."""

from datetime import UTC, datetime, timedelta

import pytest

from pointledger import ApplyRule, Earn, Spend
from tests.cli.conftest import Run
from tests.ledger import Ledger

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def points(ledger: Ledger) -> None:
    soon = datetime.now(UTC) + timedelta(days=5)
    ledger.apply(
        Earn(tenant_id="shop", user_id="anna", amount=1200, expires_at=soon, description="[red]\x1b[31mhi"),
        Spend(tenant_id="shop", user_id="anna", amount=200),
    )


def test_an_account_as_of_a_past_time(run: Run, points: None) -> None:
    then = run("account", "shop", "anna", "--as-of", "2100-01-01T00:00:00Z", "--json")
    assert (then.status, then.json["balance"], then.json["status"]) == (0, 1000, None)
    assert run("account", "shop", "anna", "--as-of", "2020-01-01T00:00:00Z", "--json").status == 1
    assert run("account", "shop", "anna", "--as-of", "yesterday").status == 2


def test_entries_by_page_and_type(run: Run, points: None) -> None:
    assert [line["seq"] for line in run("entries", "shop", "anna", "--before", "2", "--json").json_lines] == [
        1
    ]
    earned = run("entries", "shop", "anna", "--type", "earn", "--json")
    assert [line["type"] for line in earned.json_lines] == ["earn"]
    assert "--before 2" in run("entries", "shop", "anna", "--limit", "1").stderr
    assert run("entries", "shop", "anna", "--type", "gift").status == 2


def test_one_entry_and_its_explanation(run: Run, points: None) -> None:
    spent, earned = run("entries", "shop", "anna", "--json").json_lines
    assert run("entry", "shop", spent["id"], "--json").json == spent
    assert "-200" in run("entry", "shop", spent["id"]).stdout
    explained = run("explain", "shop", spent["id"], "--json")
    assert [lot["amount"] for lot in explained.json["lots_moved"]] == [200]
    shown = run("explain", "shop", earned["id"])
    assert "earned 1200 points" in shown.stdout
    assert "[red]\\x1b[31mhi" in shown.stdout, "user text is printed without markup and control characters"
    for command in ("entry", "explain"):
        assert run(command, "shop", earned["account_id"], "--json").status == 1
        assert run(command, "shop", "x", "--json").status == 2


def test_points_that_expire_soon(run: Run, points: None) -> None:
    found = run("expiring", "shop", "anna", "--json")
    assert (found.status, found.json["points"], len(found.json["lots"])) == (0, 1000, 1)
    assert "1,000 points in 1 lots" in run("expiring", "shop", "anna", "--days", "7").stderr
    assert run("expiring", "shop", "anna", "--days", "0").status == 2


def test_cash_value_and_the_error_for_other_points(run: Run, ledger: Ledger, points: None) -> None:
    failed = run("value", "shop", "anna", "--json")
    assert failed.status == 1
    assert "no cash value" in failed.json["error"]
    ledger.tenant("bank", points_type="cash_equivalent")
    ledger.apply(Earn(tenant_id="bank", user_id="anna", amount=5050))
    assert run("value", "bank", "anna", "--json").json["value"] == "50.50"
    assert "50.50" in run("value", "bank", "anna").stdout


def test_statistics_of_a_user_and_a_tenant(run: Run, points: None) -> None:
    user = run("stats", "shop", "anna", "--json")
    assert [figures["points"] for figures in user.json["by_month"]] == [1200, 200]
    tenant = run("stats", "shop", "--json")
    assert (tenant.json["accounts"], tenant.json["outstanding"]) == ({"active": 1}, 1000)
    assert "1,200" in run("stats", "shop", "anna").stdout
    assert "purchase" in run("stats", "shop").stdout
    assert run("stats", "nowhere").status == 1


def test_usage_of_shared_limits(run: Run, ledger: Ledger) -> None:
    own = {"period": "day", "max": 1000}
    budget = {"scope": "tenant", "period": "lifetime", "max": 1500}
    times = {"scope": "rule", "period": "month", "unit": "times", "max": 9}
    ledger.rule(name="a", event_type="visit", points=1000, limits=[own, budget, times])
    ledger.rule(name="b", event_type="order", points=1, limits=[budget | {"max": 1100}], enabled=False)
    ledger.apply(*(ApplyRule(tenant_id="shop", user_id=user, event_type="visit") for user in ("anna", "ben")))
    found = run("limits", "shop", "--json")
    limits = [[line[name] for name in ("rule", "scope", "max", "used", "left")] for line in found.json_lines]
    assert limits == [
        ["a", "tenant", 1500, 1500, 0],
        ["a", "rule", 9, 2, 7],
        ["b", "tenant", 1100, 1500, 0],
    ]
    assert [line["starts_on"][:4] for line in found.json_lines][::2] == ["0001", "0001"]
    assert "1,500" in run("limits", "shop").stdout
    assert run("limits", "nowhere", "--json").status == 1


def test_an_export_is_one_json_object(run: Run, points: None) -> None:
    exported = run("export", "shop", "anna")
    assert (exported.status, len(exported.json["commands"])) == (0, 2)
    assert run("export", "shop", "nobody", "--json").status == 1


def test_an_expiry_run_is_previewed(run: Run, ledger: Ledger, points: None) -> None:
    later = (datetime.now(UTC) + timedelta(days=6)).isoformat()
    found = run("jobs", "preview", "--tenant", "shop", "--as-of", later, "--json")
    assert (found.json["accounts"], found.json["lots"], found.json["points"]) == (1, 1, 1000)
    assert "anna" in run("jobs", "preview", "--as-of", later).stdout
    assert run("jobs", "preview", "--json").json["points"] == 0
    assert ledger.counts("pending") == [0]
    assert run("jobs", "preview", "--tenant", "nowhere").status == 1
