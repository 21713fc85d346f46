"""Invariants of expiries: entries and records account for each lot's expiry and for each change of it."""

# ruff: noqa: S608  (constants only)

from pointledger.storage.invariants.base import (
    AFTER_ANY_TENANT,
    BEFORE_ANY_TENANT,
    FIRST_ID,
    LAST_ID,
    Invariant,
    Walk,
    within,
)
from pointledger.storage.ledger.expiry_changes import expired_then

# I7b checks the lots of transfers; the entry of a refund has no expiry.
_AS_ENTERED = Invariant(
    "I24a",
    "a lot was created with the expiry of its entry",
    f"""
    SELECT l.tenant_id, l.id, l.entry_id, e.expires_at, came.expires_at AS lots_expires_at FROM lots l
    JOIN entries e ON e.tenant_id = l.tenant_id AND e.id = l.entry_id
    CROSS JOIN LATERAL (SELECT {expired_then("l", "0")} AS expires_at) AS came
    WHERE {within("l.tenant_id", "l.id")} AND e.subtype NOT IN ('transfer_in', 'linked')
      AND came.expires_at IS DISTINCT FROM e.expires_at""",
)

_COUNTED = Invariant(
    "I24b",
    "a lot counts as many changes of its expiry as are recorded",
    f"""
    SELECT l.tenant_id, l.id, l.expiry_changes, recorded FROM lots l
    CROSS JOIN LATERAL (SELECT count(*) AS recorded FROM expiry_changes c
                        WHERE c.tenant_id = l.tenant_id AND c.lot_id = l.id) AS records
    WHERE {within("l.tenant_id", "l.id")} AND l.expiry_changes <> recorded""",
)

EXPIRIES_OF_LOTS = (_AS_ENTERED, _COUNTED)

# -------------------------------------------------------------------------------------- change by change

_CHANGES_HERE = within("c.tenant_id", "c.lot_id", "c.nth")

_CHAIN = Invariant(
    "I24c",
    "each change of an expiry begins where the one before ended, the last one ends at the lot's expiry, "
    "and an extension extends",
    f"""
    SELECT c.tenant_id, c.lot_id, c.nth, c.cause, c.was, c.becomes, before.becomes AS before_became,
           l.expires_at
    FROM expiry_changes c
    LEFT JOIN lots l ON l.tenant_id = c.tenant_id AND l.id = c.lot_id
    LEFT JOIN expiry_changes before
        ON before.tenant_id = c.tenant_id AND before.lot_id = c.lot_id AND before.nth = c.nth - 1
    WHERE {_CHANGES_HERE} AND (
        l.account_id IS DISTINCT FROM c.account_id
        OR (c.nth > 1 AND (before.nth IS NULL OR before.becomes IS DISTINCT FROM c.was
                           OR before.after_seq > c.after_seq OR before.recorded_at > c.recorded_at))
        OR (c.nth = l.expiry_changes AND c.becomes IS DISTINCT FROM l.expires_at)
        OR (c.cause = 'extend' AND coalesce(c.becomes, 'infinity') <= coalesce(c.was, 'infinity')))""",
)

_BY_COMMAND = Invariant(
    "I24d",
    "an applied command of the right kind changed the expiry",
    f"""
    SELECT c.tenant_id, c.lot_id, c.nth, c.command_id, c.cause, j.kind, o.state FROM expiry_changes c
    LEFT JOIN journal j ON j.id = c.command_id
    LEFT JOIN outcomes o ON o.id = c.command_id
    WHERE {_CHANGES_HERE} AND (o.state IS DISTINCT FROM 'applied' OR j.tenant_id <> c.tenant_id
        OR j.kind <> CASE c.cause WHEN 'extend' THEN 'extend-expiry' ELSE 'apply-expiry-policy' END)""",
)

EXPIRY_CHANGES = Walk(
    "expiry_changes",
    ("tenant_id", "lot_id", "nth"),
    (BEFORE_ANY_TENANT, FIRST_ID, 0),
    (AFTER_ANY_TENANT, LAST_ID, 2**31 - 1),
    20_000,
    (_CHAIN, _BY_COMMAND),
)

# --------------------------------------------------------------------------------------- in the outcomes

_MOVED = Invariant(
    "I24e",
    "the number of lots that an outcome reports as moved is recorded",
    f"""
    SELECT o.tenant_id, o.id AS command_id, o.data ->> 'lots_moved' AS said, recorded FROM outcomes o
    JOIN journal j ON j.id = o.id
    CROSS JOIN LATERAL (
        SELECT count(*) AS recorded FROM expiry_changes c WHERE c.command_id = o.id) AS records
    WHERE {within("o.id")} AND o.state = 'applied' AND j.kind IN ('extend-expiry', 'apply-expiry-policy')
      AND (o.data ->> 'lots_moved')::bigint IS DISTINCT FROM recorded""",
)

# The outcome of lifting an exemption has the end of the notice period and the account's version.
_NOTICE = Invariant(
    "I24f",
    "after an exemption is lifted, nothing expires by schedule before the notice period ends",
    # Materialized: the few such commands first. On tables that were just filled, Postgres may otherwise
    # compare each entry that expired with each outcome.
    f"""
    WITH lifted AS MATERIALIZED (
        SELECT o.tenant_id, o.data FROM outcomes o JOIN journal j ON j.id = o.id
        WHERE {within("o.id")} AND o.state = 'applied' AND j.kind = 'set-expiry-exemption')
    SELECT e.tenant_id, e.account_id, e.seq, e.occurred_at, o.data ->> 'expires_not_before' AS not_before
    FROM lifted o
    JOIN entries e ON e.tenant_id = o.tenant_id AND e.account_id = (o.data -> 'account' ->> 'id')::uuid
                  AND e.seq > (o.data -> 'account' ->> 'version')::bigint
    WHERE e.type = 'expire' AND e.subtype = 'scheduled'
      AND e.occurred_at < (o.data ->> 'expires_not_before')::timestamptz""",
)

EXPIRIES_IN_OUTCOMES = (_MOVED, _NOTICE)
