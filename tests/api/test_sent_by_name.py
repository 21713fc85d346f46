"""What came by name through Celery and is no command, or not yet, is a task like any other."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery

from pointledger.client.acceptor import Acceptance
from pointledger.integrations.celery_commands import ByName, open_commands
from tests.api.served import Served

FIELDS = {"tenant_id": "shop", "user_id": "anna", "amount": 5}


def sent(served: Served, name: str, **options: Any) -> str:
    """The path of a task that a plain client has sent, read by a worker."""
    ledger, queue = served.ledger, f"commands.{uuid.uuid4()}"
    settings = ledger.settings.model_copy(update={"commands_queue": queue})
    with Celery(broker=settings.broker, set_as_current=False) as theirs:
        task_id = theirs.send_task(name, kwargs=FIELDS, queue=queue, **options).id
    taker = ByName(ledger.database, Acceptance(ledger.database, ledger.doorbells, settings), settings)
    mailbox = open_commands(settings)
    assert sum(taker.step(mailbox, wait_seconds=5).values()) == 1
    mailbox.close()
    return f"/tasks/{task_id}"


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("points.eran", {}, "UNKNOWN_TASK"),
        ("points.earn", {"args": [1]}, "POSITIONAL_ARGUMENTS"),
        ("points.earn", {"expires": datetime(2026, 1, 1, tzinfo=UTC)}, "EXPIRED"),
    ],
)
def test_a_message_that_is_no_command_is_a_refused_task(
    served: Served, name: str, options: dict[str, Any], reason: str
) -> None:
    told = served.get(sent(served, name, **options), served.till).json()["data"]
    assert (told["state"], told["reason"], told["accepted_at"]) == ("refused", reason, None)
    assert told["message"]


def test_a_command_that_waits_for_its_moment_is_a_pending_task(served: Served) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    told = served.get(sent(served, "points.earn", eta=later), served.admin).json()["data"]
    assert (told["state"], told["kind"], told["accepted_at"]) == ("pending", "earn", None)


def test_it_is_shown_to_nobody_else(served: Served) -> None:
    task = sent(served, "points.eran")
    for token in (served.issuer.admin("other"), served.issuer.user("anna")):
        assert served.get(task, token).status_code == 404
