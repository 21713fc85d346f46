# ruff: noqa: S608  (what is put into these queries is names of ours)
"""What must be true of the outbox: it tells what happened, all that was wanted, once and in order."""

from pointledger.domain.events.outgoing import EVENT_OF_ENTRY
from pointledger.storage.invariants.base import ENTRIES_HERE, Invariant, Walk, within

_OUTBOX_HERE = within("o.seq")
_AFTER_ALL = 2**62
_KINDS = ", ".join(f"('{kind}', '{subtype}', '{event}')" for (kind, subtype), event in EVENT_OF_ENTRY.items())


def _rows_that_may_name(entry: str) -> str:
    """The outbox's rows of the entry's batch: its id begins with the millisecond of that batch's clock."""
    milliseconds = f"('x' || left(replace({entry}.id::text, '-', ''), 12))::bit(48)::bigint"
    return f"""(
        SELECT r.* FROM outbox r
        CROSS JOIN LATERAL (SELECT to_timestamp({milliseconds} / 1000.0) AS began) AS batch
        WHERE r.tenant_id = {entry}.tenant_id AND r.recorded_at >= began - interval '1 ms'
          AND r.recorded_at <= began + interval '2 ms' AND {entry}.id = ANY(r.entry_ids))"""


_EFFECTS = Invariant(
    "I16a",
    "what the outbox tells has happened: its entries are there, and so are its accounts and their commands",
    f"""
    SELECT o.tenant_id, o.seq, named.id AS told_id FROM outbox o
    CROSS JOIN LATERAL unnest(o.entry_ids) AS named (id)
    WHERE {_OUTBOX_HERE}
      AND NOT EXISTS (SELECT FROM entries e WHERE e.tenant_id = o.tenant_id AND e.id = named.id)
    UNION ALL
    SELECT o.tenant_id, o.seq, o.event_id FROM outbox o
    WHERE {_OUTBOX_HERE} AND o.event_id IS NOT NULL AND (
        (o.account_id IS NOT NULL
         AND NOT EXISTS (SELECT FROM accounts a WHERE a.tenant_id = o.tenant_id AND a.id = o.account_id))
        OR (o.type = 'account.status_changed'
            AND NOT EXISTS (SELECT FROM outcomes c WHERE c.id = o.event_id AND c.state = 'applied')))""",
)

# Looking one entry back is enough: what stands before that is looked at from there.
_ORDER = Invariant(
    "I16b",
    "an entry is told once, after the one before it on its account, and in the same slot",
    f"""
    SELECT o.tenant_id, o.seq, e.account_id, e.seq AS entry_seq, other.seq AS other_seq FROM outbox o
    CROSS JOIN LATERAL unnest(o.entry_ids) WITH ORDINALITY AS named (id, place)
    JOIN entries e ON e.tenant_id = o.tenant_id AND e.id = named.id
    JOIN LATERAL (
        SELECT r.seq FROM {_rows_that_may_name("e")} AS r
        WHERE r.seq <> o.seq OR array_position(r.entry_ids, e.id) <> named.place
        UNION ALL
        SELECT r.seq FROM entries before
        CROSS JOIN LATERAL {_rows_that_may_name("before")} AS r
        WHERE before.tenant_id = e.tenant_id AND before.account_id = e.account_id AND before.seq = e.seq - 1
          AND (r.slot <> o.slot
               OR (r.seq, array_position(r.entry_ids, before.id)) > (o.seq, named.place))) AS other ON true
    WHERE {_OUTBOX_HERE}""",
)

# Of the last day: what was sent before may be forgotten. A tenant's version counts from a minute after it
# was saved: a batch that had begun by then may not have seen it.
_COMPLETE = Invariant(
    "I16c",
    "every entry of the last day is told, where its tenant wanted its kind all the while",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, e.id, kinds.event FROM entries e
    JOIN (VALUES {_KINDS}) AS kinds (type, subtype, event)
      ON kinds.type = e.type AND kinds.subtype = e.subtype
    WHERE {ENTRIES_HERE} AND e.created_at > clock_timestamp() - interval '1 day'
      AND e.tenant_id IN (SELECT tenant_id FROM tenant_versions
                          WHERE config::jsonb -> 'events' NOT IN ('[]', 'null'))
      AND (SELECT bool_and(coalesce(v.config ->> 'events' = 'all'
                                    OR v.config::jsonb -> 'events' @> to_jsonb(kinds.event), false))
           FROM tenant_versions v
           WHERE v.tenant_id = e.tenant_id AND v.saved_at < e.created_at + interval '1 minute'
             AND v.version >= (SELECT max(version) FROM tenant_versions first
                               WHERE first.tenant_id = e.tenant_id
                                 AND first.saved_at < e.created_at - interval '1 minute'))
      AND NOT EXISTS (SELECT FROM {_rows_that_may_name("e")} AS told)""",
)

EVENTS_OF_ACCOUNTS = (_COMPLETE,)

OUTBOX = Walk("outbox", ("seq",), (0,), (_AFTER_ALL,), 200, (_EFFECTS, _ORDER))
