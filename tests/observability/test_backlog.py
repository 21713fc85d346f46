"""Backpressure: every entry point rejects commands beyond the backlog limit, loses none and recovers."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from pointledger import AnyCommand, Earn, PointsClient
from pointledger.client import backlog as backlog_module
from pointledger.client.acceptor import Acceptance
from pointledger.client.backlog import Backlog, BacklogStatus
from pointledger.client.receipts import AcceptResult
from pointledger.domain.values.actor import Actor
from pointledger.errors import BacklogFull, TenantBacklogFull
from pointledger.events.ingest import Ingest
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import TENANT
from tests.api.environment import http_settings, open_api
from tests.api.issuer import Issuer
from tests.events.sender import Sender, event, opened_ingest_queue, producers
from tests.ledger import Ledger
from tests.observability.test_doctor import ROOT
from tests.observability.test_doctor_work import age_the_journal
from tests.waiting import wait_until

LIMIT = 3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"backlog_limit": LIMIT, "batch_size": 1})


@pytest.fixture
def client(ledger: Ledger) -> Iterator[PointsClient]:
    with PointsClient.connect(ledger.settings) as opened:
        yield opened


def earns(count: int, tenant_id: str = "shop") -> list[AnyCommand]:
    return [Earn(tenant_id=tenant_id, user_id=f"user-{number}", amount=5) for number in range(count)]


def accepts(client: PointsClient) -> bool:
    try:
        client.enqueue_many(earns(1))
    except BacklogFull:
        return False
    return True


def fill(ledger: Ledger, tenant_id: str = "shop") -> None:
    """Fill the backlog through an acceptance without a limit."""
    Acceptance(ledger.database, ledger.doorbells, ledger.settings).accept(earns(LIMIT, tenant_id))


def test_beyond_the_limit_the_client_raises_and_nothing_is_accepted(
    ledger: Ledger, client: PointsClient
) -> None:
    fill(ledger)
    with pytest.raises(BacklogFull, match="3 pending"):
        client.enqueue_many(earns(2))
    with ledger.database.begin() as connection, pytest.raises(BacklogFull):
        client.enqueue_many(earns(1), connection)
    with pytest.raises(BacklogFull):
        client.batch_earn("shop", [("anna", 5)], idempotency_key="bonus")
    assert ledger.counts("journal", "pending", "batches") == [LIMIT, LIMIT, 0]
    ledger.drain()
    wait_until(lambda: accepts(client), "acceptance resumes")


def test_a_backlog_that_is_too_old_is_full_too(ledger: Ledger) -> None:
    fill(ledger)
    settings = ledger.settings.model_copy(update={"backlog_limit": 100, "backlog_seconds": 60.0})
    assert Backlog(ledger.database, settings).status().refusal_of("shop") is None
    age_the_journal(ledger, 2)
    assert isinstance(Backlog(ledger.database, settings).status().refusal_of("shop"), TenantBacklogFull)
    assert Backlog(ledger.database, settings).status().refusal_of("till") is None, "another tenant has room"
    ledger.client.pause("shop", Actor())
    assert Backlog(ledger.database, settings).status().refusal_of("shop") is None, "paused ones have no age"


def test_the_backlog_is_not_read_for_each_command(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    look = Backlog.measure

    def counted(*given: Any) -> BacklogStatus:
        nonlocal reads
        reads += 1
        return look(*given)

    monkeypatch.setattr(Backlog, "measure", staticmethod(counted))
    backlog = Backlog(ledger.database, ledger.settings)
    for _ in range(100):
        backlog.status()
    assert reads == 1


@pytest.fixture
def slow(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Backlog:
    """A backlog whose last measurement counts as slow."""
    monkeypatch.setattr(backlog_module, "_QUICK_SECONDS", -1.0)
    return Backlog(ledger.database, ledger.settings)


def test_a_caller_does_not_wait_while_a_large_backlog_is_measured(
    ledger: Ledger, slow: Backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, may_measure = Backlog.measure, threading.Event()

    def measured(*given: Any) -> BacklogStatus:
        assert may_measure.wait(60)
        return measure(*given)

    monkeypatch.setattr(Backlog, "measure", staticmethod(measured))
    fill(ledger)
    assert [slow.status().waiting, slow.status().waiting] == [0, 0], "as it was before"
    may_measure.set()
    wait_until(lambda: slow.status().waiting == LIMIT, "the backlog is measured")


def test_where_threads_do_not_run_a_caller_measures_a_large_backlog(
    ledger: Ledger, slow: Backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in uWSGI without `enable-threads`."""
    monkeypatch.setattr(threading.Thread, "start", lambda thread: None)
    monkeypatch.setattr(backlog_module, "_LATE_SECONDS", 0.0)
    fill(ledger)
    assert [slow.status().waiting, slow.status().waiting] == [0, LIMIT]


def test_a_database_that_is_away_does_not_count_as_a_full_backlog(ledger: Ledger) -> None:
    nowhere = engine_for("postgresql://127.0.0.1:1/none")
    assert Backlog(nowhere, ledger.settings).status().waiting == 0  # the acceptance itself will fail


def test_jobs_are_not_limited_by_the_backlog(ledger: Ledger) -> None:
    fill(ledger)
    unbounded = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    assert unbounded.accept(earns(1)).new == 1


def test_the_api_answers_429_to_a_tenant_over_its_share_until_there_is_room(
    settings: Settings, tmp_path: Path
) -> None:
    issuer = Issuer()
    with open_api(http_settings(settings, issuer, tmp_path), issuer) as api:
        api.ledger.tenant("shop")
        api.ledger.tenant("other")
        api.ledger.client.pause("shop", Actor())
        fill(api.ledger)

        def status() -> int:
            return api.post("/points/anna/earn", api.till, {"amount": 5}).status_code

        full = api.post("/points/anna/earn", api.till, {"amount": 5})
        assert (full.status_code, full.headers["Retry-After"]) == (429, "5")
        assert "this tenant has too many pending commands" in full.json()["message"]
        rows = {"items": [{"user_id": "anna", "amount": 5}]}
        assert api.post("/admin/points/batch-earn", api.till, rows, key="bonus").status_code == 429
        assert api.get("/readyz").status_code == 200, "queries still work"
        assert api.post("/points/anna/earn", issuer.admin("other"), {"amount": 5}).status_code == 200
        api.ledger.client.resume("shop", Actor())
        wait_until(lambda: status() == 200, "it accepts again")


def test_the_api_answers_503_while_the_whole_backlog_is_full(settings: Settings, tmp_path: Path) -> None:
    issuer = Issuer()
    limits = {"backlog_limit": 6, "backlog_share": 0.9, "batch_size": 1}
    given = http_settings(settings.model_copy(update=limits), issuer, tmp_path)
    with open_api(given, issuer, worker=False) as api:
        for tenant_id in ("shop", "other"):
            api.ledger.tenant(tenant_id)
            fill(api.ledger, tenant_id)
        full = api.post("/points/anna/earn", api.till, {"amount": 5})
        assert (full.status_code, full.headers["Retry-After"]) == (503, "5")
        assert "too many commands are pending" in full.json()["message"]


def test_ingest_leaves_messages_with_the_broker_until_there_is_room(ledger: Ledger) -> None:
    ledger.rule(name="visits", event_type="visit", points=3)
    backlog = Backlog(ledger.database, ledger.settings, shares=False)
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings, backlog)
    ingest, ingest_queue = (
        Ingest(ledger.database, acceptance, producers()),
        opened_ingest_queue(ledger.settings),
    )
    fill(ledger)
    with Sender(ledger.settings) as sender:
        sender.send(event(1))
        with pytest.raises(BacklogFull):
            ingest.step(ingest_queue, wait_seconds=5)
        assert ledger.counts("journal", "dead_letters") == [LIMIT, 0]
        ledger.drain()
        stopped: list[bool] = []
        ingest.run(ingest_queue, lambda: bool(ledger.counts("journal") == [LIMIT + 1] or stopped))
    ingest_queue.close()
    ledger.drain()
    assert ledger.balance("anna") == 3


def test_commands_by_name_stay_in_celerys_queue_until_there_is_room(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tenant(TENANT)
    ledger.client.pause(TENANT, Actor())
    fill(ledger, TENANT)
    monkeypatch.setenv("POINTLEDGER_BACKLOG_LIMIT", str(LIMIT))
    monkeypatch.setenv("POINTLEDGER_BATCH_SIZE", "1")
    running = ProcessGroup(ROOT, data=tmp_path, settings=ledger.settings, workers=1)
    running.start()
    try:
        with Celery(broker=ledger.settings.broker, set_as_current=False) as app:
            fields = {"tenant_id": TENANT, "user_id": "anna", "amount": 5}
            sent = app.send_task("points.earn", kwargs=fields, queue="points.commands")
            log = tmp_path / "logs" / "worker-1.log"
            wait_until(lambda: "backlog_full" in log.read_text(), "a worker met the full backlog")
            assert ledger.counts("journal", "dead_letters") == [LIMIT, 0]
            ledger.client.resume(TENANT, Actor())
            assert ledger.client.wait(sent.id, 30).state == "applied"
    finally:
        running.stop()


def test_a_queue_of_all_tenants_has_no_limit_per_tenant(ledger: Ledger) -> None:
    """A message that stayed there would hold up the messages of other tenants behind it."""
    settings = ledger.settings.model_copy(update={"backlog_limit": 2 * LIMIT})
    fill(ledger)
    with pytest.raises(TenantBacklogFull, match="tenant shop: 3 pending"):
        Acceptance(ledger.database, ledger.doorbells, settings, Backlog(ledger.database, settings)).accept(
            earns(1)
        )
    backlog = Backlog(ledger.database, settings, shares=False)
    assert Acceptance(ledger.database, ledger.doorbells, settings, backlog).accept(earns(1)).new == 1


def test_beyond_the_whole_limit_a_tenant_with_few_commands_is_let_in(ledger: Ledger) -> None:
    settings = ledger.settings.model_copy(update={"backlog_share": 1.0, "batch_size": 2})
    fill(ledger)
    acceptance = Acceptance(ledger.database, ledger.doorbells, settings, Backlog(ledger.database, settings))
    with pytest.raises(BacklogFull):
        acceptance.accept(earns(1))
    assert acceptance.accept(earns(1, "till")).new == 1


def test_a_full_tenant_does_not_fail_the_commands_of_others_in_the_same_call(ledger: Ledger) -> None:
    fill(ledger)
    acceptance = Acceptance(
        ledger.database, ledger.doorbells, ledger.settings, Backlog(ledger.database, ledger.settings)
    )
    full, accepted = acceptance.accept_each([*earns(1), *earns(1, "till")])
    assert isinstance(full, TenantBacklogFull)
    assert isinstance(accepted, AcceptResult)
