"""Lists invalid fields of every kind of command, for tests of commands and of the client.

A case is a kind, the fields that differ from `GOOD` (`MISSING` removes one) and the field that the error must
name. The numbers refer to the corpus of the reliability plan.
"""

import json
from functools import cache
from typing import Any

from tests.domain.corpus_json import BAD_METADATA
from tests.domain.corpus_values import (
    BAD_AMOUNTS,
    BAD_IDS,
    BAD_KEYS,
    BAD_MOMENTS,
    BAD_MONEY,
    BAD_TASK_IDS,
    MISSING,
)

GOOD: dict[str, dict[str, Any]] = {
    "apply-rule": {"tenant_id": "shop", "user_id": "anna", "event_type": "visit"},
    "erase-user": {"tenant_id": "shop", "user_id": "anna"},
    "earn": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "spend": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "transfer": {"tenant_id": "shop", "user_id": "anna", "to_user_id": "ben", "amount": 5},
    "expire": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "refund": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "clawback": {"tenant_id": "shop", "user_id": "anna", "related_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    "cancel-pending": {"tenant_id": "shop", "user_id": "anna", "related_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    "activate-due": {"tenant_id": "shop", "user_id": "anna", "as_of": "2026-03-01T00:00:00Z"},
    "import-opening-balance": {"tenant_id": "shop", "user_id": "anna", "lots": [{"amount": 5}]},
    "expire-due": {"tenant_id": "shop", "user_id": "anna", "as_of": "2026-03-01T00:00:00Z"},
    "freeze": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "unfreeze": {"tenant_id": "shop", "user_id": "anna", "amount": 5},
    "confirm-deduction": {
        "tenant_id": "shop",
        "user_id": "anna",
        "hold_id": "01M7YSJ0000000000000000000",
    },
    "release-holds-due": {"tenant_id": "shop", "user_id": "anna", "as_of": "2026-03-01T00:00:00Z"},
    "adjust": {"tenant_id": "shop", "user_id": "anna", "amount": -5, "reason": "found"},
    "open-account": {"tenant_id": "shop", "user_id": "anna"},
    "set-status": {"tenant_id": "shop", "user_id": "anna", "status": "closed", "reason": "requested"},
    "set-expiry-exemption": {"tenant_id": "shop", "user_id": "anna", "exempt": True, "reason": "the law"},
    "extend-expiry": {
        "tenant_id": "shop",
        "user_id": "anna",
        "expiring_before": "2026-03-01T00:00:00Z",
        "days": 30,
        "reason": "sorry",
    },
    "apply-expiry-policy": {
        "tenant_id": "shop",
        "user_id": "anna",
        "lots": [{"lot_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "changes": 0}],
    },
    "wallet-adjust": {
        "tenant_id": "shop",
        "user_id": "anna",
        "type": "deposit",
        "amount": "5.00",
        "reason": "won",
    },
    "exchange": {"tenant_id": "shop", "user_id": "anna", "amount": 5, "exchange_type": "wallet"},
}


def _bad() -> list[tuple[str, str, dict[str, Any], str]]:
    amounts = [
        (kind, f"amount {what}", {"amount": value}, "amount")
        for kind in ("earn", "spend", "transfer", "expire", "refund")
        for what, value in BAD_AMOUNTS.items()
    ]
    ids = [
        ("spend", f"{name} {what}", {name: value}, name)
        for name in ("user_id", "tenant_id", "actor")
        for what, value in BAD_IDS.items()
        if (name, value) != ("actor", MISSING)
    ]
    recipients = [
        ("transfer", f"to_user_id {what}", {"to_user_id": value}, "to_user_id")
        for what, value in BAD_IDS.items()
    ]
    keys = [
        ("earn", f"idempotency_key {what}", {"idempotency_key": value}, "idempotency_key")
        for what, value in BAD_KEYS.items()
    ]
    event_ids = [
        ("apply-rule", f"event_id {what}", {"event_id": value}, "event_id")
        for what, value in BAD_KEYS.items()
    ]
    moments = [
        (kind, f"{name} {what}", {name: value}, name)
        for kind, name in (("earn", "occurred_at"), ("earn", "expires_at"), ("expire-due", "as_of"))
        for what, value in BAD_MOMENTS.items()
    ]
    task_ids = [("earn", f"id {what}", {"id": value}, "id") for what, value in BAD_TASK_IDS.items()]
    task_ids += [
        ("refund", f"related_id {what}", {"related_id": value}, "related_id")
        for what, value in BAD_TASK_IDS.items()
        if value is not None
    ]
    metadata = [
        ("apply-rule", f"metadata {what}", {"metadata": value}, "metadata")
        for what, value in BAD_METADATA.items()
    ]
    return amounts + ids + recipients + keys + event_ids + moments + task_ids + metadata + _BAD_OTHERS


_BAD_OTHERS: list[tuple[str, str, dict[str, Any], str]] = [
    ("import-opening-balance", "no lots", {"lots": []}, "lots"),
    ("import-opening-balance", "lots that are text", {"lots": "5"}, "lots"),
    ("import-opening-balance", "a lot of nothing", {"lots": [{"amount": 0}]}, "lots.0.amount"),
    ("import-opening-balance", "1001 lots", {"lots": [{"amount": 1}] * 1001}, "lots"),
    ("import-opening-balance", "an unknown flag", {"expired": "maybe"}, "expired"),
    ("import-opening-balance", "a control sum that does not match", {"control_sum": 6}, "body"),
    (
        "earn",
        "an end before the beginning",
        {"activates_at": "2026-03-02T00:00:00Z", "expires_at": "2026-03-01T00:00:00Z"},
        "body",
    ),
    ("earn", "an unknown field", {"balance": 10**6}, "balance"),
    ("earn", "another's field", {"to_user_id": "ben"}, "to_user_id"),
    ("earn", "its kind as a field", {"kind": "earn"}, "kind"),
    ("earn", "a version as a field", {"version": 1}, "version"),
    ("expire", "an unknown strategy", {"strategy": "latest_first"}, "strategy"),
    ("expire", "no strategy", {"strategy": None}, "strategy"),
    ("apply-rule", "an empty event_type", {"event_type": ""}, "event_type"),
    ("apply-rule", "a long event_type", {"event_type": "e" * 101}, "event_type"),
    ("apply-rule", "a line break in event_type", {"event_type": "visit\n"}, "event_type"),
    ("apply-rule", "NUL in event_type", {"event_type": "visit\x00"}, "event_type"),
    ("apply-rule", "an escape in event_type", {"event_type": "\x1b[31m"}, "event_type"),
    ("apply-rule", "a surrogate in event_type", {"event_type": "\ud800"}, "event_type"),
    ("apply-rule", "an object as event_type", {"event_type": {"$gt": ""}}, "event_type"),
    ("apply-rule", "no event_type", {"event_type": MISSING}, "event_type"),
    ("earn", "a reason of 201 characters", {"reason": "r" * 201}, "reason"),
    ("earn", "a reason of 201 emoji", {"reason": "🙂" * 201}, "reason"),
    ("earn", "NUL in reason", {"reason": "a\x00b"}, "reason"),
    ("earn", "a surrogate in reason", {"reason": "\ud800"}, "reason"),
    ("earn", "a number as reason", {"reason": 5}, "reason"),
    ("spend", "a source of 201 characters", {"source": "s" * 201}, "source"),
    ("spend", "NUL in source", {"source": "\x00"}, "source"),
    ("transfer", "a description of 501 characters", {"description": "d" * 501}, "description"),
    ("transfer", "NUL in description", {"description": "\x00"}, "description"),
    ("expire", "a surrogate in description", {"description": "\udfff"}, "description"),
    ("expire-due", "no as_of", {"as_of": MISSING}, "as_of"),
    *(("wallet-adjust", what, {"amount": amount}, "amount") for what, amount in BAD_MONEY.items()),
    (
        "wallet-adjust",
        "three decimals of yuan",
        {"amount": "1.001", "currency": "CNY"},
        "body: Value error, amount",
    ),
    (
        "wallet-adjust",
        "a fraction of a yen",
        {"amount": "1.5", "currency": "JPY"},
        "body: Value error, amount",
    ),
    (
        "wallet-adjust",
        "21 digits of yuan",
        {"amount": "1" * 20, "currency": "CNY"},
        "body: Value error, amount",
    ),
    ("wallet-adjust", "an unknown type", {"type": "transfer"}, "type"),
    ("wallet-adjust", "no type", {"type": MISSING}, "type"),
    ("wallet-adjust", "no reason", {"reason": MISSING}, "reason"),
    ("wallet-adjust", "an empty reason", {"reason": ""}, "reason"),
    ("wallet-adjust", "an unknown currency", {"currency": "XYZ"}, "currency"),
    ("wallet-adjust", "a currency in small letters", {"currency": "cny"}, "currency"),
    ("exchange", "no exchange_type", {"exchange_type": MISSING}, "exchange_type"),
    ("exchange", "an unknown exchange_type", {"exchange_type": "cash"}, "exchange_type"),
    ("exchange", "zero", {"amount": 0}, "amount"),
    ("exchange", "money", {"amount": "5.00"}, "amount"),
]

BAD = _bad()


@cache
def by_field() -> dict[tuple[str, str], list[tuple[str, dict[str, Any]]]]:
    """Group the cases of `BAD` by kind and field."""
    found: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for kind, what, change, field in BAD:
        found.setdefault((kind, field), []).append((what, fields_of(kind, change)))
    return found


def fields_of(kind: str, change: dict[str, Any]) -> dict[str, Any]:
    """Return the valid fields of a kind with a change."""
    return {name: value for name, value in {**GOOD[kind], **change}.items() if value is not MISSING}


def in_json(name: str, text: str) -> str:
    """Return the text of an earn (or, for metadata, an event) with one field as this text."""
    kind = "apply-rule" if name == "metadata" else "earn"
    others = [json.dumps(key) + ": " + json.dumps(value) for key, value in GOOD[kind].items() if key != name]
    return "{" + ", ".join([*others, f'"{name}": {text}']) + "}"
