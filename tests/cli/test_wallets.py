"""`wallet show` and `wallet entries`."""

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


def test_a_wallet_for_people_and_programs(run: Run, money: None) -> None:
    shown = run("wallet", "show", "shop", "anna")
    assert "12.50" in shown.stdout and "CNY" in shown.stdout
    assert run("wallet", "show", "shop", "anna", "--json").json["balance"] == "12.50"


def test_entries_newest_first_page_by_page(run: Run, money: None) -> None:
    people = run("wallet", "entries", "shop", "anna", "--limit", "1")
    assert "won [bold]" in people.stdout and "--before 2" in people.stderr
    lines = run("wallet", "entries", "shop", "anna", "--json").json_lines
    assert [(line["seq"], line["amount"], line["actor"]) for line in lines] == [
        (2, "2.50", "boss"),
        (1, "10.00", "boss"),
    ]
    assert run("wallet", "entries", "shop", "anna", "--type", "withdraw", "--json").stdout == ""


def test_a_user_without_a_wallet_gets_a_clear_message(run: Run, money: None) -> None:
    done = run("wallet", "show", "shop", "ben")
    assert done.status == 1
    assert "no wallet" in done.stderr
