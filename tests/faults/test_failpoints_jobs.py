"""Injects faults into periodic jobs. Due work is done once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pointledger import ApplyRule, Earn, EraseUser, Freeze
from pointledger.client.acceptor import Acceptance
from pointledger.embedded import ServerUrls
from pointledger.errors import AcceptanceBusy
from pointledger.jobs.day_totals import DayTotals
from pointledger.jobs.scheduler import EXPIRE_POINTS, RESET_DAILY_LIMITS, JobScheduler
from pointledger.settings import Settings
from tests.databases import Clones, settings_of
from tests.faults.every_kind import DUE, SHOP, THEN
from tests.faults.injection import (
    SECONDS,
    SHORT_TIMEOUTS,
    faults_at,
    finish,
    inject,
    ran_yesterday,
    resume,
    violations,
)
from tests.ledger import Ledger, prepared
from tests.waiting import wait_until

pytestmark = pytest.mark.fault


def scheduler_of(ledger: Ledger) -> JobScheduler:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    return JobScheduler(ledger.database, acceptance, idle_timeout_ms=ledger.settings.idle_timeout_ms)


def expire(ledger: Ledger, _: None) -> None:
    scheduler = scheduler_of(ledger)
    scheduler.open_runs(EXPIRE_POINTS)
    while scheduler.expire_points():
        pass


def reset_limits(ledger: Ledger, _: None) -> None:
    scheduler = scheduler_of(ledger)
    scheduler.open_runs(RESET_DAILY_LIMITS)
    while scheduler.reset_daily_limits():
        pass


def release(ledger: Ledger, _: None) -> None:
    scheduler_of(ledger).release_holds()


def activate(ledger: Ledger, _: None) -> None:
    scheduler_of(ledger).activate_points()


def erase(ledger: Ledger, _: None) -> None:
    scheduler_of(ledger).finish_erasures()


def sum_up(ledger: Ledger, _: None) -> None:
    """Sum up what is recorded: the first call asks which transactions are open, the second finds none."""
    totals = DayTotals(ledger.database, lag_seconds=0, idle_timeout_ms=ledger.settings.idle_timeout_ms)
    totals.sum_up()
    totals.sum_up()


JOBS = (expire, reset_limits, release, activate, erase, sum_up)


def run_all_jobs(ledger: Ledger) -> None:
    """Run every job, as another worker does when beat rings."""
    for job in JOBS:

        def done(job: Callable[[Ledger, None], None] = job) -> bool:
            try:
                job(ledger, None)
            except AcceptanceBusy:
                return False
            return True

        wait_until(done, "the job is done", SECONDS)
    finish(ledger)


PASSED_BY = {
    "open-runs-commit": (expire, reset_limits),
    "take-run-commit": (expire,),
    "put-back-commit": (expire, reset_limits),
    "search-commit": (erase,),
    "day-totals-commit": (sum_up,),
    "accept-commit": (expire, release, activate),
    "publish": (expire, release, activate),
}


def prepare_due_work(ledger: Ledger) -> None:
    """Make points expire, pending points due and a hold time out, and erase a user."""
    ledger.tenant()
    ledger.rule(name="visit", event_type="visit", points=7, daily_limit=70)
    for user in ("expiring", "holding", "waiting", "leaving"):
        fields: dict[str, Any] = {"tenant_id": SHOP, "user_id": user, "occurred_at": THEN}
        ledger.apply(ApplyRule(**fields, event_type="visit"))
        ends: dict[str, Any] = {"expiring": {"expires_at": DUE}, "waiting": {"activates_at": DUE}}.get(
            user, {}
        )
        ledger.apply(Earn(**fields, **ends, amount=90))
    ledger.apply(
        Freeze(tenant_id=SHOP, user_id="holding", amount=20, occurred_at=THEN, expires_at=DUE),
        EraseUser(tenant_id=SHOP, user_id="leaving"),
    )


@pytest.fixture(scope="module")
def due_clones(servers: ServerUrls, clones: Clones) -> Iterator[Clones]:
    with prepared(servers, clones, prepare_due_work) as (opened, _):
        yield opened


@pytest.fixture
def due(servers: ServerUrls, due_clones: Clones, redis_url: str) -> Iterator[Settings]:
    """Settings of a ledger with due work, in which a stalled process loses its locks soon."""
    with due_clones.one() as url:
        yield settings_of(servers, url, redis_url, **SHORT_TIMEOUTS)


@pytest.mark.parametrize(
    ("word", "job"),
    [(word, job) for place, jobs in PASSED_BY.items() for word in faults_at([place]) for job in jobs],
)
def test_due_work_is_done_once_when_a_process_fails_at_a_failpoint_of_a_job(
    due: Settings, tmp_path: Path, word: str, job: Callable[[Ledger, None], None]
) -> None:
    with Ledger(due) as ledger:
        for nightly in (EXPIRE_POINTS, RESET_DAILY_LIMITS):
            ran_yesterday(ledger, nightly)
        process = inject(due, job, None, word, tmp_path / "injected")
        with ledger.database.begin() as connection:  # as if its lease of minutes had expired
            connection.exec_driver_sql("UPDATE job_runs SET leased_until = now()")
        run_all_jobs(ledger)
        resume(process)
        run_all_jobs(ledger)

        figures = ledger.rows(
            "SELECT balance, frozen_balance, pending_balance, expired_points FROM accounts ORDER BY user_id"
        )
        assert sorted(figures) == [(0, 0, 0, 0), (7, 0, 0, 90), (97, 0, 0, 0), (97, 0, 0, 0)]
        runs = ledger.rows("SELECT count(*), count(finished_at) FROM job_runs")
        assert runs == [(4, 4)], "two jobs, yesterday and today"
        assert ledger.rows("SELECT count(*) FROM erasures WHERE finished_at IS NULL") == [(0,)]
        assert violations(ledger) == []
