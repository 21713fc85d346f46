"""A paused tenant's commands are accepted and wait, and those of other tenants do not."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from pointledger import Earn, Spend
from pointledger.client.acceptor import Acceptance
from pointledger.domain.commands.records import lane_of
from pointledger.errors import TenantMissing
from pointledger.jobs.scheduler import EXPIRE_POINTS, JobScheduler
from pointledger.observability.verify import verify
from pointledger.settings import Settings
from pointledger.storage.queue import pending
from tests.lanes import user_in
from tests.ledger import Ledger

LONG_AGO = datetime(2017, 1, 1, tzinfo=UTC)


def neighbor(ledger: Ledger, tenant_id: str, user_id: str) -> str:
    """Return a user of another tenant in the same lane."""
    lanes = ledger.settings.lanes
    return user_in(lane_of("shop", user_id, lanes), tenant_id, lanes)


def test_a_paused_tenants_commands_wait_in_order_and_are_applied_after_resume(ledger: Ledger) -> None:
    since = ledger.client.pause("shop")
    assert ledger.client.pause("shop") == since, "pausing again changes nothing"
    earned = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    spent = ledger.client.enqueue(Spend(tenant_id="shop", user_id="anna", amount=5))
    assert ledger.engine.drain(ledger.waiting_lanes()[0]) == 0
    assert ledger.client.outcome(earned).state == "pending"
    assert ledger.client.tenant_statistics("shop")["paused_since"] is not None

    assert ledger.client.resume("shop") is True
    assert ledger.client.resume("shop") is False
    ledger.drain()
    assert [outcome.state for outcome in ledger.client.outcomes([earned, spent])] == ["applied", "applied"]


def test_a_paused_backlog_does_not_block_its_lane_and_is_not_rung(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 5})) as ledger:
        for tenant in ("shop", "other"):
            ledger.tenant(tenant)
        ledger.client.pause("shop")
        user = neighbor(ledger, "other", "anna")
        ledger.client.enqueue_many([Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(60)])
        task_id = ledger.client.enqueue(Earn(tenant_id="other", user_id=user, amount=7))
        (lane,) = ledger.waiting_lanes()

        assert ledger.engine.drain(lane) == 1

        assert ledger.client.outcome(task_id).state == "applied"
        with ledger.database.connect() as connection:
            assert pending.waiting_lanes(connection, 0) == [], "beat does not ring for a paused tenant"
        assert ledger.client.has_room([lane]), "paused commands do not count"
        ledger.client.resume("shop")
        with ledger.database.connect() as connection:
            assert pending.waiting_lanes(connection, 0) == [lane]
        assert not ledger.client.has_room([lane])
        assert ledger.drain() == 60


def test_no_command_of_the_tenant_is_applied_after_pause_returns(ledger: Ledger) -> None:
    ledger.client.enqueue_many([Earn(tenant_id="shop", user_id=f"u{n % 50}", amount=1) for n in range(3000)])
    worker = threading.Thread(target=lambda: [ledger.engine.drain(lane) for lane in ledger.waiting_lanes()])
    worker.start()
    ledger.client.pause("shop")
    applied = ledger.counts("outcomes")
    worker.join(60)
    assert ledger.counts("outcomes") == applied
    assert verify(ledger.database).violations == 0
    ledger.client.resume("shop")
    ledger.drain()
    assert ledger.counts("outcomes", "pending") == [3000, 0]


def test_a_batch_that_was_peeked_before_the_pause_is_not_claimed_after_it(ledger: Ledger) -> None:
    ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))
    (lane,) = ledger.waiting_lanes()
    _, peeked = ledger.engine._peek({lane: 100})
    assert len(peeked.batch) == 1
    ledger.client.pause("shop")
    assert ledger.engine._batches.apply(peeked) == 0


def test_the_nightly_job_of_a_paused_tenant_waits_and_others_do_not(ledger: Ledger) -> None:
    ledger.tenant("other")
    for tenant in ("shop", "other"):
        ledger.apply(
            Earn(tenant_id=tenant, user_id="anna", amount=10, occurred_at=LONG_AGO,
                 expires_at=LONG_AGO + timedelta(days=30))
        )  # fmt: skip
    with ledger.database.begin() as connection:
        connection.exec_driver_sql(
            """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until)
               SELECT 'expire-points', tenant, current_date, now(), now()
               FROM unnest(ARRAY['other', 'shop']) AS tenant"""
        )
    scheduler = JobScheduler(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
    ledger.client.pause("shop")

    assert scheduler.expire_points() is True
    assert scheduler.expire_points() is False
    ledger.drain()
    assert (ledger.balance("anna", "shop"), ledger.balance("anna", "other")) == (10, 0)
    assert list(scheduler.expire_now(LONG_AGO + timedelta(days=40))) == []

    ledger.client.resume("shop")
    assert scheduler.expire_points() is True
    ledger.drain()
    assert ledger.balance("anna", "shop") == 0
    assert scheduler.open_runs(EXPIRE_POINTS) == 0


def test_an_unknown_tenant_cannot_be_paused_or_resumed(ledger: Ledger) -> None:
    for call in (ledger.client.pause, ledger.client.resume):
        with pytest.raises(TenantMissing):
            call("nowhere")
