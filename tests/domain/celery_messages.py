"""Reads messages of Celery's protocol 2 for tests."""

from datetime import UTC, datetime
from typing import Any

import pytest
from kombu.utils.json import dumps

from pointledger.domain.events.celery_messages import TaskMessage, read
from pointledger.domain.events.celery_rejections import Rejected

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
ID = "0b2f6f1c-6a55-4c1b-9a53-3a1f6a1b2c3d"
FIELDS: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "amount": 5}


def message(
    body: object = None,
    *,
    kwargs: object = FIELDS,
    args: object = (),
    embedded: object = None,
    **headers: Any,
) -> TaskMessage:
    """Read a message of protocol 2 with the given changes."""
    written = body if isinstance(body, bytes) else dumps([args, kwargs, embedded or {}]).encode()
    return read(written, {"lang": "go", "task": "points.earn", "id": ID} | headers)


def refused(found: TaskMessage, now: datetime = NOW) -> tuple[str, str]:
    with pytest.raises(Rejected) as raised:
        found.command(now)
    return raised.value.reason, str(raised.value)
