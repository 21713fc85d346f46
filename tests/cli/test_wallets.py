"""The commands `wallet show` and `wallet entries`."""

from typing import Any

import pytest

from pointledger import WalletAdjust
from tests.cli.conftest import Run
from tests.ledger import Ledger


@pytest.fixture
def money(ledger: Ledger) -> None:
    for amount in ("10", "2.5"):
        anna: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
        ledger.apply(WalletAdjust(**anna, type="deposit", amount=amount, reason="won [bold]", actor="boss"))


def test_a_wallet_is_shown_to_people_and_programs(run: Run, money: None) -> None:
    shown = run("wallet", "show", "shop", "anna")
    assert "12.50" in shown.stdout and "CNY" in shown.stdout
    assert run("wallet", "show", "shop", "anna", "--json").json["balance"] == "12.50"


def test_entries_are_listed_newest_first_in_pages(run: Run, money: None) -> None:
    table = run("wallet", "entries", "shop", "anna", "--limit", "1")
    assert "won [bold]" in table.stdout and "--before 2" in table.stderr
    lines = run("wallet", "entries", "shop", "anna", "--json").json_lines
    assert [(line["seq"], line["amount"], line["actor"]) for line in lines] == [
        (2, "2.50", "boss"),
        (1, "10.00", "boss"),
    ]
    assert run("wallet", "entries", "shop", "anna", "--type", "withdraw", "--json").stdout == ""


def test_a_missing_wallet_is_reported(run: Run, money: None) -> None:
    failed = run("wallet", "show", "shop", "ben")
    assert failed.status == 1
    assert "no wallet" in failed.stderr
