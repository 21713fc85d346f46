"""Accounts of which something is due that nobody has recorded, and what every look-up tells of them.

Commands say that they happened in the past, so an account's clock stands there: what came due since is not
recorded, and no test waits.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from pointledger import Clawback, Earn, Freeze, Spend
from pointledger.ids import parse_id
from pointledger.storage.queries.current import FIGURES
from tests.ledger import Ledger, data_of

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=100)
LATER = NOW + timedelta(days=20)
TOO_MUCH = 10**15  # points: whoever spends them is refused, and time has passed


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def earn(user: str, amount: int, **more: Any) -> Earn:
    return Earn(**_given(user, amount, occurred_at=LONG_AGO) | more)


def spend(user: str, amount: int, **more: Any) -> Spend:
    return Spend(**_given(user, amount) | more)


def freeze(user: str, amount: int, **more: Any) -> Freeze:
    return Freeze(**_given(user, amount, occurred_at=LONG_AGO) | more)


def _given(user: str, amount: int, **more: Any) -> dict[str, Any]:
    return {"tenant_id": "shop", "user_id": user, "amount": amount} | more


def owe(ledger: Ledger, user: str, amount: int) -> None:
    """Lets the user owe points."""
    (earned, _) = ledger.apply(earn(user, amount), spend(user, amount, occurred_at=LONG_AGO))
    entry = parse_id(data_of(earned)["transaction"]["id"])
    ledger.apply(
        Clawback(tenant_id="shop", user_id=user, related_id=entry, policy="arrears", occurred_at=LONG_AGO)
    )


def touch(ledger: Ledger, *users: str) -> None:
    """Lets time pass on the accounts by commands that are refused."""
    outcomes = ledger.apply(*(spend(user, TOO_MUCH) for user in users))
    assert {outcome.state for outcome in outcomes} == {"refused"}


def figures(ledger: Ledger, user: str) -> dict[str, int]:
    """What the account's look-up shows."""
    account = ledger.client.account("shop", user)
    return {name: account[name] for name in FIGURES}


def recorded(ledger: Ledger, user: str, tenant_id: str = "shop") -> dict[str, int]:
    """What the account's row has."""
    account = ledger.account(user, tenant_id)
    return {name: account[name] for name in FIGURES}


def told(ledger: Ledger, user: str) -> dict[str, Any]:
    """What every look-up tells of the user, without what is recorded, the ids of what is not recorded yet,
    and the moments at which it was asked and recorded."""
    client = ledger.client
    expiring = client.expiring("shop", user, days=36_500)
    holds = client.holds("shop", user).holds
    statistics = client.user_statistics("shop", user)
    (listed,) = [each for each in client.accounts("shop") if each["user_id"] == user]
    return {
        "account": _of_now(client.account("shop", user)),
        "listed": _of_now(listed),
        "exported": _of_now(client.export_user("shop", user)["account"]),
        "statistics": _of_now(statistics["account"]),
        "value": client.value("shop", user).value,
        "pending by rule": {rule["rule"]: rule["pending"] for rule in statistics["by_rule"]},
        "expiring": (expiring.points, expiring.lots_in_all, _lots(expiring.lots)),
        "holds": [_of_now(hold) for hold in holds],
        "open holds": [hold["id"] for hold in client.holds("shop", user, state="open").holds],
        "timed out": [hold["id"] for hold in client.holds("shop", user, state="timed_out").holds],
        "lots of holds": [_lots(client.hold("shop", hold["id"])["lots"]) for hold in holds],
        "lots": _lots(client.export_user("shop", user)["lots"]),
        "traces": [_lots(_arrived(ledger, entry["id"])) for entry in _earned(ledger, user)],
    }


def of_tenant(ledger: Ledger) -> dict[str, Any]:
    """The tenant's figures, without what was recorded."""
    found = ledger.client.tenant_statistics("shop")
    return {name: found[name] for name in ("accounts", "outstanding", "totals")}


def _of_now(shown: dict[str, Any]) -> dict[str, Any]:
    moving = ("as_of", "version", "updated_at")
    return {
        name: value
        for name, value in shown.items()
        if name not in moving and not name.startswith("recorded_")
    }


def _lots(lots: Any) -> list[list[tuple[str, str]]]:
    """In an order of their own: some have no id yet."""
    own = [
        {name: lot[name] for name in _of_now(lot) if name not in ("id", "entry_id", "lot_id")} for lot in lots
    ]
    return sorted([(name, str(value)) for name, value in lot.items()] for lot in own)


def _arrived(ledger: Ledger, entry_id: str) -> tuple[dict[str, Any], ...]:
    return ledger.client.why("shop", entry_id).lots_arrived


def _earned(ledger: Ledger, user: str) -> list[dict[str, Any]]:
    return [entry for entry in ledger.entries(user) if entry["type"] == "earn"]
