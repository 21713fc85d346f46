"""Invariants of the outbox: it has every requested event that happened, once and in order."""

# ruff: noqa: S608  (constants only)

from pointledger.domain.events.outgoing import EVENT_OF_ENTRY
from pointledger.storage.invariants.base import ENTRIES_HERE, Invariant, Walk, within

_OUTBOX_HERE = within("o.seq")
_AFTER_ALL = 2**62
_KINDS = ", ".join(f"('{kind}', '{subtype}', '{event}')" for (kind, subtype), event in EVENT_OF_ENTRY.items())


def _rows_that_may_name(entry: str) -> str:
    """Return the query for the outbox rows that name the entry.

    It searches the rows of the entry's batch, because the entry's id begins with that batch's millisecond.
    """
    milliseconds = f"('x' || left(replace({entry}.id::text, '-', ''), 12))::bit(48)::bigint"
    return f"""(
        SELECT r.* FROM outbox r
        CROSS JOIN LATERAL (SELECT to_timestamp({milliseconds} / 1000.0) AS began) AS batch
        WHERE r.tenant_id = {entry}.tenant_id AND r.recorded_at >= began - interval '1 ms'
          AND r.recorded_at <= began + interval '2 ms' AND {entry}.id = ANY(r.entry_ids))"""


_EFFECTS = Invariant(
    "I16a",
    "the entries, accounts and commands that the outbox names exist",
    f"""
    SELECT o.tenant_id, o.seq, named.id AS named_id FROM outbox o
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

# One entry back is enough, because the check of that entry covers the one before it.
_ORDER = Invariant(
    "I16b",
    "the outbox names an entry once, after the one before it on its account, and in the same slot",
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

# Only the last day, because older events may have been deleted after they were sent. A tenant's version
# counts from a minute after it was saved, because a batch that began earlier may not have seen it.
_COMPLETE = Invariant(
    "I16c",
    "the outbox names every entry of the last day whose tenant requested its kind all the time",
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
      AND NOT EXISTS (SELECT FROM {_rows_that_may_name("e")} AS named)""",
)

EVENTS_OF_ACCOUNTS = (_COMPLETE,)

OUTBOX = Walk("outbox", ("seq",), (0,), (_AFTER_ALL,), 200, (_EFFECTS, _ORDER))
