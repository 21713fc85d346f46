"""The number of SQL statements of each query: due changes of an account or of many add only a few."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pointledger.api.queries import ApiQueries
from pointledger.client.client import PointsClient
from pointledger.storage import database
from pointledger.storage.queries import current
from tests.due import LATER, ago, earn, freeze
from tests.ledger import Ledger, data_of

Query = Callable[[PointsClient], Any]


def statements(monkeypatch: pytest.MonkeyPatch, query: Callable[[], Any]) -> int:
    """Return the number of statements that the query runs. Other threads of this process do not count: those
    of a console or worker that other tests share."""
    count, own = 0, threading.get_ident()
    cursor = database.cursor_of

    def counting(*args: Any) -> Any:
        nonlocal count
        count += threading.get_ident() == own
        return cursor(*args)

    with monkeypatch.context() as patched:
        patched.setattr(database, "cursor_of", counting)
        query()
    return count


# The first statement sets limits, and the second reads the tenant.
COSTS: dict[str, tuple[int, Query]] = {
    "account": (3, lambda client: client.account("shop", "anna")),
    "accounts": (3, lambda client: client.accounts("shop")),
    "value": (3, lambda client: client.value("shop", "anna")),
    "expiring": (4, lambda client: client.expiring("shop", "anna")),
    "points by expiry": (5, lambda client: client.points_by_expiry("shop", "anna")),
    "holds": (4, lambda client: client.holds("shop", "anna")),
    "user statistics": (5, lambda client: client.user_statistics("shop", "anna")),
    "tenant statistics": (7, lambda client: client.tenant_statistics("shop")),
}


@pytest.mark.parametrize("name", COSTS)
def test_a_query_without_due_changes_runs_no_extra_statement(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ledger.tenant(points_type="cash_equivalent")
    ledger.apply(
        earn("anna", 9, expires_at=LATER),
        earn("anna", 9, activates_at=LATER),
        freeze("anna", 2, expires_at=LATER),
    )
    most, query = COSTS[name]
    assert statements(monkeypatch, lambda: query(ledger.client)) == most
    (hold,) = ledger.client.holds("shop", "anna").holds
    assert statements(monkeypatch, lambda: ledger.client.hold("shop", hold["id"])) == 4


def test_due_points_that_do_not_expire_need_no_extra_statement(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.apply(earn("anna", 9, expires_at=ago(1)))
    ledger.tenant(expire_enabled=False)
    for name in (
        "account",
        "accounts",
        "expiring",
        "points by expiry",
        "user statistics",
        "tenant statistics",
    ):
        most, query = COSTS[name]
        assert statements(monkeypatch, partial(query, ledger.client)) == most


def test_a_page_of_accounts_with_due_changes_runs_a_few_statements(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [f"u{number:02}" for number in range(60)]
    ledger.apply(
        *(earn(user, 5, expires_at=ago(1)) for user in users),
        *(earn(user, 5, activates_at=ago(1)) for user in users),
        *(freeze(user, 3, expires_at=ago(2)) for user in users),
    )
    queries = ApiQueries(ledger.database)
    pages: list[Callable[[], Any]] = [
        lambda: queries.accounts("shop"),
        lambda: queries.page_of_accounts("shop", page=1, page_size=60, status=None),
    ]
    for page in pages:
        assert statements(monkeypatch, page) <= 8
    assert {account["balance"] for account in queries.accounts("shop")} == {5}


def test_the_tenants_figures_are_read_in_chunks_of_accounts(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.apply(*(earn(f"u{number}", 5, expires_at=ago(1)) for number in range(20)))
    loaded: list[int] = []
    let_pass = current._advance

    def recording(tenant: Any, connection: Any, due: list[Any], now: Any) -> Any:
        loaded.append(len(due))
        return let_pass(tenant, connection, due, now)

    monkeypatch.setattr(current, "_advance", recording)
    monkeypatch.setattr(current, "_CHUNK", 8)
    assert ledger.client.tenant_statistics("shop")["totals"]["balance"] == 0
    assert loaded == [8, 8, 4]


def test_queries_write_nothing(ledger: Ledger) -> None:
    (outcome,) = ledger.apply(earn("anna", 5, expires_at=ago(1)))
    assert data_of(outcome)["account"]["balance"] == 5
    before = ledger.rows("SELECT a.*, a.xmin::text FROM accounts a")
    for query in (COSTS[name][1] for name in ("account", "accounts", "expiring", "user statistics")):
        query(ledger.client)
    assert ledger.rows("SELECT a.*, a.xmin::text FROM accounts a") == before
    assert ledger.counts("entries", "journal", "pending") == [1, 1, 0]
