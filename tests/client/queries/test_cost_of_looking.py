"""What a look-up costs: an account with nothing due not a statement more than its tables need, and many with
something due not many more."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pointledger.api.queries import GatewayLookups
from pointledger.client.client import PointsClient
from pointledger.storage import database
from pointledger.storage.queries import current
from tests.due import LATER, ago, earn, freeze
from tests.ledger import Ledger, data_of

Ask = Callable[[PointsClient], Any]


def statements(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], Any]) -> int:
    """How many the question takes."""
    asked: list[str] = []
    cursor = database._cursor

    def counting(*args: Any) -> Any:
        asked.append("")
        return cursor(*args)

    with monkeypatch.context() as patched:
        patched.setattr(database, "_cursor", counting)
        ask()
    return len(asked)


# As many as before look-ups told what is so now, or fewer. The first sets limits, the second
# reads the tenant.
COSTS: dict[str, tuple[int, Ask]] = {
    "account": (3, lambda client: client.account("shop", "anna")),
    "accounts": (3, lambda client: client.accounts("shop")),
    "value": (3, lambda client: client.value("shop", "anna")),
    "expiring": (4, lambda client: client.expiring("shop", "anna")),
    "holds": (4, lambda client: client.holds("shop", "anna")),
    "user statistics": (5, lambda client: client.user_statistics("shop", "anna")),
    "tenant statistics": (7, lambda client: client.tenant_statistics("shop")),
}


@pytest.mark.parametrize("name", COSTS)
def test_an_account_with_nothing_due_costs_no_statement_more(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ledger.tenant(points_type="cash_equivalent")
    ledger.apply(
        earn("anna", 9, expires_at=LATER),
        earn("anna", 9, activates_at=LATER),
        freeze("anna", 2, expires_at=LATER),
    )
    most, ask = COSTS[name]
    assert statements(monkeypatch, lambda: ask(ledger.client)) == most
    (hold,) = ledger.client.holds("shop", "anna").holds
    assert statements(monkeypatch, lambda: ledger.client.hold("shop", hold["id"])) == 4


def test_what_is_due_and_kept_from_going_costs_no_statement_either(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.apply(earn("anna", 9, expires_at=ago(1)))
    ledger.tenant(expire_enabled=False)
    for name in ("account", "accounts", "expiring", "user statistics", "tenant statistics"):
        most, ask = COSTS[name]
        assert statements(monkeypatch, partial(ask, ledger.client)) == most


def test_a_page_with_something_due_of_each_account_takes_a_few_statements_for_all(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [f"u{number:02}" for number in range(60)]
    ledger.apply(
        *(earn(user, 5, expires_at=ago(1)) for user in users),
        *(earn(user, 5, activates_at=ago(1)) for user in users),
        *(freeze(user, 3, expires_at=ago(2)) for user in users),
    )
    lookups = GatewayLookups(ledger.database)
    pages: list[Callable[[], Any]] = [
        lambda: lookups.accounts("shop"),
        lambda: lookups.page_of_accounts("shop", page=1, page_size=60, status=None),
    ]
    for page in pages:
        assert statements(monkeypatch, page) <= 8
    assert {account["balance"] for account in lookups.accounts("shop")} == {5}


def test_the_tenants_figures_are_read_so_many_accounts_at_a_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.apply(*(earn(f"u{number}", 5, expires_at=ago(1)) for number in range(20)))
    loaded: list[int] = []
    let_pass = current._let_pass

    def noting(tenant: Any, connection: Any, due: list[Any], now: Any) -> Any:
        loaded.append(len(due))
        return let_pass(tenant, connection, due, now)

    monkeypatch.setattr(current, "_let_pass", noting)
    monkeypatch.setattr(current, "_CHUNK", 8)
    assert ledger.client.tenant_statistics("shop")["totals"]["balance"] == 0
    assert loaded == [8, 8, 4]


def test_looking_writes_nothing(ledger: Ledger) -> None:
    (outcome,) = ledger.apply(earn("anna", 5, expires_at=ago(1)))
    assert data_of(outcome)["account"]["balance"] == 5
    before = ledger.rows("SELECT a.*, a.xmin::text FROM accounts a")
    for ask in (COSTS[name][1] for name in ("account", "accounts", "expiring", "user statistics")):
        ask(ledger.client)
    assert ledger.rows("SELECT a.*, a.xmin::text FROM accounts a") == before
    assert ledger.counts("entries", "journal", "pending") == [1, 1, 0]
