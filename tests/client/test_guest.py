"""The library does not change its user's process: it prints nothing, and logs through `logging`."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pointledger import Earn, PointsClient
from pointledger.messaging import doorbell, notifications
from pointledger.settings import Settings
from tests import logged
from tests.chaos.proxy import Link
from tests.client.programs import program
from tests.ledger import Ledger
from tests.links import link_to, through
from tests.waiting import wait_until
from tests.working import working

NOTHING: dict[str, list[str]] = {"import": [], "use": [], "further": []}


@pytest.fixture
def valkey(settings: Settings) -> Iterator[Link]:
    """The client's link to Valkey."""
    with link_to(settings.redis) as link:
        yield link


@pytest.mark.parametrize("change", [{}, {"redis_url": "redis://127.0.0.1:1/0"}], ids=["", "without Redis"])
def test_the_client_does_not_change_its_process(ledger: Ledger, change: dict[str, str]) -> None:
    ledger.tenant()
    settings = ledger.settings.model_copy(update=change)
    with working(ledger), program("guest.py", settings=settings) as running:
        assert running.says() == NOTHING


def test_an_outage_of_redis_and_its_end_are_each_logged_once(
    ledger: Ledger, valkey: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tenant()
    attempts: list[int] = []
    read = notifications._read

    def counted(*given: Any) -> None:
        attempts.append(1)
        read(*given)

    monkeypatch.setattr(notifications, "_read", counted)
    monkeypatch.setattr(notifications, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(doorbell, "_PAUSE_SECONDS", 0.01)
    valkey.refuse(True)
    linked = ledger.settings.model_copy(update={"redis_url": through(ledger.settings.redis, valkey)})
    with logged.records() as records, PointsClient.connect(linked) as client:
        for _ in range(20):
            client.enqueue(earn())
        with pytest.raises(TimeoutError):
            client.wait(client.enqueue(earn()), timeout=0)
        wait_until(lambda: len(attempts) > 20, "the thread retries")
        valkey.refuse(False)
        wait_until(lambda: "redis_is_back" in events(records), "the thread notices that Redis is back")
        wait_until(
            lambda: bool(client.enqueue(earn())) and "doorbell_works" in events(records), "the client rings"
        )
    assert sorted(events(records)) == ["doorbell_failed", "doorbell_works", "redis_is_away", "redis_is_back"]


def test_a_log_record_has_the_librarys_name_a_readable_message_and_its_fields(ledger: Ledger) -> None:
    away = ledger.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with logged.records() as records, PointsClient.connect(away) as client:
        client.enqueue(earn())
    (record,) = records
    assert (record.name, record.levelno) == ("pointledger.messaging.doorbell", logging.WARNING)
    assert record.getMessage() == "doorbell_failed action=ring error=ConnectionError"
    fields = vars(record)
    assert (fields["event"], fields["action"], fields["error"]) == (
        "doorbell_failed",
        "ring",
        "ConnectionError",
    )
    assert fields["funcName"] == "noticed"


def events(records: list[logging.LogRecord]) -> list[str]:
    return [vars(record)["event"] for record in records]


def earn() -> Earn:
    return Earn(tenant_id="shop", user_id="anna", amount=1)
