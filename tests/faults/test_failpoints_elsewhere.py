"""Sweeps, the relay and the intake are struck at their failpoints: what is due is done once, an event is sent
at least once and in order, a message becomes a command or a letter, once."""

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
from pointledger.events.ingest import Intake
from pointledger.integrations.celery_callbacks import CallbackSender, Results, Tasks
from pointledger.integrations.celery_commands import ByName, open_commands
from pointledger.jobs.scheduler import EXPIRE_POINTS, RESET_DAILY_LIMITS, Sweep
from pointledger.settings import Settings
from tests.databases import Clones, settings_of
from tests.events.listener import Listener, relay_all
from tests.events.sender import Sender, earn, opened_mailbox, producers
from tests.faults.every_kind import DUE, SHOP, THEN
from tests.faults.striking import HURRY, SECONDS, finish, let_it_go_on, ran_yesterday, strike, words, wrong
from tests.ledger import Ledger, prepared
from tests.waiting import wait_until

pytestmark = pytest.mark.fault


def sweep_of(ledger: Ledger) -> Sweep:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    return Sweep(ledger.database, acceptance, idle_timeout_ms=ledger.settings.idle_timeout_ms)


def expire(ledger: Ledger, _: None) -> None:
    sweep = sweep_of(ledger)
    sweep.open_runs(EXPIRE_POINTS)
    while sweep.expire_points():
        pass


def reset_limits(ledger: Ledger, _: None) -> None:
    sweep = sweep_of(ledger)
    sweep.open_runs(RESET_DAILY_LIMITS)
    while sweep.reset_daily_limits():
        pass


def release(ledger: Ledger, _: None) -> None:
    sweep_of(ledger).release_holds()


def activate(ledger: Ledger, _: None) -> None:
    sweep_of(ledger).activate_points()


def erase(ledger: Ledger, _: None) -> None:
    sweep_of(ledger).finish_erasures()


SWEEPS = (expire, reset_limits, release, activate, erase)


def sweep_all(ledger: Ledger) -> None:
    """What any other worker does whom beat asks."""
    for sweep in SWEEPS:

        def done(sweep: Callable[[Ledger, None], None] = sweep) -> bool:
            try:
                sweep(ledger, None)
            except AcceptanceBusy:
                return False
            return True

        wait_until(done, "the sweep is done", SECONDS)
    finish(ledger)


PASSED_BY = {
    "open-runs-commit": (expire, reset_limits),
    "take-run-commit": (expire,),
    "put-back-commit": (expire, reset_limits),
    "search-commit": (erase,),
    "accept-commit": (expire, release, activate),
    "publish": (expire, release, activate),
}


def something_is_due(ledger: Ledger) -> None:
    """One user's points expire, another's become available, a hold times out, and somebody was erased."""
    ledger.tenant()
    ledger.rule(name="visit", event_type="visit", points=7, daily_limit=70)
    for user in ("expiring", "holding", "waiting", "leaving"):
        who: dict[str, Any] = {"tenant_id": SHOP, "user_id": user, "occurred_at": THEN}
        ledger.apply(ApplyRule(**who, event_type="visit"))
        ends: dict[str, Any] = {"expiring": {"expires_at": DUE}, "waiting": {"activates_at": DUE}}.get(
            user, {}
        )
        ledger.apply(Earn(**who, **ends, amount=90))
    ledger.apply(
        Freeze(tenant_id=SHOP, user_id="holding", amount=20, occurred_at=THEN, expires_at=DUE),
        EraseUser(tenant_id=SHOP, user_id="leaving"),
    )


@pytest.fixture(scope="module")
def when_something_is_due(servers: ServerUrls, clones: Clones) -> Iterator[Clones]:
    with prepared(servers, clones, something_is_due) as (opened, _):
        yield opened


@pytest.fixture
def due(servers: ServerUrls, when_something_is_due: Clones, redis_url: str) -> Iterator[Settings]:
    """Of a ledger in which something is due; whoever is frozen loses what it holds soon."""
    with when_something_is_due.one() as url:
        yield settings_of(servers, url, redis_url, **HURRY)


@pytest.mark.parametrize(
    ("word", "sweep"),
    [(word, sweep) for place, sweeps in PASSED_BY.items() for word in words([place]) for sweep in sweeps],
)
def test_whoever_is_struck_at_a_failpoint_of_a_sweep_what_is_due_is_done_once(
    due: Settings, tmp_path: Path, word: str, sweep: Callable[[Ledger, None], None]
) -> None:
    with Ledger(due) as ledger:
        for job in (EXPIRE_POINTS, RESET_DAILY_LIMITS):
            ran_yesterday(ledger, job)
        process = strike(due, sweep, None, word, tmp_path / "struck")
        with ledger.database.begin() as connection:  # its lease, of minutes, has run out
            connection.exec_driver_sql("UPDATE job_runs SET leased_until = now()")
        sweep_all(ledger)
        let_it_go_on(process)
        sweep_all(ledger)

        sums = ledger.rows(
            "SELECT balance, frozen_balance, pending_balance, expired_points FROM accounts ORDER BY user_id"
        )
        assert sorted(sums) == [(0, 0, 0, 0), (7, 0, 0, 90), (97, 0, 0, 0), (97, 0, 0, 0)]
        runs = ledger.rows("SELECT count(*), count(finished_at) FROM job_runs")
        assert runs == [(4, 4)], "two jobs, yesterday and today"
        assert ledger.rows("SELECT count(*) FROM erasures WHERE finished_at IS NULL") == [(0,)]
        assert wrong(ledger) == []


# ------------------------------------------------------------------------------------------- events


def relay(ledger: Ledger, _: None) -> None:
    relay_all(ledger.settings)


@pytest.mark.parametrize("word", words(["events-publish", "relay-commit"]))
def test_whatever_befalls_a_relay_every_event_is_sent_and_a_users_in_order(
    hurried: Settings, tmp_path: Path, word: str
) -> None:
    with Ledger(hurried) as ledger, Listener(hurried) as listener:
        ledger.tenant(events="all")
        ledger.apply(*(Earn(tenant_id=SHOP, user_id=user, amount=n) for user in "abc" for n in (1, 2, 3)))
        process = strike(hurried, relay, None, word, tmp_path / "struck")
        wait_until(lambda: _sends_what_is_left(ledger), "nothing is left to send", SECONDS)
        let_it_go_on(process)
        heard = listener.listen(listener.all_waiting())
        first = {event["id"]: (event["subject"], event["data"]["seq"]) for event in reversed(heard)}
        assert sorted(first.values()) == [(user, seq) for user in "abc" for seq in (1, 2, 3)]
        for user in "abc":
            told = dict.fromkeys(event["data"]["seq"] for event in heard if event["subject"] == user)
            assert list(told) == [1, 2, 3], "in order, those that came twice not counted"
        assert wrong(ledger) == []


def _sends_what_is_left(ledger: Ledger) -> bool:
    """A slot that somebody holds who stands still is free when Postgres has ended that transaction."""
    relay_all(ledger.settings)
    return ledger.rows("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == [(0,)]


def take_in(ledger: Ledger, _: None) -> None:
    mailbox = opened_mailbox(ledger.settings)
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    intake = Intake(ledger.database, acceptance, producers(), idle_ms=ledger.settings.idle_timeout_ms)
    intake.step(mailbox, wait_seconds=1.0)


# ------------------------------------------------------------------------------------ commands by name


def take_commands(ledger: Ledger, _: None) -> None:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    idle_ms = ledger.settings.idle_timeout_ms
    taker = ByName(ledger.database, acceptance, ledger.settings, idle_ms=idle_ms)
    taker.step(open_commands(ledger.settings), wait_seconds=0.2)


def send_callbacks(ledger: Ledger, _: None) -> None:
    for destination in (Tasks(ledger.settings), Results(ledger.settings)):
        CallbackSender(ledger.database, ledger.settings, destination).step()


@pytest.mark.parametrize("word", words(["by-name-commit", "forget-commands"]))
def test_whatever_befalls_who_takes_commands_by_name_each_is_accepted_or_refused_once(
    hurried: Settings, tmp_path: Path, word: str
) -> None:
    with Ledger(hurried) as ledger, Celery(broker=hurried.broker, set_as_current=False) as app:
        ledger.tenant()
        fields = {"tenant_id": SHOP, "user_id": "anna", "amount": 5}
        for name in ("points.earn", "points.earn", "points.earn", "points.learn"):
            app.send_task(name, kwargs=fields, queue="points.commands")
        process = strike(hurried, take_commands, None, word, tmp_path / "struck")

        def everything_is_in() -> bool:
            for alive in ledger.redis.scan_iter("*:alive:*"):
                ledger.redis.delete(alive)  # as if half a minute had passed without a sign of life
            try:
                take_commands(ledger, None)
            except AcceptanceBusy:
                return False
            left = [*ledger.redis.scan_iter("*:taken:*"), *ledger.redis.scan_iter("points.commands")]
            return ledger.counts("journal", "dead_letters") == [3, 1] and not left

        wait_until(everything_is_in, "three are commands, one is a letter", SECONDS)
        let_it_go_on(process)
        finish(ledger)
        assert ledger.balance("anna") == 15
        assert ledger.counts("journal", "dead_letters") == [3, 1]
        assert wrong(ledger) == []


@pytest.mark.parametrize("word", words(["callbacks-send", "callbacks-commit"]))
def test_whatever_befalls_who_sends_callbacks_each_is_sent_and_the_same_each_time(
    hurried: Settings, tmp_path: Path, word: str
) -> None:
    settings = hurried.model_copy(update={"result_url": hurried.redis_url})
    with Ledger(settings) as ledger, Celery(broker=settings.broker, set_as_current=False) as app:
        ledger.tenant()
        fields = {"tenant_id": SHOP, "user_id": "anna", "amount": 5}
        link = app.signature("shop.next", queue="shop")
        sent = [
            app.send_task("points.earn", kwargs=fields, queue="points.commands", link=link) for _ in "abc"
        ]
        take_commands(ledger, None)
        finish(ledger)
        process = strike(settings, send_callbacks, None, word, tmp_path / "struck")

        def all_is_sent() -> bool:
            send_callbacks(ledger, None)
            return ledger.rows("SELECT FROM callbacks WHERE sent_at IS NULL") == []

        wait_until(all_is_sent, "everything is sent", SECONDS)
        let_it_go_on(process)
        heard = [json.loads(item)["headers"]["id"] for item in ledger.redis.lrange("shop", 0, -1)]
        assert len(set(heard)) == 3, "what came twice has the same id"
        for one in sent:
            assert ledger.redis.exists(f"celery-task-meta-{one.id}")
        assert wrong(ledger) == []


@pytest.mark.parametrize("word", words(["accept-commit", "letters-commit", "forget"]))
def test_whatever_befalls_an_intake_a_message_is_a_command_or_a_letter_once(
    hurried: Settings, tmp_path: Path, word: str
) -> None:
    with Ledger(hurried) as ledger, Sender(hurried) as sender:
        ledger.tenant()
        for number in (1, 2, 3):
            sender.send(earn(number))
        sender.send(earn(4), headers={})  # signed by nobody
        process = strike(hurried, take_in, None, word, tmp_path / "struck")

        def everything_is_in() -> bool:
            for alive in ledger.redis.scan_iter("*:alive:*"):
                ledger.redis.delete(alive)  # as if half a minute had passed without a sign of life
            try:
                take_in(ledger, None)
            except AcceptanceBusy:
                return False
            return ledger.counts("journal", "dead_letters") == [3, 1] and not list(
                ledger.redis.scan_iter("*:taken:*")
            )

        wait_until(everything_is_in, "three are commands, one is a letter", SECONDS)
        let_it_go_on(process)
        finish(ledger)
        assert (ledger.balance("anna"), sender.count()) == (15, 0)
        assert ledger.counts("journal", "dead_letters") == [3, 1]
        assert wrong(ledger) == []
