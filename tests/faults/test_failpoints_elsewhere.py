"""Injects faults into periodic jobs, relay, ingest, commands by name and callbacks. Due work is done once, an
event is sent at least once and in order, and a message becomes one command or one dead letter."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from pointledger import ApplyRule, Earn, EraseUser, Freeze
from pointledger.client.acceptor import Acceptance
from pointledger.embedded import ServerUrls
from pointledger.errors import AcceptanceBusy
from pointledger.events.ingest import Ingest
from pointledger.integrations.celery_callbacks import CallbackSender, ResultDestination, TaskDestination
from pointledger.integrations.celery_commands import CommandsByName, open_commands
from pointledger.jobs.day_totals import DayTotals
from pointledger.jobs.scheduler import EXPIRE_POINTS, RESET_DAILY_LIMITS, JobScheduler
from pointledger.settings import Settings
from tests.databases import Clones, settings_of
from tests.events.listener import Listener, relay_all
from tests.events.sender import Sender, earn, opened_ingest_queue, producers
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


# ------------------------------------------------------------------------------------------- events


def relay(ledger: Ledger, _: None) -> None:
    relay_all(ledger.settings)


@pytest.mark.parametrize("word", faults_at(["events-publish", "relay-commit"]))
def test_every_event_is_sent_in_order_per_user_when_a_relay_fails(
    short_timeouts: Settings, tmp_path: Path, word: str
) -> None:
    with Ledger(short_timeouts) as ledger, Listener(short_timeouts) as listener:
        ledger.tenant(events="all")
        ledger.apply(*(Earn(tenant_id=SHOP, user_id=user, amount=n) for user in "abc" for n in (1, 2, 3)))
        process = inject(short_timeouts, relay, None, word, tmp_path / "injected")
        wait_until(lambda: _all_are_sent(ledger), "every event is sent", SECONDS)
        resume(process)
        received = listener.listen(listener.queued_count())
        first = {event["id"]: (event["subject"], event["data"]["seq"]) for event in reversed(received)}
        assert sorted(first.values()) == [(user, seq) for user in "abc" for seq in (1, 2, 3)]
        for user in "abc":
            seqs = dict.fromkeys(event["data"]["seq"] for event in received if event["subject"] == user)
            assert list(seqs) == [1, 2, 3], "in order, without duplicates"
        assert violations(ledger) == []


def _all_are_sent(ledger: Ledger) -> bool:
    """Relay what is left. A stopped relay's slot is free once Postgres has ended its transaction."""
    relay_all(ledger.settings)
    return ledger.rows("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == [(0,)]


def ingest_messages(ledger: Ledger, _: None) -> None:
    ingest_queue = opened_ingest_queue(ledger.settings)
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    ingest = Ingest(ledger.database, acceptance, producers(), idle_ms=ledger.settings.idle_timeout_ms)
    ingest.step(ingest_queue, wait_seconds=1.0)


# ------------------------------------------------------------------------------------ commands by name


def receive_commands(ledger: Ledger, _: None) -> None:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    idle_ms = ledger.settings.idle_timeout_ms
    receiver = CommandsByName(ledger.database, acceptance, ledger.settings, idle_ms=idle_ms)
    receiver.step(open_commands(ledger.settings), wait_seconds=0.2)


def send_callbacks(ledger: Ledger, _: None) -> None:
    for destination in (TaskDestination(ledger.settings), ResultDestination(ledger.settings)):
        CallbackSender(ledger.database, ledger.settings, destination).step()


@pytest.mark.parametrize("word", faults_at(["by-name-commit", "ack-commands"]))
def test_each_command_by_name_is_accepted_or_refused_once_when_its_receiver_fails(
    short_timeouts: Settings, tmp_path: Path, word: str
) -> None:
    with Ledger(short_timeouts) as ledger, Celery(broker=short_timeouts.broker, set_as_current=False) as app:
        ledger.tenant()
        fields = {"tenant_id": SHOP, "user_id": "anna", "amount": 5}
        for name in ("points.earn", "points.earn", "points.earn", "points.learn"):
            app.send_task(name, kwargs=fields, queue="points.commands")
        process = inject(short_timeouts, receive_commands, None, word, tmp_path / "injected")

        def everything_is_in() -> bool:
            for alive in ledger.redis.scan_iter("*:alive:*"):
                ledger.redis.delete(alive)  # as if 30 seconds had passed without a sign of life
            try:
                receive_commands(ledger, None)
            except AcceptanceBusy:
                return False
            left = [*ledger.redis.scan_iter("*:taken:*"), *ledger.redis.scan_iter("points.commands")]
            return ledger.counts("journal", "dead_letters") == [3, 1] and not left

        wait_until(everything_is_in, "three are commands, one is a dead letter", SECONDS)
        resume(process)
        finish(ledger)
        assert ledger.balance("anna") == 15
        assert ledger.counts("journal", "dead_letters") == [3, 1]
        assert violations(ledger) == []


@pytest.mark.parametrize("word", faults_at(["callbacks-send", "callbacks-commit"]))
def test_each_callback_is_sent_with_one_id_when_its_sender_fails(
    short_timeouts: Settings, tmp_path: Path, word: str
) -> None:
    settings = short_timeouts.model_copy(update={"result_url": short_timeouts.redis_url})
    with Ledger(settings) as ledger, Celery(broker=settings.broker, set_as_current=False) as app:
        ledger.tenant()
        fields = {"tenant_id": SHOP, "user_id": "anna", "amount": 5}
        link = app.signature("shop.next", queue="shop")
        sent = [
            app.send_task("points.earn", kwargs=fields, queue="points.commands", link=link) for _ in "abc"
        ]
        receive_commands(ledger, None)
        finish(ledger)
        process = inject(settings, send_callbacks, None, word, tmp_path / "injected")

        def all_is_sent() -> bool:
            send_callbacks(ledger, None)
            return ledger.rows("SELECT FROM callbacks WHERE sent_at IS NULL") == []

        wait_until(all_is_sent, "every callback is sent", SECONDS)
        resume(process)
        received = [json.loads(item)["headers"]["id"] for item in ledger.redis.lrange("shop", 0, -1)]
        assert len(set(received)) == 3, "a callback that is sent twice has the same id"
        for one in sent:
            assert ledger.redis.exists(f"celery-task-meta-{one.id}")
        assert violations(ledger) == []


@pytest.mark.parametrize("word", faults_at(["accept-commit", "dead-letters-commit", "ack"]))
def test_a_message_becomes_one_command_or_one_dead_letter_when_ingest_fails(
    short_timeouts: Settings, tmp_path: Path, word: str
) -> None:
    with Ledger(short_timeouts) as ledger, Sender(short_timeouts) as sender:
        ledger.tenant()
        for number in (1, 2, 3):
            sender.send(earn(number))
        sender.send(earn(4), headers={})  # without a signature
        process = inject(short_timeouts, ingest_messages, None, word, tmp_path / "injected")

        def everything_is_in() -> bool:
            for alive in ledger.redis.scan_iter("*:alive:*"):
                ledger.redis.delete(alive)  # as if 30 seconds had passed without a sign of life
            try:
                ingest_messages(ledger, None)
            except AcceptanceBusy:
                return False
            return ledger.counts("journal", "dead_letters") == [3, 1] and not list(
                ledger.redis.scan_iter("*:taken:*")
            )

        wait_until(everything_is_in, "three are commands, one is a dead letter", SECONDS)
        resume(process)
        finish(ledger)
        assert (ledger.balance("anna"), sender.count()) == (15, 0)
        assert ledger.counts("journal", "dead_letters") == [3, 1]
        assert violations(ledger) == []
