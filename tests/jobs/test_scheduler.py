"""Each periodic job runs once per tenant and local date, with any number of beat processes."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointledger import CancelPending, Earn
from pointledger.client.acceptor import Acceptance
from pointledger.errors import InvalidCommand
from pointledger.ids import parse_id
from pointledger.jobs.scheduler import EXPIRE_POINTS, JobScheduler
from pointledger.storage.database import engine_for, rows
from tests.jobs.runs import LONG_AGO, last_run
from tests.ledger import Ledger


def grant_due_points(ledger: Ledger, *users: str) -> None:
    for user in users:
        ledger.apply(
            Earn(
                tenant_id="shop",
                user_id=user,
                amount=10,
                occurred_at=LONG_AGO,
                expires_at=LONG_AGO + timedelta(days=30),
            )
        )


def test_a_new_tenant_has_no_run_before_its_next_midnight(ledger: Ledger, scheduler: JobScheduler) -> None:
    assert scheduler.open_runs(EXPIRE_POINTS) == 0
    assert scheduler.expire_points() is False


def test_due_points_expire_at_the_tenants_midnight_with_one_entry_per_lot(
    ledger: Ledger, scheduler: JobScheduler
) -> None:
    grant_due_points(ledger, "anna", "ben")
    today = last_run(ledger, EXPIRE_POINTS, days_ago=1)
    assert scheduler.open_runs(EXPIRE_POINTS) == 1

    assert scheduler.expire_points() is True
    ledger.drain()

    assert scheduler.expire_points() is False, "the run is finished"
    for user in ("anna", "ben"):
        newest = ledger.entries(user)[0]
        assert (newest["type"], newest["subtype"], newest["amount"]) == ("expire", "scheduled", 10)
        assert ledger.account(user)["expired_points"] == 10
    run = ledger.rows("SELECT local_date, found, finished_at FROM job_runs ORDER BY local_date DESC LIMIT 1")
    assert run[0][:2] == (today, 2)
    assert run[0][2] is not None


def test_e3_an_expiry_job_that_runs_twice_changes_nothing(ledger: Ledger, scheduler: JobScheduler) -> None:
    grant_due_points(ledger, "anna")
    as_of = LONG_AGO + timedelta(days=31)
    first = [receipt.new for receipt in scheduler.expire_now(as_of, "shop")]
    second = [receipt.new for receipt in scheduler.expire_now(as_of, "shop")]
    ledger.drain()
    assert (first, second) == ([1], [0])
    assert [receipt.new for receipt in scheduler.expire_now(as_of, "shop")] == [], "then no account is due"
    assert ledger.account("anna")["version"] == 2


def test_a_lot_that_expires_after_the_moment_of_the_job_stays(
    ledger: Ledger, scheduler: JobScheduler
) -> None:
    grant_due_points(ledger, "anna")
    just_before = LONG_AGO + timedelta(days=30, microseconds=-1)
    assert list(scheduler.expire_now(just_before, "shop")) == []


def test_the_scheduler_catches_up_on_three_nights_without_beat(
    ledger: Ledger, scheduler: JobScheduler
) -> None:
    today = last_run(ledger, EXPIRE_POINTS, days_ago=3)
    assert scheduler.open_runs(EXPIRE_POINTS) == 3
    assert scheduler.open_runs(EXPIRE_POINTS) == 0, "each run is opened once"
    dates = ledger.rows("SELECT local_date FROM job_runs WHERE finished_at IS NULL ORDER BY 1")
    assert [row[0] for row in dates] == [today - timedelta(days=ago) for ago in (2, 1, 0)]


def test_e3_five_beats_at_once_open_and_process_each_run_once(ledger: Ledger) -> None:
    grant_due_points(ledger, "anna", "ben", "carl")
    last_run(ledger, EXPIRE_POINTS, days_ago=3)
    barrier = threading.Barrier(5)
    opened: list[int] = []

    def beat() -> None:
        database = engine_for(ledger.settings.database)
        own = JobScheduler(database, Acceptance(database, ledger.doorbells, ledger.settings))
        barrier.wait(30)
        opened.append(own.open_runs(EXPIRE_POINTS))
        while own.expire_points():
            pass
        database.dispose()

    threads = [threading.Thread(target=beat) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    ledger.drain()
    assert sum(opened) == 3
    assert ledger.rows("SELECT count(*) FROM job_runs WHERE finished_at IS NULL") == [(0,)]
    assert [ledger.account(user)["expired_points"] for user in ("anna", "ben", "carl")] == [10, 10, 10]
    assert ledger.rows("SELECT count(*) FROM entries WHERE type = 'expire'") == [(3,)]


def test_e3_another_worker_resumes_the_run_of_a_dead_worker(ledger: Ledger, scheduler: JobScheduler) -> None:
    grant_due_points(ledger, "anna")
    last_run(ledger, EXPIRE_POINTS, days_ago=1)
    scheduler.open_runs(EXPIRE_POINTS)
    with ledger.database.begin() as connection:  # the lease of a dead worker
        connection.exec_driver_sql("UPDATE job_runs SET leased_until = now() + interval '1 hour'")
    assert scheduler.expire_points() is False, "the lease has not expired"

    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE job_runs SET leased_until = now()")
    assert scheduler.expire_points() is True
    assert ledger.drain() == 1


def test_the_expiry_job_finds_no_account_while_expiry_is_switched_off(
    ledger: Ledger, scheduler: JobScheduler
) -> None:
    grant_due_points(ledger, "anna")
    ledger.tenant(timezone="America/New_York", expire_enabled=False)
    assert list(scheduler.expire_now(datetime.now(UTC))) == []


def test_the_activation_job_makes_pending_points_available(ledger: Ledger, scheduler: JobScheduler) -> None:
    ledger.tenant()
    now = ledger.rows("SELECT clock_timestamp()")[0][0]
    for user in ("anna", "ben"):
        fields: dict[str, Any] = {
            "tenant_id": "shop",
            "user_id": user,
            "occurred_at": now - timedelta(days=9),
        }
        ledger.apply(Earn(**fields, amount=5, activates_at=now + timedelta(hours=1)))
        ledger.apply(Earn(**fields, amount=7, activates_at=now - timedelta(days=1)))
    ledger.apply(Earn(tenant_id="shop", user_id="carl", amount=9, activates_at=now + timedelta(hours=1)))
    assert [ledger.balance(user) for user in ("anna", "ben")] == [0, 0]

    assert (scheduler.activate_points(), scheduler.activate_points()) == (2, 0), (
        "a lot that is found again gives the same command"
    )
    ledger.drain()
    assert [ledger.balance(user) for user in ("anna", "ben", "carl")] == [7, 7, 0]
    assert scheduler.activate_points() == 0
    assert ledger.counts("aliases") == [0]


def test_an_activation_without_pending_points_is_found_only_once(
    ledger: Ledger, scheduler: JobScheduler
) -> None:
    ledger.tenant()
    now = ledger.rows("SELECT clock_timestamp()")[0][0]
    fields: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "occurred_at": now - timedelta(days=9)}
    ledger.apply(Earn(**fields, amount=5, activates_at=now - timedelta(days=1)))
    order = parse_id(ledger.entries("anna")[0]["id"])
    ledger.apply(CancelPending(**fields, related_id=order))
    assert scheduler.activate_points() == 1
    ledger.drain()
    assert scheduler.activate_points() == 0
    assert ledger.rows("SELECT next_activation_at FROM accounts") == [(None,)]


@pytest.fixture
def helped(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands a scheduler has applied itself, each time it helped on; two users are fed together,
    and none while one of them waits."""
    monkeypatch.setattr("pointledger.jobs.scheduler._AT_ONCE", 2)
    monkeypatch.setattr("pointledger.jobs.scheduler._MAX_LEFT", 0)
    return []


@pytest.fixture
def helping(ledger: Ledger, helped: list[int]) -> JobScheduler:
    def help_on(lanes: list[int]) -> None:
        helped.append(sum(ledger.engine.drain(lane) for lane in lanes))

    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    return JobScheduler(ledger.database, acceptance, help_on=help_on)


def test_a_nightly_run_applies_its_commands_before_it_accepts_more(
    ledger: Ledger, helping: JobScheduler, helped: list[int]
) -> None:
    grant_due_points(ledger, "anna", "ben", "carl")
    last_run(ledger, EXPIRE_POINTS, days_ago=1)
    helping.open_runs(EXPIRE_POINTS)
    assert helping.expire_points() is True
    assert helped == [2, 1]
    assert [ledger.account(user)["expired_points"] for user in ("anna", "ben", "carl")] == [10, 10, 10]
    assert helping.expire_points() is False


def test_blocked_commands_do_not_delay_a_job(
    ledger: Ledger, helping: JobScheduler, helped: list[int]
) -> None:
    users = ("anna", "ben", "carl")
    grant_due_points(ledger, *users)
    last_run(ledger, EXPIRE_POINTS, days_ago=1)
    helping.open_runs(EXPIRE_POINTS)
    ledger.client.enqueue_many([Earn(tenant_id="shop", user_id=user, amount=1) for user in users])
    with ledger.database.begin() as connection:  # they have failed, and block later commands
        rows(
            connection,
            """INSERT INTO failures (id, lane, tenant_id, user_id, attempts, error, next_attempt_at)
               SELECT id, j.lane, tenant_id, user_id, 1, '', 'infinity' FROM pending JOIN journal j USING (id)
               RETURNING id""",
        )
    assert helping.expire_points() is True
    assert ledger.rows("SELECT count(*) FROM journal WHERE kind = 'expire-due'") == [(3,)]
    assert helped == []


def test_a_manual_expiry_job_rejects_a_moment_in_the_future(ledger: Ledger, scheduler: JobScheduler) -> None:
    with pytest.raises(InvalidCommand, match="as_of: is in the future"):
        list(scheduler.expire_now(datetime.now(UTC) + timedelta(days=1)))
