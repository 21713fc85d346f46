"""Builds CloudEvents for tests, and reads them as commands."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest

from pointledger.domain.events.ingested import InvalidEvent, RejectReason, commands_of
from pointledger.domain.events.producers import Producer

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

TILL = Producer.model_validate(
    {
        "name": "till",
        "keys": [{"id": "k", "secret": "s" * 32}],
        "tenants": "all",
        "kinds": ["apply-rule", "earn"],
    }
)

BASKET: dict[str, Any] = {
    "specversion": "1.0",
    "id": "basket-17",
    "source": "/shop/web",
    "type": "basket.paid",
    "subject": "anna",
    "tenantid": "shop",
    "iat": "2026-03-01T10:00:00Z",
    "data": {"amount_minor": 1999},
}


def event(without: str = "nothing", **more: Any) -> dict[str, Any]:
    return {name: value for name, value in (BASKET | more).items() if name != without}


def command(document: dict[str, Any]) -> Any:
    (found,) = commands_of(json.dumps(document).encode(), TILL, NOW)
    return found


def refusal(document: Any) -> str:
    with pytest.raises(InvalidEvent) as raised:
        commands_of(json.dumps(document).encode(), TILL, NOW)
    assert raised.value.reject_reason is RejectReason.INVALID_EVENT
    return str(raised.value)


def base64(content: bytes) -> str:
    return b64encode(content).decode()
