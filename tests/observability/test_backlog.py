"""Backpressure: beyond a bounded backlog every door says so, nothing is lost, and it recovers by itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from pointledger import AnyCommand, Earn, PointsClient
from pointledger.client.acceptor import Acceptance
from pointledger.client.backlog import Backlog, Stand
from pointledger.domain.values.actor import By
from pointledger.errors import BacklogFull
from pointledger.events.ingest import Intake
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger_demo.programme import TENANT
from pointledger_demo.system import System
from tests.api.issuer import Issuer
from tests.api.served import http_settings, serving
from tests.events.sender import Sender, event, opened_mailbox, producers
from tests.ledger import Ledger
from tests.observability.test_doctor import ROOT, age_the_journal
from tests.waiting import wait_until

LIMIT = 3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"backlog_limit": LIMIT})


@pytest.fixture
def client(ledger: Ledger) -> Iterator[PointsClient]:
    with PointsClient.connect(ledger.settings) as opened:
        yield opened


def earns(count: int) -> list[AnyCommand]:
    return [Earn(tenant_id="shop", user_id=f"user-{number}", amount=5) for number in range(count)]


def accepts(client: PointsClient) -> bool:
    try:
        client.enqueue_many(earns(1))
    except BacklogFull:
        return False
    return True


def fill(ledger: Ledger) -> None:
    """As much as may wait, by a door that has no limit."""
    Acceptance(ledger.database, ledger.doorbells, ledger.settings).accept(earns(LIMIT))


def test_beyond_the_limit_the_client_raises_and_nothing_is_accepted(
    ledger: Ledger, client: PointsClient
) -> None:
    fill(ledger)
    with pytest.raises(BacklogFull, match="3 wait"):
        client.enqueue_many(earns(2))
    with ledger.database.begin() as connection, pytest.raises(BacklogFull):
        client.enqueue_many(earns(1), connection)
    with pytest.raises(BacklogFull):
        client.batch_earn("shop", [("anna", 5)], idempotency_key="bonus")
    assert ledger.counts("journal", "pending", "batches") == [LIMIT, LIMIT, 0]
    ledger.drain()
    wait_until(lambda: accepts(client), "the doors open by themselves")


def test_a_backlog_that_is_too_old_closes_the_doors_too(ledger: Ledger) -> None:
    fill(ledger)
    settings = ledger.settings.model_copy(update={"backlog_limit": 100, "backlog_seconds": 60.0})
    Backlog(ledger.database, settings).require_room()
    age_the_journal(ledger, 2)
    with pytest.raises(BacklogFull):
        Backlog(ledger.database, settings).require_room()
    ledger.client.pause("shop", By())
    Backlog(ledger.database, settings).require_room()  # what waits by intent closes nothing


def test_the_database_is_not_asked_for_each_command(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = Backlog.look

    def counted(*given: Any) -> Stand:
        nonlocal looks
        looks += 1
        return look(*given)

    monkeypatch.setattr(Backlog, "look", staticmethod(counted))
    backlog = Backlog(ledger.database, ledger.settings)
    for _ in range(100):
        backlog.require_room()
    assert looks == 1


def test_a_database_that_is_away_leaves_the_doors_as_they_were(ledger: Ledger) -> None:
    nowhere = engine_for("postgresql://127.0.0.1:1/none")
    Backlog(nowhere, ledger.settings).require_room()  # accepting will say what is wrong


def test_the_sweeps_are_not_held_back(ledger: Ledger) -> None:
    fill(ledger)
    unbounded = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    assert unbounded.accept(earns(1)).new == 1


def test_the_gateway_answers_503_with_retry_after_until_there_is_room(
    settings: Settings, tmp_path: Path
) -> None:
    issuer = Issuer()
    with serving(http_settings(settings, issuer, tmp_path), issuer) as served:
        served.ledger.tenant("shop")
        served.ledger.client.pause("shop", By())
        fill(served.ledger)

        def status() -> int:
            return served.post("/points/anna/earn", served.till, {"amount": 5}).status_code

        full = served.post("/points/anna/earn", served.till, {"amount": 5})
        assert (full.status_code, full.headers["Retry-After"]) == (503, "5")
        assert "too much waits" in full.json()["message"]
        assert served.get("/readyz").status_code == 200, "it can still look things up"
        served.ledger.client.resume("shop", By())
        wait_until(lambda: status() == 200, "it accepts again")


def test_the_intake_leaves_messages_with_the_broker_until_there_is_room(ledger: Ledger) -> None:
    ledger.rule(name="visits", event_type="visit", points=3)
    backlog = Backlog(ledger.database, ledger.settings)
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings, backlog)
    intake, mailbox = Intake(ledger.database, acceptance, producers()), opened_mailbox(ledger.settings)
    fill(ledger)
    with Sender(ledger.settings) as sender:
        sender.send(event(1))
        with pytest.raises(BacklogFull):
            intake.step(mailbox, wait_seconds=5)
        assert ledger.counts("journal", "dead_letters") == [LIMIT, 0]
        ledger.drain()
        stopped: list[bool] = []
        intake.run(mailbox, lambda: bool(ledger.counts("journal") == [LIMIT + 1] or stopped))
    mailbox.close()
    ledger.drain()
    assert ledger.balance("anna") == 3


def test_commands_by_name_stay_in_celerys_queue_until_there_is_room(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tenant(TENANT)
    fill(ledger)
    ledger.client.pause("shop", By())
    monkeypatch.setenv("POINTLEDGER_BACKLOG_LIMIT", str(LIMIT))
    running = System(ROOT, data=tmp_path, settings=ledger.settings, workers=1)
    running.start()
    try:
        with Celery(broker=ledger.settings.broker, set_as_current=False) as app:
            fields = {"tenant_id": TENANT, "user_id": "anna", "amount": 5}
            sent = app.send_task("points.earn", kwargs=fields, queue="points.commands")
            log = tmp_path / "logs" / "worker-1.log"
            wait_until(lambda: "doors_closed" in log.read_text(), "a worker has met the full backlog")
            assert ledger.counts("journal", "dead_letters") == [LIMIT, 0]
            ledger.client.resume("shop", By())
            assert ledger.client.wait(sent.id, 30).state == "applied"
    finally:
        running.stop()
