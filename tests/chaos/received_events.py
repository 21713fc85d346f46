"""Compares the events that other services receive with the entries."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from pointledger.domain.events.outgoing import EVENT_OF_ENTRY
from pointledger.ids import show_id
from pointledger.storage.database import rows
from tests.chaos.events_broker import EventsBroker
from tests.chaos.load import EVENTS, TENANT

_ENTRIES = """
SELECT e.id, e.type, e.subtype, a.user_id, e.seq FROM entries e JOIN accounts a ON a.id = e.account_id
WHERE a.tenant_id = %(tenant)s"""


class ReceivedEvent(NamedTuple):
    """An event: its id, its user, and its place among that user's entries."""

    id: str
    user_id: str
    seq: int


def received_events(events: EventsBroker, queue: str) -> Iterator[ReceivedEvent]:
    """Yield all events that the queue has received, in the order of their arrival."""
    for body in events.received(queue):
        event: dict[str, Any] = orjson.loads(body)
        yield ReceivedEvent(event["id"], event["subject"], event["data"]["seq"])


def expected_events(connection: sa.Connection) -> dict[str, ReceivedEvent]:
    """Return the events that the tenant wants, by their ids."""
    found = (
        ReceivedEvent(show_id(row.id), row.user_id, row.seq)
        for row in rows(connection, _ENTRIES, tenant=TENANT)
        if EVENT_OF_ENTRY[row.type, row.subtype] in EVENTS
    )
    return {each.id: each for each in found}


def out_of_order(events: Iterator[ReceivedEvent]) -> Iterator[ReceivedEvent]:
    """Yield the events that were received for the first time after a later one of the same user."""
    known: set[str] = set()
    latest: defaultdict[str, int] = defaultdict(int)
    for each in events:
        if each.id in known:
            continue
        known.add(each.id)
        if each.seq < latest[each.user_id]:
            yield each
        latest[each.user_id] = max(latest[each.user_id], each.seq)
