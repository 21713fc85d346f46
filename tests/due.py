"""Creates accounts with due changes that are not recorded yet, and collects what every query shows of them.

The commands say that they happened in the past, so the account's clock is in the past. Changes that became
due since then are not recorded, and no test has to wait."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pointledger import Clawback, Earn, Freeze, Spend
from pointledger.ids import parse_id
from pointledger.storage.queries.current import FIGURES
from tests.ledger import Ledger, data_of

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=100)
LATER = NOW + timedelta(days=20)
TOO_MUCH = 10**15  # points: spending them is refused, but advances the account's clock


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def earn(user: str, amount: int, **more: Any) -> Earn:
    return Earn(**_fields(user, amount, occurred_at=LONG_AGO) | more)


def spend(user: str, amount: int, **more: Any) -> Spend:
    return Spend(**_fields(user, amount) | more)


def freeze(user: str, amount: int, **more: Any) -> Freeze:
    return Freeze(**_fields(user, amount, occurred_at=LONG_AGO) | more)


def _fields(user: str, amount: int, **more: Any) -> dict[str, Any]:
    return {"tenant_id": "shop", "user_id": user, "amount": amount} | more


def owe(ledger: Ledger, user: str, amount: int) -> None:
    """Put the user into debt."""
    (earned, _) = ledger.apply(earn(user, amount), spend(user, amount, occurred_at=LONG_AGO))
    entry = parse_id(data_of(earned)["transaction"]["id"])
    ledger.apply(
        Clawback(tenant_id="shop", user_id=user, related_id=entry, policy="arrears", occurred_at=LONG_AGO)
    )


def advance(ledger: Ledger, *users: str) -> None:
    """Advance the accounts' clocks by commands that are refused."""
    outcomes = ledger.apply(*(spend(user, TOO_MUCH) for user in users))
    assert {outcome.state for outcome in outcomes} == {"refused"}


def figures(ledger: Ledger, user: str) -> dict[str, int]:
    """Return the figures that the account query shows."""
    account = ledger.client.account("shop", user)
    return {name: account[name] for name in FIGURES}


def recorded(ledger: Ledger, user: str, tenant_id: str = "shop") -> dict[str, int]:
    """Return the figures in the account's row."""
    account = ledger.account(user, tenant_id)
    return {name: account[name] for name in FIGURES}


def shown(ledger: Ledger, user: str) -> dict[str, Any]:
    """Return what every query shows of the user.

    It leaves out recorded figures, the ids of rows that are not recorded yet, and the moments of query and
    recording.
    """
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
        "explanations": [_lots(_arrived(ledger, entry["id"])) for entry in _earned(ledger, user)],
    }


def of_tenant(ledger: Ledger) -> dict[str, Any]:
    """Return the tenant's figures, without recorded ones."""
    found = ledger.client.tenant_statistics("shop")
    return {name: found[name] for name in ("accounts", "outstanding", "totals")}


def _of_now(fields: dict[str, Any]) -> dict[str, Any]:
    moving = ("as_of", "version", "updated_at")
    return {
        name: value
        for name, value in fields.items()
        if name not in moving and not name.startswith("recorded_")
    }


def _lots(lots: Any) -> list[list[tuple[str, str]]]:
    """Return the lots sorted by their values, because some have no id yet."""
    own = [
        {name: lot[name] for name in _of_now(lot) if name not in ("id", "entry_id", "lot_id")} for lot in lots
    ]
    return sorted([(name, str(value)) for name, value in lot.items()] for lot in own)


def _arrived(ledger: Ledger, entry_id: str) -> tuple[dict[str, Any], ...]:
    return ledger.client.explain_entry("shop", entry_id).lots_arrived


def _earned(ledger: Ledger, user: str) -> list[dict[str, Any]]:
    return [entry for entry in ledger.entries(user) if entry["type"] == "earn"]
