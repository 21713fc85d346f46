"""Celery messages that are not commands, or not yet, can be read as tasks."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery

from pointledger.client.acceptor import Acceptance
from pointledger.integrations.celery_commands import CommandsByName, open_commands
from tests.api.environment import ApiEnvironment

FIELDS = {"tenant_id": "shop", "user_id": "anna", "amount": 5}


def send(api: ApiEnvironment, name: str, **options: Any) -> str:
    """Send a message with a plain Celery client, let it be received, and return the task's path."""
    ledger, queue = api.ledger, f"commands.{uuid.uuid4()}"
    settings = ledger.settings.model_copy(update={"commands_queue": queue})
    with Celery(broker=settings.broker, set_as_current=False) as celery:
        task_id = celery.send_task(name, kwargs=FIELDS, queue=queue, **options).id
    entry_point = CommandsByName(
        ledger.database, Acceptance(ledger.database, ledger.doorbells, settings), settings
    )
    ingest_queue = open_commands(settings)
    assert sum(entry_point.step(ingest_queue, wait_seconds=5).values()) == 1
    ingest_queue.close()
    return f"/tasks/{task_id}"


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("points.eran", {}, "UNKNOWN_TASK"),
        ("points.earn", {"args": [1]}, "POSITIONAL_ARGUMENTS"),
        ("points.earn", {"expires": datetime(2026, 1, 1, tzinfo=UTC)}, "EXPIRED"),
    ],
)
def test_a_message_that_is_not_a_command_is_a_refused_task(
    api: ApiEnvironment, name: str, options: dict[str, Any], reason: str
) -> None:
    task = api.get(send(api, name, **options), api.till).json()["data"]
    assert (task["state"], task["reason"], task["accepted_at"]) == ("refused", reason, None)
    assert task["message"]


def test_a_command_with_an_eta_is_a_pending_task(api: ApiEnvironment) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    task = api.get(send(api, "points.earn", eta=later), api.admin).json()["data"]
    assert (task["state"], task["kind"], task["accepted_at"]) == ("pending", "earn", None)


def test_other_tenants_and_users_cannot_read_the_task(api: ApiEnvironment) -> None:
    task = send(api, "points.eran")
    for token in (api.issuer.admin("other"), api.issuer.user("anna")):
        assert api.get(task, token).status_code == 404
