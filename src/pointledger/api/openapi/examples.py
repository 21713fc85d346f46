"""Examples of request bodies for the OpenAPI document.

The server accepts each for the tutorial's program and users with points. A test sends them all.
"""

from typing import Any

_ID = "01M7YS5T0G1V9RJ7Y6C6V2Q3XA"

_BODIES: dict[str, dict[str, Any]] = {
    "apply_rule": {
        "a basket": {
            "user_id": "anna",
            "event_type": "basket.paid",
            "event_id": "basket-17",
            "metadata": {"amount_minor": 1999},
        }
    },
    "earn": {
        "points": {"amount": 50, "reason": "a complaint"},
        "points for later": {
            "amount": 50,
            "activates_at": "2027-01-01T00:00:00Z",
            "expires_at": "2028-01-01T00:00:00+08:00",
        },
    },
    "spend": {"a purchase": {"amount": 5, "reason": "a coffee", "source": "till 4"}},
    "transfer": {"a present": {"to_user_id": "ben", "amount": 5, "description": "thank you"}},
    "refund": {
        "of a spend": {"related_id": _ID, "amount": 5},
        "goodwill": {"amount": 5, "reason": "a cold coffee"},
    },
    "confirm_deduction": {"a part of a hold": {"hold_id": _ID, "amount": 5}},
    "expire": {"in proportion": {"amount": 10, "strategy": "pro_rata"}},
    "adjust": {"taken": {"amount": -5, "reason": "booked twice"}},
    "freeze": {"an order": {"amount": 5, "reason": "order 17", "expires_at": "2027-01-01T00:00:00Z"}},
    "unfreeze": {"the oldest": {"amount": 5}, "a hold": {"hold_id": _ID}},
    "open_account": {"an account": {"user_id": "cleo"}},
    "set_status": {"suspended": {"status": "suspended", "reason": "a stolen card"}},
    "exchange": {"a coupon": {"amount": 5, "exchange_type": "coupon"}},
    "adjust_wallet": {"a deposit": {"type": "deposit", "amount": "5.00", "reason": "a complaint"}},
    "batch_earn": {
        "a bonus": {"items": [{"user_id": "anna", "amount": 50}, {"user_id": "ben", "amount": 50}]}
    },
    "put_config": {
        "a year": {"timezone": "Europe/Berlin", "default_expiry_days": 365, "transfer_enabled": True}
    },
    "add_rule": {
        "with flat names": {
            "name": "a point per euro",
            "event_type": "basket.paid",
            "multiplier": "1.5",
            "daily_limit": 300,
            "expiry_days": 365,
            "base": {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1},
        },
        "nested": {
            "name": "a big basket",
            "event_type": "basket.paid",
            "when": "event.amount_minor >= 10000",
            "award": {"base": {"kind": "fixed", "points": 100}},
            "limits": [{"scope": "user", "period": "week", "unit": "times", "max": 1}],
            "expiry": {"mode": "rolling", "months": 12, "round": "end_of_month"},
        },
    },
    "put_rule": {
        "fewer": {"name": "a point per euro", "event_type": "basket.paid", "points": 1, "enabled": False}
    },
    "test_rule": {
        "a basket": {"user_id": "anna", "event_type": "basket.paid", "metadata": {"amount_minor": 1250}}
    },
}

BODIES: dict[str, dict[str, Any]] = {
    operation: {name: {"value": value} for name, value in bodies.items()}
    for operation, bodies in _BODIES.items()
}
