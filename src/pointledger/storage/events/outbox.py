"""The outbox: events that a batch writes in its own transaction and relays send later.

Plain earning must not pay for it, so a batch writes one row per tenant and slot with the ids of its entries.
The relay reads the entries when it sends. A slot is a slice of the users, in the order of `seq`. A batch
draws `seq` while it has locked the accounts. So of two rows about one user, the first committed comes first,
and a relay that sees the second one sees the first.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.commands.records import lane_of
from pointledger.domain.events.outgoing import EVENT_OF_ENTRY, Event, StatusChange
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.values.extensions import traceparent_of
from pointledger.ids import show_id
from pointledger.storage.copy import copy
from pointledger.storage.database import rows, run

SLOTS = 64  # four per lane by default: this bounds the rows of a batch, and leaves several relays work
KEPT_DAYS = 2  # of sent rows, which `verify` checks
_ENTRIES_PER_ROW = 1000  # bounds what a relay holds in memory at once
_PRUNED_AT_ONCE = 1000

STATUS_CHANGED = "account.status_changed"

# -------------------------------------------------------------------------------------------- writing

_COLUMNS = ("slot", "tenant_id", "recorded_at", "entry_ids", "type", "event_id", "account_id", "data")


class OutboxRow(NamedTuple):
    """A new row; `entry_ids` grows while consecutive entries join it."""

    slot: int
    tenant_id: str
    recorded_at: datetime
    entry_ids: list[UUID] | None = None
    type: str | None = None
    event_id: UUID | None = None
    account_id: UUID | None = None
    data: str | None = None


@lru_cache(maxsize=100_000)  # a worker sees the same users again, and a hash costs as much as an entry's row
def slot_of(tenant_id: str, user_id: str) -> int:
    """Return the slot that keeps a user's events in order, the same on every machine."""
    return lane_of(tenant_id, user_id, SLOTS)


def save_events(connection: sa.Connection, book: Book) -> None:
    """Write the book's events for the tenants that request them. The caller has locked the accounts."""
    wanted = {tenant.tenant_id: tenant.wanted_events for tenant in book.tenants.values()}
    if any(wanted.values()):
        write(connection, _rows_of(book, wanted))


def write(connection: sa.Connection, lines: Iterable[OutboxRow]) -> None:
    """Append rows to their slots, in this order."""
    copy(connection, "outbox", _COLUMNS, list(lines))


def _rows_of(book: Book, wanted: dict[str, frozenset[str]]) -> list[OutboxRow]:
    """Return the rows in the order of events; consecutive entries of a tenant and slot share a row."""
    slots = {
        account.id: slot_of(*key)
        for key, account in book.accounts.items()
        if account.changed and wanted.get(key[0])
    }
    found: list[OutboxRow] = []
    latest: dict[tuple[str, int], list[UUID]] = {}
    changes = iter(book.status_changes)
    change = next(changes, None)
    for place, entry in enumerate(book.entries):
        while change and change.place <= place:
            _add_status(found, latest, book, change, wanted)
            change = next(changes, None)
        slot = slots.get(entry.account_id)
        if slot is not None and _is_wanted(entry, wanted):
            ids = latest.get((entry.tenant_id, slot))
            if ids is None or len(ids) == _ENTRIES_PER_ROW:
                ids = latest[entry.tenant_id, slot] = []
                found.append(OutboxRow(slot, entry.tenant_id, book.recorded_at, ids))
            ids.append(entry.id)
    while change:
        _add_status(found, latest, book, change, wanted)
        change = next(changes, None)
    return found


def _is_wanted(entry: Entry, wanted: dict[str, frozenset[str]]) -> bool:
    return EVENT_OF_ENTRY[entry.type, entry.subtype] in wanted[entry.tenant_id]


def _add_status(
    found: list[OutboxRow],
    latest: dict[tuple[str, int], list[UUID]],
    book: Book,
    change: StatusChange,
    wanted: dict[str, frozenset[str]],
) -> None:
    """Add a row for a change of status, so that later entries of its slot start a new row."""
    tenant_id = change.key[0]
    if STATUS_CHANGED not in wanted[tenant_id]:
        return
    slot = slot_of(*change.key)
    latest.pop((tenant_id, slot), None)
    data = {"status_before": change.status_before, "status": change.status, "seq": change.seq}
    found.append(
        OutboxRow(
            slot,
            tenant_id,
            book.recorded_at,
            type=STATUS_CHANGED,
            event_id=change.command_id,
            account_id=change.account_id,
            data=orjson.dumps(data).decode(),
        )
    )


# -------------------------------------------------------------------------------------------- sending


_EVENTS = """
SELECT o.seq AS place, named.ordinal, o.tenant_id, a.user_id, o.type AS event_type, o.event_id, o.data,
       o.recorded_at, coalesce(e.account_id, o.account_id) AS account_id,
       e.id, e.seq, e.type, e.subtype, e.amount, e.delta, e.delta_frozen, e.delta_pending, e.delta_debt,
       e.balance_after - e.delta AS balance_before, e.balance_after, e.frozen_after, e.pending_after,
       e.debt_after, e.related_id, e.rule_id, e.rule_version, e.expires_at, e.occurred_at, e.created_at,
       e.command_id, j.traceparent
FROM unnest(%(seqs)s::int8[]) AS wanted (seq)
-- One by one, because with wrong statistics Postgres reads the whole outbox, and all entries, accounts and
-- commands of a tenant for each event. OFFSET 0 keeps it from joining them in another way.
CROSS JOIN LATERAL (SELECT * FROM outbox WHERE outbox.seq = wanted.seq OFFSET 0) o
LEFT JOIN LATERAL unnest(o.entry_ids) WITH ORDINALITY AS named (id, ordinal) ON true
LEFT JOIN LATERAL (
    SELECT * FROM entries WHERE entries.tenant_id = o.tenant_id AND entries.id = named.id OFFSET 0) e ON true
LEFT JOIN LATERAL (
    SELECT user_id FROM accounts
    WHERE accounts.tenant_id = o.tenant_id AND accounts.id = coalesce(e.account_id, o.account_id) OFFSET 0
) a ON true
-- the event id of a status change is its command's id
LEFT JOIN LATERAL (
    SELECT extensions ->> 'traceparent' AS traceparent FROM journal
    WHERE journal.id = coalesce(e.command_id, o.event_id) OFFSET 0) j ON true
ORDER BY o.seq, named.ordinal"""

_ENTRY_FIELDS = (
    "id", "seq", "type", "subtype", "amount", "delta", "delta_frozen", "delta_pending", "delta_debt",
    "balance_before", "balance_after", "frozen_after", "pending_after", "debt_after", "related_id", "rule_id",
    "rule_version", "expires_at", "occurred_at", "created_at", "command_id",
)  # fmt: skip
_IDS = ("id", "related_id", "rule_id", "command_id")


def events(connection: sa.Connection, seqs: list[int]) -> list[Event]:
    """Return the events of these rows, in order."""
    return [_event(row) for row in rows(connection, _EVENTS, seqs=seqs)]


def _event(row: Any) -> Event:
    data: dict[str, Any] = {}
    trace = traceparent_of(row.traceparent)
    if row.account_id is not None:
        data["account_id"] = show_id(row.account_id)
    if row.event_id is not None:
        data |= row.data
        return Event(row.event_id, row.event_type, row.tenant_id, row.user_id, row.recorded_at, data, trace)
    assert row.id is not None, "an outbox row names entries that exist"
    fields = {name: getattr(row, name) for name in _ENTRY_FIELDS if getattr(row, name) is not None}
    entry = {name: show_id(value) if name in _IDS else value for name, value in fields.items()}
    data |= {"seq": row.seq, "transaction": entry}
    event_type = EVENT_OF_ENTRY[row.type, row.subtype]
    return Event(row.id, event_type, row.tenant_id, row.user_id, row.created_at, data, trace)


def mark_sent(connection: sa.Connection, seqs: list[int]) -> None:
    """Mark rows as sent, because the broker has confirmed them."""
    run(
        connection,
        "UPDATE outbox SET sent_at = clock_timestamp() WHERE seq = ANY(%(seqs)s::int8[])",
        seqs=seqs,
    )


# With clock_timestamp(), which is volatile, Postgres could not use the index on sent_at. `ctid` makes it
# fetch each row by its place; by the key it reads the whole outbox if that was empty at the last vacuum. A
# row that has just been changed has a new place, and is left for the next time.
_PRUNE = """
DELETE FROM outbox USING (
    SELECT ctid FROM outbox WHERE sent_at < statement_timestamp() - %(days)s * interval '1 day'
    ORDER BY sent_at LIMIT %(most)s FOR UPDATE SKIP LOCKED) AS old
WHERE outbox.ctid = old.ctid"""


def prune(connection: sa.Connection) -> int:
    """Delete some rows that were sent long ago, and return their number."""
    return run(connection, _PRUNE, days=KEPT_DAYS, most=_PRUNED_AT_ONCE)


_COUNTED = 100_000  # rows: beyond this the exact number does not matter, and counting takes too long

_QUEUES = 10_000  # whose first rows are compared; index probes find them

_STATUS = """
WITH RECURSIVE queues (slot, tenant_id) AS (
    (SELECT slot, tenant_id FROM outbox WHERE sent_at IS NULL ORDER BY slot, tenant_id LIMIT 1)
    UNION ALL
    SELECT next.slot, next.tenant_id FROM queues CROSS JOIN LATERAL (
        SELECT o.slot, o.tenant_id FROM outbox o
        WHERE o.sent_at IS NULL AND (o.slot, o.tenant_id) > (queues.slot, queues.tenant_id)
        ORDER BY o.slot, o.tenant_id LIMIT 1) AS next
), chosen AS MATERIALIZED (SELECT * FROM queues LIMIT %(queues)s)
SELECT counted.*, waiting.slots, round(extract(epoch FROM clock_timestamp() - waiting.oldest), 3)::float8
FROM (SELECT count(*), coalesce(sum(events), 0)::bigint
      FROM (SELECT coalesce(cardinality(entry_ids), 1) AS events
            FROM outbox WHERE sent_at IS NULL LIMIT %(most)s) AS found) AS counted,
     (SELECT count(DISTINCT chosen.slot) AS slots, min(first.recorded_at) AS oldest
      FROM chosen CROSS JOIN LATERAL (
          SELECT o.recorded_at FROM outbox o
          WHERE o.slot = chosen.slot AND o.tenant_id = chosen.tenant_id AND o.sent_at IS NULL
          ORDER BY o.slot, o.tenant_id, o.seq LIMIT 1) AS first) AS waiting"""


class OutboxStatus(NamedTuple):
    """The unsent rows, their events and slots, and the age of the oldest row; None if there are none.

    Rows and their events are counted up to 100,000 rows.
    """

    rows: int
    events: int
    slots: int
    oldest_seconds: float | None


def status(connection: sa.Connection) -> OutboxStatus:
    """Return how far the relays are behind."""
    return OutboxStatus(*rows(connection, _STATUS, most=_COUNTED, queues=_QUEUES)[0])
