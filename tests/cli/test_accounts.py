"""The commands `account`, `accounts` and `entries`."""

import pytest

from pointledger import Earn, Spend
from tests.cli.conftest import Run
from tests.ledger import Ledger


@pytest.fixture
def points(ledger: Ledger) -> None:
    ledger.apply(
        Earn(tenant_id="shop", user_id="anna", amount=1200),
        Spend(tenant_id="shop", user_id="anna", amount=200),
        Earn(tenant_id="shop", user_id="ben", amount=7),
    )


def test_an_account_is_shown(run: Run, points: None) -> None:
    shown = run("account", "shop", "anna", "--json")
    assert shown.status == 0
    assert (shown.json["balance"], shown.json["total_earned"], shown.json["version"]) == (1000, 1200, 2)
    assert "1,000" in run("account", "shop", "anna").stdout


def test_an_unknown_user_or_tenant_is_reported_with_status_1(run: Run, points: None) -> None:
    for command in ("account", "entries"):
        unknown = run(command, "shop", "nobody", "--json")
        assert unknown.status == 1
        assert "no account" in unknown.json["error"]
        assert "tenant shop" in run(command, "shop", "nobody").stderr
        assert "no such tenant" in run(command, "nowhere", "anna").stderr


@pytest.mark.parametrize("user_id", ["", "a\n", "a\x85", "\u202eanna", "a\u200b", "\udcff", "a" * 256])
def test_an_invalid_user_id_is_bad_input(run: Run, ledger: Ledger, user_id: str) -> None:
    for command in (("account", "shop", user_id), ("entries", "shop", user_id), ("accounts", user_id)):
        failed = run(*command, "--json")
        assert failed.status == 2
        assert failed.json["error"]


def test_accounts_are_listed_across_pages(run: Run, ledger: Ledger) -> None:
    commands = [Earn(tenant_id="shop", user_id=f"u{number:03}", amount=1) for number in range(230)]
    ledger.apply(*commands)
    listed = run("accounts", "shop", "--json")
    assert [line["user_id"] for line in listed.json_lines] == [f"u{number:03}" for number in range(230)]
    shown = run("accounts", "shop")
    assert "u049" in shown.stdout
    assert "u050" not in shown.stdout
    assert "--json" in shown.stderr


def test_a_tenant_without_accounts_has_an_empty_list(run: Run, ledger: Ledger) -> None:
    listed = run("accounts", "shop", "--json")
    assert (listed.status, listed.stdout) == (0, "")


def test_entries_come_newest_first(run: Run, points: None) -> None:
    listed = run("entries", "shop", "anna", "--json")
    assert [(line["seq"], line["delta"]) for line in listed.json_lines] == [(2, -200), (1, 1200)]
    assert len(run("entries", "shop", "anna", "--limit", "1", "--json").json_lines) == 1
    shown = run("entries", "shop", "anna")
    assert shown.status == 0
    assert "-200" in shown.stdout
    assert run("entries", "shop", "anna", "--limit", "0").status == 2


def test_entries_are_listed_across_pages(run: Run, ledger: Ledger) -> None:
    ledger.apply(*(Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(230)))
    listed = run("entries", "shop", "anna", "--json")
    assert [line["seq"] for line in listed.json_lines] == list(range(230, 0, -1))
    assert len(run("entries", "shop", "anna", "--limit", "150", "--json").json_lines) == 150
