"""Converts the model's values into the form of the ledger's, for comparison."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pointledger import AnyCommand
from pointledger.ids import show_id
from tests.model.accounts import Account, Entry, Hold, Lot
from tests.model.deciding import Command

Values = dict[str, Any]
Moves = Mapping[int, list[tuple[str, int]]]

_OUTSIDE = ("id", "tenant_id", "user_id", "actor", "idempotency_key", "occurred_at", "extensions")
_TRANSACTION = ("seq", "type", "subtype", "amount", "balance_before", "balance_after")


def as_command(command: AnyCommand, accepted_at: datetime) -> Command:
    """Convert a sent command into the model's."""
    fields = {name: value for name, value in command.model_dump().items() if name not in _OUTSIDE}
    return Command(
        show_id(command.id),
        command.kind,
        command.tenant_id,
        command.user_id,
        fields,
        accepted_at,
        command.occurred_at,
    )


def as_moments(config: Mapping[str, Any]) -> Values:
    """Parse the moments of a configuration."""
    moment = config.get("expires_not_before")
    if not isinstance(moment, str):
        return dict(config)
    return {**config, "expires_not_before": datetime.fromisoformat(moment).astimezone(UTC)}


def alike(ledger: Any, model: Any) -> tuple[Any, Any]:
    """Reduce both outcomes to the fields that the model has, and parse moments."""
    if isinstance(model, datetime) and isinstance(ledger, str):
        return datetime.fromisoformat(ledger).astimezone(UTC), model
    if isinstance(model, Mapping) and isinstance(ledger, Mapping):
        pairs = {
            name: alike(ledger.get(name), model.get(name)) for name in {*model, *ledger} - _ids(model, ledger)
        }
        return {k: v[0] for k, v in pairs.items()}, {k: v[1] for k, v in pairs.items()}
    if isinstance(model, list) and isinstance(ledger, list) and len(model) == len(ledger):
        if model and "expires_at_before" in model[0]:  # moved lots have no guaranteed order
            model, ledger = sorted(model, key=_moved), sorted(ledger, key=_moved)
        both = [alike(*pair) for pair in zip(ledger, model, strict=True)]
        return [pair[0] for pair in both], [pair[1] for pair in both]
    return ledger, model


def _moved(lot: Mapping[str, Any]) -> tuple[datetime, bool]:
    was = lot["expires_at_before"]
    return datetime.fromisoformat(was) if isinstance(was, str) else was, lot["expires_at"] is None


def _ids(model: Mapping[str, Any], ledger: Mapping[str, Any]) -> set[str]:
    """Return the fields that only the ledger has: ids, and what its entries add."""
    extra = {"id", "user_id", "rule_id", "wallet_id", "lot_id", "related_id", "created_at", "updated_at"}
    if "subtype" in model:
        extra |= ledger.keys() - set(_TRANSACTION)
    if model.get("skipped") == "error":
        extra.add("detail")
    return extra


def account_values(account: Account) -> Values:
    return {
        **account.figures,
        "status": account.status,
        "points_type": account.points_type,
        "version": len(account.entries),
        "as_of": account.as_of,
        "expiry_exempt": account.exempt,
        "expires_not_before": account.expires_not_before,
    }


def entry_values(entry: Entry) -> Values:
    names = [each.name for each in dataclasses.fields(entry)]
    values = {name: getattr(entry, name) for name in names if name not in ("user", "moves", "lots")}
    values["rule"], values["rule_version"] = entry.rule or (None, None)
    return values


def moves_of(entries: Iterable[Entry]) -> Moves:
    """Return the moves of each lot by its identity: points in or, if negative, out.

    Points that return from a hold are not a move.
    """
    found: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
    for entry in entries:
        for lot, kind, points in entry.moves:
            if (entry.type, kind) != ("unfreeze", "restore"):
                found[id(lot)].append((entry.id, points if kind == "restore" else -points))
    return found


def lot_values(lot: Lot, moves: Moves) -> Values:
    return {
        "entry": lot.entry.id,
        "origin": lot.origin.id,
        "amount": lot.amount,
        "remaining": lot.remaining,
        "frozen": lot.frozen,
        "state": lot.state,
        "earned_at": lot.earned_at,
        "expires_at": lot.expires_at,
        "expired": lot.expired,
        "activates_at": lot.activates_at,
        "changes": lot.changes,
        "moves": moves.get(id(lot), []),
    }


def brought(lot: Values) -> int:
    """Return the points that a lot brought, minus those that repaid debt in its own entry."""
    paid: int = sum(points for entry, points in lot["moves"] if entry == lot["entry"])
    return int(lot["amount"]) + paid


def lot_rows(lots: Iterable[Values]) -> list[Values]:
    """Return lots as they are compared, without points that repay debt in the entry that brings them.

    A ledger may record those as coming and going, or not record them.
    """
    rows = []
    for lot in lots:
        net: defaultdict[str, int] = defaultdict(int)
        for entry, points in lot["moves"]:
            net[entry] += points
        amount = brought(lot)
        net.pop(lot["entry"], None)
        moves = sorted((entry, points) for entry, points in net.items() if points)
        shown = {name: value for name, value in lot.items() if name != "first_expires_at"}
        if amount:
            rows.append({**shown, "amount": amount, "moves": moves})
    return rows


def hold_values(hold: Hold) -> Values:
    names = ("seq", "amount", "captured", "released", "state", "opened_at", "expires_at")
    lots = [(lot.entry.id, lot.earned_at, points, frozen) for lot, points, frozen in hold.parts]
    return {**{name: getattr(hold, name) for name in names}, "lots": lots}


def hold_row(values: Values) -> Values:
    return {**values, "lots": sorted(values["lots"])}
