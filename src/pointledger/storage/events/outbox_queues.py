"""The order in which relays send the outbox: tenants take turns.

The unsent rows of a tenant in a slot are a queue, and a user's events are in one queue. So queues may be sent
in any order, and each one in its own.
"""

from typing import NamedTuple

import sqlalchemy as sa

from pointledger.storage.database import rows


class Queue(NamedTuple):
    """The unsent rows of a tenant in a slot."""

    slot: int
    tenant_id: str


# Each slot offers its first tenant after the one that had its turn: a few index probes per slot, however many
# rows wait. Of a tenant's slots, the one with its oldest row is next.
_TAKE_QUEUE = """
SELECT s.slot, first.tenant_id
FROM outbox_slots s CROSS JOIN LATERAL (
    SELECT o.tenant_id, o.seq FROM outbox o
    WHERE o.slot = s.slot AND o.sent_at IS NULL AND o.tenant_id > %(after)s
    ORDER BY o.slot, o.tenant_id, o.seq LIMIT 1) AS first
ORDER BY first.tenant_id, first.seq LIMIT 1 FOR UPDATE OF s SKIP LOCKED"""


def take_queue(connection: sa.Connection, after: str) -> Queue | None:
    """Lock a slot that no other relay has: one with rows of the next tenant after `after`, in a circle.

    The lock lasts until the transaction ends. Return None if no such slot has rows.
    """
    found = rows(connection, _TAKE_QUEUE, after=after) or rows(connection, _TAKE_QUEUE, after="")
    return Queue(*found[0]) if found else None


# The tenant whose turn it is, and those after it in this slot. Each offers twice its share.
_UNSENT = """
WITH RECURSIVE found (tenant_id) AS (
    SELECT %(tenant)s::text COLLATE "C"
    UNION ALL
    SELECT (SELECT o.tenant_id FROM outbox o
            WHERE o.slot = %(slot)s AND o.sent_at IS NULL AND o.tenant_id > found.tenant_id
            ORDER BY o.slot, o.tenant_id LIMIT 1)
    FROM found WHERE found.tenant_id IS NOT NULL
), tenants AS MATERIALIZED (
    SELECT tenant_id FROM found WHERE tenant_id IS NOT NULL LIMIT %(tenants)s
)
SELECT row_number() OVER (PARTITION BY o.tenant_id ORDER BY o.seq) AS turn, tenants.tenant_id, o.seq, o.events
FROM tenants CROSS JOIN LATERAL (
    SELECT o.tenant_id, o.seq, coalesce(cardinality(o.entry_ids), 1) AS events FROM outbox o
    WHERE o.slot = %(slot)s AND o.sent_at IS NULL AND o.tenant_id = tenants.tenant_id
    ORDER BY o.slot, o.tenant_id, o.seq
    LIMIT greatest(2 * %(most)s / (SELECT count(*) FROM tenants), 1)) AS o
ORDER BY turn, tenants.tenant_id"""
_TENANTS = 100  # of one batch


def unsent(connection: sa.Connection, queue: Queue, most_events: int) -> list[int]:
    """Return the next rows of the queue's slot by `seq`: at least one, with at most so many events.

    The tenants take turns, row by row, beginning with the queue's. A tenant's rows are in order.
    """
    seqs: list[int] = []
    events = 0
    values = {"slot": queue.slot, "tenant": queue.tenant_id, "tenants": _TENANTS, "most": most_events}
    for _, _, seq, row_events in rows(connection, _UNSENT, **values):
        events += row_events
        if seqs and events > most_events:
            break
        seqs.append(seq)
    return seqs
