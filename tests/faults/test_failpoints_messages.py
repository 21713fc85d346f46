"""Injects faults into relay, commands by name, callbacks and ingest.

An event is sent at least once and in order, and a message becomes one command or one dead letter.
"""

import json
from pathlib import Path

import pytest
from celery import Celery

from pointledger import Earn
from pointledger.client.acceptor import Acceptance
from pointledger.errors import AcceptanceBusy
from pointledger.events.ingest import Ingest
from pointledger.integrations.celery_callbacks import CallbackSender, ResultDestination, TaskDestination
from pointledger.integrations.celery_commands import CommandsByName, open_commands
from pointledger.settings import Settings
from tests.events.listener import Listener, relay_all
from tests.events.sender import Sender, earn, opened_ingest_queue, producers
from tests.faults.every_kind import SHOP
from tests.faults.injection import (
    SECONDS,
    Action,
    faults_at,
    finish,
    inject,
    resume,
    violations,
)
from tests.ledger import Ledger
from tests.waiting import wait_until

pytestmark = pytest.mark.fault


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


def receive_commands(ledger: Ledger, _: None) -> None:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    idle_ms = ledger.settings.idle_timeout_ms
    receiver = CommandsByName(ledger.database, acceptance, ledger.settings, idle_ms=idle_ms)
    receiver.step(open_commands(ledger.settings), wait_seconds=0.2)


def send_callbacks(ledger: Ledger, _: None) -> None:
    for destination in (TaskDestination(ledger.settings), ResultDestination(ledger.settings)):
        CallbackSender(ledger.database, ledger.settings, destination).step()


def _receive_all(ledger: Ledger, receive: Action, queue: str) -> None:
    """Receive, as another process does, until three messages are commands and one is a dead letter."""

    def everything_is_in() -> bool:
        for alive in ledger.redis.scan_iter("*:alive:*"):
            ledger.redis.delete(alive)  # as if 30 seconds had passed without a sign of life
        try:
            receive(ledger, None)
        except AcceptanceBusy:
            return False
        left = [*ledger.redis.scan_iter("*:taken:*"), *ledger.redis.scan_iter(queue)]
        return ledger.counts("journal", "dead_letters") == [3, 1] and not left

    wait_until(everything_is_in, "three are commands, one is a dead letter", SECONDS)


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
        _receive_all(ledger, receive_commands, "points.commands")
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


def ingest_messages(ledger: Ledger, _: None) -> None:
    ingest_queue = opened_ingest_queue(ledger.settings)
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    ingest = Ingest(ledger.database, acceptance, producers(), idle_ms=ledger.settings.idle_timeout_ms)
    ingest.step(ingest_queue, wait_seconds=1.0)


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
        _receive_all(ledger, ingest_messages, "points.ingest")
        resume(process)
        finish(ledger)
        assert (ledger.balance("anna"), sender.count()) == (15, 0)
        assert ledger.counts("journal", "dead_letters") == [3, 1]
        assert violations(ledger) == []
