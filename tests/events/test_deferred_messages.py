"""Ingest defers events of a newer version and events beyond a quota, and retries them."""

import json
from typing import Any

import pytest

from pointledger import Earn
from pointledger.events.ingest import Ingest
from pointledger.events.ingest_queue import Message
from tests.events.ingesting import ingest_of, kept, received
from tests.events.sender import earn, signed
from tests.ledger import Ledger
from tests.waiting import wait_until


@pytest.mark.parametrize("newer", [{"version": 2}, {"specversion": "2.0"}])
def test_an_event_of_a_newer_version_is_deferred_and_retried(
    ledger: Ledger, ingest: Ingest, newer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q9."""
    assert received(ingest, earn() | newer) == {"deferred": 1}
    assert ingest.retry_deferred() == {}, "not yet"
    become_due(ledger)
    assert ingest.retry_deferred() == {"deferred": 1}
    (dead_letter,) = kept(ledger, "deferred")
    assert (dead_letter.reason, dead_letter.attempts) == ("UNKNOWN_VERSION", 2)
    become_due(ledger)
    monkeypatch.setattr(
        "pointledger.events.reader.commands_of", lambda *_: [Earn(tenant_id="shop", user_id="anna", amount=1)]
    )
    assert ingest.retry_deferred() == {"accepted": 1}
    assert kept(ledger)[0].state == "replayed"


def become_due(ledger: Ledger) -> None:
    with ledger.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE dead_letters SET deferred_until = now() - interval '1 s' WHERE state = 'deferred'"
        )


def next_minute(ledger: Ledger) -> None:
    become_due(ledger)
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE producer_minutes SET minute = minute - interval '1 minute'")


def test_events_beyond_a_producers_quota_are_deferred_in_order(ledger: Ledger) -> None:
    """Q24: the producer's later events wait as well, and those of other producers do not."""
    ingest = ingest_of(ledger, per_minute=3)
    raw = [
        json.dumps(earn(number, amount=number + 1, sequence=str(number + 1))).encode() for number in range(8)
    ]
    bank = json.dumps(earn(1, subject="ben")).encode()
    messages = [Message(each, signed(each)) for each in raw]
    others = Message(bank, signed(bank, "b" * 32, "b", "bank"))
    with within_a_minute(ledger):
        assert ingest.receive([*messages[:5], others]) == {"accepted": 4, "deferred": 2}
        next_minute(ledger)
        assert ingest.receive(messages[5:]) == {"deferred": 3}, "behind the deferred events"
        next_minute(ledger)
        assert ingest.retry_deferred() == {"accepted": 3, "deferred": 2}
        next_minute(ledger)
        assert ingest.retry_deferred() == {"accepted": 2}
    found = ledger.rows(
        """SELECT (payload ->> 'amount')::int, (extensions ->> 'sequence')::int FROM journal
           WHERE user_id = 'anna' ORDER BY seq"""
    )
    assert found == [(number, number) for number in range(1, 9)]


class within_a_minute:
    """Begins early in a minute, so that the minute does not end during the test."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __enter__(self) -> None:
        early = "SELECT extract(second FROM clock_timestamp()) < 50"
        wait_until(lambda: bool(self._ledger.rows(early)[0][0]), "a minute has begun")

    def __exit__(self, *_: object) -> None:
        pass


def test_a_producers_deferred_events_beyond_its_quota_do_not_delay_those_of_another(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointledger.events.ingest._DEFERRED_AT_ONCE", 4)
    ingest = ingest_of(ledger, per_minute=1)
    raw = [json.dumps(earn(number)).encode() for number in range(10)]
    newer = json.dumps(earn(1, subject="ben") | {"version": 2}).encode()
    with within_a_minute(ledger):
        ingest.receive([Message(each, signed(each)) for each in raw])
        ingest.receive([Message(newer, signed(newer, "b" * 32, "b", "bank"))])
        become_due(ledger)
        monkeypatch.setattr(
            "pointledger.events.reader.commands_of",
            lambda raw, *_: [Earn(tenant_id="shop", user_id=json.loads(raw)["subject"], amount=1)],
        )
        assert ingest.retry_deferred() == {"accepted": 1, "deferred": 2}
    assert ledger.rows("SELECT count(*) FROM journal WHERE user_id = 'ben'") == [(1,)]
