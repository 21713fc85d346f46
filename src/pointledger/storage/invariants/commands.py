"""Invariants of commands, their entries, their callbacks and the queue."""

# ruff: noqa: S608  (constants only)

from pointledger.storage.invariants.base import ENTRIES_HERE, FIRST_ID, LAST_ID, Invariant, Walk, within
from pointledger.storage.invariants.erasures import REDACTED
from pointledger.storage.queue.pending import at_place

_CALLBACKS_HERE = within("c.id")


_KNOWN = Invariant(
    "C1",
    "a callback belongs to the command of its message, to the one that this repeats, or to a dead letter",
    f"""
    SELECT c.id, c.task_id, c.command_id, c.kind FROM callbacks c
    WHERE {_CALLBACKS_HERE} AND CASE
        WHEN c.command_id <> c.task_id THEN NOT EXISTS (
            SELECT FROM aliases a WHERE a.id = c.task_id AND a.journal_id = c.command_id)
        WHEN EXISTS (SELECT FROM journal j WHERE j.id = c.command_id) THEN false
        ELSE NOT EXISTS (SELECT FROM dead_letters d WHERE d.task_id = c.task_id) END""",
)


_DUE = Invariant(
    "C2",
    "a callback of a command that has an outcome or is dead is due or finished",
    f"""
    SELECT c.id, c.task_id, c.command_id, c.kind FROM callbacks c
    WHERE {_CALLBACKS_HERE} AND c.due_at IS NULL AND c.sent_at IS NULL
      AND (EXISTS (SELECT FROM outcomes o WHERE o.id = c.command_id)
           OR EXISTS (SELECT FROM failures f WHERE f.id = c.command_id AND f.dead_at IS NOT NULL))""",
)


CALLBACKS = Walk("callbacks", ("id",), (0,), (2**63 - 1,), 20_000, (_KNOWN, _DUE))


# ---------------------------------------------------------------------------------------- their effects

_EFFECTS = Invariant(
    "I10a",
    "every entry belongs to a command with an outcome; a refused command only has entries that were due",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, e.type, e.subtype, e.command_id, o.state FROM entries e
    LEFT JOIN outcomes o ON o.id = e.command_id
    WHERE {ENTRIES_HERE} AND (o.id IS NULL OR (o.state = 'refused'
        AND e.subtype NOT IN ('scheduled', 'timeout', 'activation')))""",
)


# The outcome of an expiry job has the number of expired lots and the version of the last entry.
_LISTED = Invariant(
    "I10b",
    "the outcome of a command lists every entry that the command wrote",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, e.type, e.subtype, e.command_id FROM entries e
    JOIN outcomes o ON o.id = e.command_id AND o.state = 'applied'
    CROSS JOIN LATERAL (
        SELECT (CASE e.subtype WHEN 'transfer_in' THEN e.related_id ELSE e.id END)::text AS id) AS shown
    WHERE {ENTRIES_HERE} AND CASE
        WHEN o.data #>> '{{transactions,0,id}}' = shown.id THEN false  -- most write one entry; this is faster
        WHEN e.subtype IN ('timeout', 'activation') THEN false  -- these were due
        WHEN e.subtype <> 'scheduled' THEN NOT EXISTS (
            SELECT FROM json_array_elements(o.data -> 'transactions') AS listed
            WHERE listed ->> 'id' = shown.id)
        WHEN o.data ->> 'lots_expired' IS NULL THEN false
        ELSE (o.data -> 'account' ->> 'version')::bigint - e.seq
             NOT BETWEEN 0 AND (o.data ->> 'lots_expired')::bigint - 1
    END""",
)


_TENANTS = Invariant(
    "I17a",
    "an entry is on an account of its tenant, and its command names that account's user",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, a.user_id, e.command_id, j.tenant_id AS commands_tenant_id
    FROM entries e
    LEFT JOIN accounts a ON a.tenant_id = e.tenant_id AND a.id = e.account_id
    LEFT JOIN journal j ON j.id = e.command_id
    WHERE {ENTRIES_HERE} AND (a.id IS NULL OR j.tenant_id <> e.tenant_id
        OR (a.user_id <> j.user_id AND a.user_id <> coalesce(j.payload ->> 'to_user_id', '')
            AND NOT EXISTS (  -- the search for an erased user's commands is still running
                SELECT FROM erasures s
                WHERE s.tenant_id = a.tenant_id AND s.pseudonym = a.user_id AND s.finished_at IS NULL)))""",
)


EFFECTS = (_EFFECTS, _LISTED, _TENANTS)


# ------------------------------------------------------------------------------------------ the journal

_JOURNAL_HERE = within("j.id")


_ONE_PER_KEY = Invariant(
    "I8",
    "a tenant, actor, kind and idempotency key identify one command",
    f"""
    SELECT j.tenant_id, j.actor, j.kind, j.idempotency_key, j.id FROM journal j
    WHERE {_JOURNAL_HERE} AND j.idempotency_key IS NOT NULL AND EXISTS (
        SELECT FROM journal o
        WHERE o.tenant_id = j.tenant_id AND o.actor = j.actor AND o.kind = j.kind
          AND o.idempotency_key = j.idempotency_key AND o.id <> j.id)""",
)


# A retried command that was dead is pending under a new number; the last condition finds it.
_NOTHING_VANISHES = Invariant(
    "I18a",
    "every accepted command is pending, is dead or has an outcome",
    f"""
    SELECT j.tenant_id, j.id, j.lane, j.seq, j.kind, j.accepted_at FROM journal j
    WHERE {_JOURNAL_HERE} AND CASE
        WHEN EXISTS (SELECT FROM outcomes o WHERE o.id = j.id) THEN false
        WHEN EXISTS (SELECT FROM ({at_place("j.lane", "j.seq")}) AS p WHERE p.id = j.id) THEN false
        WHEN EXISTS (SELECT FROM failures f WHERE f.id = j.id AND f.dead_at IS NOT NULL) THEN false
        ELSE NOT EXISTS (SELECT FROM pending p WHERE p.lane = j.lane AND p.id = j.id) END""",
)


JOURNAL = Walk(
    "journal", ("id",), (FIRST_ID,), (LAST_ID,), 20_000, (_ONE_PER_KEY, _NOTHING_VANISHES, REDACTED)
)


_PENDING_ONLY = Invariant(
    "I18b",
    "a pending command was accepted into its lane, is not dead and has no outcome",
    f"""
    SELECT p.lane, p.seq, p.id, j.lane AS journal_lane, o.state, f.dead_at FROM pending p
    LEFT JOIN journal j ON j.id = p.id
    LEFT JOIN outcomes o ON o.id = p.id
    LEFT JOIN failures f ON f.id = p.id
    WHERE {within("p.lane", "p.seq")}
      AND (j.lane IS DISTINCT FROM p.lane OR o.id IS NOT NULL OR f.dead_at IS NOT NULL)""",
)


PENDING = Walk("pending", ("lane", "seq"), (-1, 0), (2**15 - 1, 2**63 - 1), 20_000, (_PENDING_ONLY,))


_DEAD_ONLY = Invariant(
    "I18c",
    "a dead command was accepted and has no outcome",
    f"""
    SELECT f.tenant_id, f.id, f.dead_at, o.state FROM failures f
    LEFT JOIN journal j ON j.id = f.id
    LEFT JOIN outcomes o ON o.id = f.id
    WHERE {within("f.id")} AND f.dead_at IS NOT NULL AND (j.id IS NULL OR o.id IS NOT NULL)""",
)


FAILURES = Walk("failures", ("id",), (FIRST_ID,), (LAST_ID,), 20_000, (_DEAD_ONLY,))


_ALIASES = Invariant(
    "I9b",
    "an alias names a command and is not the id of a command",
    f"""
    SELECT a.id, a.journal_id FROM aliases a
    WHERE {within("a.id")} AND (EXISTS (SELECT FROM journal j WHERE j.id = a.id)
        OR NOT EXISTS (SELECT FROM journal j WHERE j.id = a.journal_id))""",
)


ALIASES = Walk("aliases", ("id",), (FIRST_ID,), (LAST_ID,), 20_000, (_ALIASES,))
