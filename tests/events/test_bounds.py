"""A flood of messages that are no commands fills neither the table nor the log."""

import json

import pytest

from pointledger.client.acceptor import Acceptance
from pointledger.events.ingest import Ingest
from pointledger.events.ingest_queue import Message
from pointledger.integrations.celery_commands import CommandsByName
from pointledger.settings import Settings
from pointledger.storage.queue.dead_letters import Bounds
from tests import logged
from tests.events.ingesting import kept, received
from tests.events.sender import earn, event, producers, signed
from tests.ledger import Ledger


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, broker_url=None, dead_letters_unsigned=3)


@pytest.fixture
def bounded(ledger: Ledger) -> Ingest:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    return Ingest(ledger.database, acceptance, producers(per_minute=2), bounds=Bounds(signed=5, unsigned=3))


def test_the_newest_unsigned_messages_are_kept_and_others_counted(ledger: Ledger, bounded: Ingest) -> None:
    flood = [Message(b"garbage %d" % number, {}) for number in range(20)]
    with logged.records() as records:
        assert bounded.receive(flood) == {"dead": 20}
    assert [letter.raw for letter in kept(ledger)] == [b"garbage 17", b"garbage 18", b"garbage 19"]
    told = {vars(record)["event"]: vars(record)["messages"] for record in records}
    assert told == {"no_command": 20, "dead_letters_dropped": 17}


def test_a_flood_of_unsigned_messages_drops_no_letter_of_a_producer(ledger: Ledger, bounded: Ingest) -> None:
    received(bounded, event(1, type="no-such-kind", kind="no-such-kind"))
    bounded.receive([Message(b"garbage %d" % number, {}) for number in range(20)])
    assert [letter.producer for letter in kept(ledger)] == ["web-shop", None, None, None]


def test_messages_beyond_a_quota_are_deferred_up_to_the_bound(ledger: Ledger, bounded: Ingest) -> None:
    raws = [json.dumps(earn(number)).encode() for number in range(30)]
    for start in range(0, 30, 3):
        bounded.receive([Message(raw, signed(raw)) for raw in raws[start : start + 3]])
    letters = kept(ledger)
    assert 5 <= sum(letter.state == "deferred" for letter in letters) <= 5 + 3, "a batch may go beyond it"
    assert sum(letter.state == "dead" for letter in letters) == 5, "the newest"
    assert {letter.reason for letter in letters} == {"QUOTA"}


def test_refused_commands_by_name_are_bounded_too(ledger: Ledger, settings: Settings) -> None:
    acceptance = Acceptance(ledger.database, ledger.doorbells, settings)
    commands = CommandsByName(ledger.database, acceptance, settings, lambda: None)
    commands.receive([Message(b"garbage %d" % number, {}) for number in range(20)])
    assert len(kept(ledger)) == 3
