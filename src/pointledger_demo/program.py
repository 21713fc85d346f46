"""Defines the grocer's program and the baskets to replay."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TENANT = "grocer"
BASKETS = Path(__file__).parent / "baskets-2017-q1.jsonl.gz"
NIGHT_AFTER = datetime(2017, 4, 1, 4, 0, tzinfo=UTC)  # midnight in New York, the day after the last basket

TENANT_CONFIG: dict[str, Any] = {
    "tenant_id": TENANT,
    "timezone": "America/New_York",
    "points_type": "cash_equivalent",
    "transfer_enabled": True,
}
RULES: list[dict[str, Any]] = [
    {
        "name": "a point per dollar",
        "event_type": "basket.paid",
        "base": {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1},
        "daily_limit": 150,
        "expiry_days": 60,
        "priority": 10,
    },
    {
        "name": "welcome",
        "event_type": "basket.paid",
        "points": 100,
        "total_limit": 1,
        "total_limit_unit": "times",
        "expiry_days": 30,
    },
]
