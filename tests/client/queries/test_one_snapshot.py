"""Each answer is of one moment, whatever is applied meanwhile: its figures fit together, now and as
recorded."""

import threading
from typing import Any

import pytest

from tests.due import LATER, ago, earn, freeze, spend
from tests.ledger import Ledger

_CAME = ("total_earned", "total_transferred_in", "total_adjusted_in", "total_refunded")
_WENT = ("total_spent", "total_transferred_out", "total_adjusted_out", "total_clawed_back")
_ROUNDS = 8
USERS = ("anna", "ben", "carl")


def conserves(figures: dict[str, Any], which: str = "") -> bool:
    """Whether what is there is what came, less what went; `which`: `recorded_`, or now."""
    there: int = sum(figures[f"{which}{name}"] for name in ("balance", "frozen_balance", "pending_balance"))
    came: int = sum(figures[name] for name in _CAME) - sum(figures[name] for name in _WENT)
    return bool(there - figures[f"{which}debt"] == came - figures[f"{which}expired_points"])


def in_lots(export: dict[str, Any], which: str = "") -> dict[str, int]:
    """What the lots add up to, as an account has it."""
    lots = export["lots"]

    def left(state: str) -> int:
        return sum(lot[f"{which}remaining"] for lot in lots if lot[f"{which}state"] == state)

    frozen = sum(lot[f"{which}frozen"] for lot in lots)
    return {"balance": left("active"), "pending_balance": left("pending"), "frozen_balance": frozen}


@pytest.fixture
def busy(ledger: Ledger) -> threading.Thread:
    """Points come, wait, are held, are spent and come due, for a while."""

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


def test_every_answers_figures_fit_together_while_commands_are_applied(
    ledger: Ledger, busy: threading.Thread
) -> None:
    busy.start()
    while busy.is_alive():
        fit_together(ledger)
    busy.join(30)
    ledger.apply(*(earn(user, 5, expires_at=ago(1)) for user in USERS))
    fit_together(ledger)
    account = ledger.client.account("shop", "anna")
    assert account["recorded_balance"] == account["balance"] + 5, "something is due in the end, too"


def fit_together(ledger: Ledger) -> None:
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
