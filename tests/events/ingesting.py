"""Helpers for tests of ingest."""

import json
from collections import Counter
from typing import Any

from pointledger.client.acceptor import Acceptance
from pointledger.events.ingest import Ingest
from pointledger.events.ingest_queue import IngestQueue, Message
from pointledger.storage.queue import dead_letters
from pointledger.storage.queue.dead_letters import DeadLetter
from tests.events.sender import producers, signed
from tests.ledger import Ledger
from tests.waiting import wait_until


def ingest_of(ledger: Ledger, **more: Any) -> Ingest:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    return Ingest(ledger.database, acceptance, producers(**more))


def ingest_all(ingest: Ingest, ingest_queue: IngestQueue, count: int) -> Counter[str]:
    """Ingest exactly `count` messages, and return the counts by state."""
    found: Counter[str] = Counter()
    wait_until(
        lambda: bool(found.update(ingest.step(ingest_queue, wait_seconds=0.1))) or found.total() >= count, ""
    )
    assert found.total() == count
    return found


def kept(ledger: Ledger, state: str | None = None) -> list[DeadLetter]:
    with ledger.database.connect() as connection:
        return dead_letters.find(connection, state=state)[::-1]


def received(
    ingest: Ingest, content: object, headers: dict[str, str] | None = None, **more: Any
) -> Counter[str]:
    """Pass a message to ingest without a broker."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ingest.receive([Message(raw, signed(raw) if headers is None else headers, **more)])
