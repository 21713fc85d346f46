"""Each query is of one moment while commands are applied: its current and recorded figures are consistent."""

import threading
from typing import Any

import pytest

from tests.due import LATER, ago, earn, freeze, spend
from tests.ledger import Ledger

_IN = ("total_earned", "total_transferred_in", "total_adjusted_in", "total_refunded")
_OUT = ("total_spent", "total_transferred_out", "total_adjusted_out", "total_clawed_back")
_ROUNDS = 8
USERS = ("anna", "ben", "carl")


def conserves(figures: dict[str, Any], which: str = "") -> bool:
    """Return whether the points are those that came in less those that went out."""
    points: int = sum(figures[f"{which}{name}"] for name in ("balance", "frozen_balance", "pending_balance"))
    net: int = sum(figures[name] for name in _IN) - sum(figures[name] for name in _OUT)
    return bool(points - figures[f"{which}debt"] == net - figures[f"{which}expired_points"])


def in_lots(export: dict[str, Any], which: str = "") -> dict[str, int]:
    """Return the sums of the lots as an account's figures."""
    lots = export["lots"]

    def left(state: str) -> int:
        return sum(lot[f"{which}remaining"] for lot in lots if lot[f"{which}state"] == state)

    frozen = sum(lot[f"{which}frozen"] for lot in lots)
    return {"balance": left("active"), "pending_balance": left("pending"), "frozen_balance": frozen}


@pytest.fixture
def busy(ledger: Ledger) -> threading.Thread:
    """A thread that earns, holds and spends points for a while, some of them pending or due."""

    def live() -> None:
        for number in range(_ROUNDS):
            for user in USERS:
                ledger.apply(
                    earn(user, 5 + number, expires_at=ago(1)),
                    earn(user, 9, activates_at=ago(2), expires_at=LATER),
                    freeze(user, 3, expires_at=ago(3)),
                )
                ledger.apply(spend(user, 2 + number))

    ledger.apply(*(earn(user, 1) for user in USERS))
    return threading.Thread(target=live)


def test_the_figures_of_every_query_are_consistent_while_commands_are_applied(
    ledger: Ledger, busy: threading.Thread
) -> None:
    busy.start()
    while busy.is_alive():
        assert_consistent(ledger)
    busy.join(30)
    ledger.apply(*(earn(user, 5, expires_at=ago(1)) for user in USERS))
    assert_consistent(ledger)
    account = ledger.client.account("shop", "anna")
    assert account["recorded_balance"] == account["balance"] + 5, "points are due in the end"


def assert_consistent(ledger: Ledger) -> None:
    client = ledger.client
    statistics = client.user_statistics("shop", "ben")["account"]
    for account in (client.account("shop", "anna"), statistics, *client.accounts("shop")):
        assert conserves(account), account
        assert conserves(account, "recorded_"), account
    tenant = client.tenant_statistics("shop")
    assert conserves(tenant["totals"]), tenant
    assert conserves(tenant["recorded_totals"]), tenant
    export = client.export_user("shop", "carl")
    for which in ("", "recorded_"):
        sums = in_lots(export, which)
        assert sums == {name: export["account"][f"{which}{name}"] for name in sums}
