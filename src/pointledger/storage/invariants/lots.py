"""Invariants of lots and of the points that entries take from them."""

# ruff: noqa: S608  (constants only)

from pointledger.storage.invariants.base import (
    ACCOUNTS_HERE,
    AFTER_ANY_TENANT,
    BEFORE_ANY_TENANT,
    ENTRIES_HERE,
    FIRST_ID,
    LAST_ID,
    Invariant,
    Walk,
    within,
)
from pointledger.storage.invariants.expiry import EXPIRIES_OF_LOTS
from pointledger.storage.ledger.expiry_changes import expired_then

# ------------------------------------------------------------------------------- the lots of an account

# An account's lots are the active and pending ones and those that its entries took from, because only active
# and pending lots are indexed by account. I4d finds a lot that is missing here, by the entry that brought it.
# A move takes points, restores them, or records that they came back as another lot.
_TAKEN = "CASE m.kind WHEN 'restore' THEN -m.amount WHEN 'renew' THEN 0 ELSE m.amount END"

_REACHED = f"""
WITH taken AS MATERIALIZED (
    SELECT e.tenant_id, m.lot_id, sum({_TAKEN}) AS amount,
           coalesce(sum(m.amount) FILTER (WHERE m.kind = 'expire'), 0) AS expired
    FROM entries e JOIN lot_moves m ON m.tenant_id = e.tenant_id AND m.entry_id = e.id
    WHERE {ENTRIES_HERE} GROUP BY e.tenant_id, m.lot_id
), reached AS (
    SELECT l.* FROM lots l WHERE l.state = 'active' AND {within("l.tenant_id", "l.account_id")}
    UNION ALL
    SELECT l.* FROM lots l WHERE l.state = 'pending' AND {within("l.tenant_id", "l.account_id")}
    UNION ALL
    SELECT l.* FROM taken t JOIN lots l ON l.tenant_id = t.tenant_id AND l.id = t.lot_id
    WHERE l.state NOT IN ('active', 'pending')
)"""

_LOTS_SUM = Invariant(
    "I4a",
    "the points left in an account's lots are its balance, pending and frozen points",
    f"""
    SELECT a.tenant_id, a.user_id, a.balance, remaining, a.frozen_balance, frozen, a.pending_balance, pending
    FROM accounts a CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.remaining), 0) AS remaining, coalesce(sum(l.frozen), 0) AS frozen
        FROM lots l WHERE l.tenant_id = a.tenant_id AND l.account_id = a.id AND l.state = 'active') AS lots
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.remaining), 0) AS pending
        FROM lots l WHERE l.tenant_id = a.tenant_id AND l.account_id = a.id AND l.state = 'pending') AS coming
    WHERE {ACCOUNTS_HERE}
      AND (a.balance, a.frozen_balance, a.pending_balance) <> (remaining, frozen, pending)""",
)

_LOTS_MOVES = Invariant(
    "I4b",
    "a lot's lost points are the sum of its moves, and its expired points the sum of its expiries",
    f"""{_REACHED}
    SELECT tenant_id, lot_id, sum(lost) AS lost, sum(moved) AS moved, sum(expired) AS expired,
           sum(moved_expired) AS moved_expired
    FROM (
        SELECT tenant_id, id AS lot_id, amount - remaining - frozen AS lost, expired, 0 AS moved,
               0 AS moved_expired FROM reached
        UNION ALL SELECT tenant_id, lot_id, 0, 0, amount, expired FROM taken) AS both_sides
    GROUP BY tenant_id, lot_id HAVING (sum(lost), sum(expired)) <> (sum(moved), sum(moved_expired))""",
)

_ENTRY_MOVES = Invariant(
    "I4c",
    "an entry takes from lots and returns to lots exactly what its kind requires",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, e.type, e.subtype, e.amount, taken, returned FROM entries e
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(m.amount) FILTER (WHERE m.kind NOT IN ('restore', 'renew')), 0) AS taken,
               coalesce(sum(m.amount) FILTER (WHERE m.kind = 'grace'), 0) AS graced,
               coalesce(sum(m.amount) FILTER (WHERE m.kind IN ('restore', 'renew')), 0) AS returned
        FROM lot_moves m WHERE m.tenant_id = e.tenant_id AND m.entry_id = e.id) AS moves
    WHERE {ENTRIES_HERE} AND (taken, returned) <> (
        CASE WHEN e.type IN ('spend', 'expire') OR e.subtype = 'forfeit' THEN e.amount
             WHEN e.subtype = 'admin' AND e.delta - e.delta_debt < 0 THEN e.amount
             WHEN e.subtype = 'clawback' THEN -e.delta - e.delta_pending
             -- a credit takes the debt that it repays; a release brings back what else it takes: I4d
             ELSE greatest(-e.delta_debt, 0) + CASE e.type WHEN 'unfreeze' THEN graced ELSE 0 END END,
        CASE WHEN e.subtype = 'linked' THEN e.amount ELSE 0 END)""",
)

_ENTRY_LOTS = Invariant(
    "I4d",
    "the lots of an entry that brings points add up to its amount, and other entries bring no lots",
    f"""{_REACHED}
    SELECT tenant_id, entry_id, sum(earned) AS earned, sum(brought) AS brought FROM (
        SELECT e.tenant_id, e.id AS entry_id, e.amount AS earned, 0 AS brought FROM entries e
        WHERE {ENTRIES_HERE} AND (e.type = 'earn' OR e.subtype = 'goodwill'
                                  OR (e.subtype = 'admin' AND e.delta - e.delta_debt > 0))
        UNION ALL
        SELECT e.tenant_id, e.id, m.amount, 0 FROM entries e
        JOIN lot_moves m ON m.tenant_id = e.tenant_id AND m.entry_id = e.id
                        AND m.kind = CASE e.type WHEN 'unfreeze' THEN 'grace' ELSE 'renew' END
        WHERE {ENTRIES_HERE} AND (e.subtype = 'linked' OR e.type = 'unfreeze')
        UNION ALL SELECT tenant_id, entry_id, 0, amount FROM reached) AS both_sides
    GROUP BY tenant_id, entry_id HAVING sum(earned) <> sum(brought)""",
)

_NEXT_EXPIRY = Invariant(
    "I4e",
    "no points of a lot expire before the account's next expiry",
    f"""
    SELECT a.tenant_id, a.user_id, a.next_expiry_at, soonest.id AS lot_id, soonest.expires_at
    FROM accounts a CROSS JOIN LATERAL (
        SELECT l.id, l.expires_at FROM lots l
        WHERE l.tenant_id = a.tenant_id AND l.account_id = a.id AND l.state = 'active' AND l.remaining > 0
        ORDER BY l.expires_at LIMIT 1) AS soonest
    WHERE {ACCOUNTS_HERE} AND soonest.expires_at < coalesce(a.next_expiry_at, 'infinity')""",
)

_NEXT_ACTIVATION = Invariant(
    "I23",
    "no pending lot becomes available before the account's next activation",
    f"""
    SELECT a.tenant_id, a.user_id, a.next_activation_at, soonest.id AS lot_id, soonest.activates_at
    FROM accounts a CROSS JOIN LATERAL (
        SELECT l.id, l.activates_at FROM lots l
        WHERE l.tenant_id = a.tenant_id AND l.account_id = a.id AND l.state = 'pending'
        ORDER BY l.activates_at LIMIT 1) AS soonest
    WHERE {ACCOUNTS_HERE} AND soonest.activates_at < coalesce(a.next_activation_at, 'infinity')""",
)

_CARRIED = Invariant(
    "I7b",
    "the lots that a transfer brings have the origin, age and expiry of those that it took; "
    "the lots that a release brings have their origin and age",
    f"""{_REACHED}
    SELECT tenant_id, entry_id, origin_id, earned_at, expires_at, sum(arrived) AS arrived, sum(gone) AS gone
    FROM (
        SELECT tenant_id, entry_id, origin_id, earned_at, {expired_then("reached", "0")} AS expires_at,
               amount AS arrived, 0 AS gone
        FROM reached WHERE origin_id <> entry_id AND NOT EXISTS (
            SELECT FROM entries e WHERE e.tenant_id = reached.tenant_id AND e.id = reached.entry_id
              AND e.type = 'refund')
        UNION ALL
        SELECT e.tenant_id, e.id, l.origin_id, l.earned_at,
               CASE e.type WHEN 'unfreeze' THEN e.expires_at ELSE {expired_then("l", "g.seq")} END, 0,
               m.amount
        FROM entries e
        JOIN entries g ON g.tenant_id = e.tenant_id
                      AND g.id = CASE e.type WHEN 'unfreeze' THEN e.id ELSE e.related_id END
        JOIN lot_moves m ON m.tenant_id = e.tenant_id
                        AND m.entry_id = g.id
                        AND m.kind = CASE e.type WHEN 'unfreeze' THEN 'grace' ELSE 'transfer' END
        JOIN lots l ON l.tenant_id = m.tenant_id AND l.id = m.lot_id
        WHERE {ENTRIES_HERE} AND (e.subtype = 'transfer_in' OR e.type = 'unfreeze')) AS both_ends
    GROUP BY tenant_id, entry_id, origin_id, earned_at, expires_at HAVING sum(arrived) <> sum(gone)""",
)

LOTS_OF_ACCOUNTS = (
    _LOTS_SUM,
    _LOTS_MOVES,
    _ENTRY_MOVES,
    _ENTRY_LOTS,
    _NEXT_EXPIRY,
    _NEXT_ACTIVATION,
    _CARRIED,
)

# ------------------------------------------------------------------------------------------- lot by lot

_LOTS_HERE = within("l.tenant_id", "l.id")

_LOT_BOUNDS = Invariant(
    "I6b",
    "the rest of a lot lies between 0 and its amount, and the lot is active exactly while there is a rest",
    f"""
    SELECT l.tenant_id, l.id, l.state, l.amount, l.remaining, l.frozen FROM lots l
    WHERE {_LOTS_HERE} AND (l.remaining < 0 OR l.frozen < 0 OR l.remaining + l.frozen > l.amount
        OR (l.state IN ('pending', 'active')) <> (l.remaining + l.frozen > 0))""",
)

# One batch creates the lots of an entry, so they stay in one chunk. I4d finds sums below the amount.
_LOTS_TOO_MANY = Invariant(
    "I4f",
    "the lots that an entry brings do not exceed its amount",
    f"""
    SELECT l.tenant_id, l.entry_id, e.amount, sum(l.amount) AS brought FROM lots l
    JOIN entries e ON e.tenant_id = l.tenant_id AND e.id = l.entry_id
    WHERE {_LOTS_HERE} GROUP BY l.tenant_id, l.entry_id, e.amount HAVING sum(l.amount) > e.amount""",
)

_LOT_OWNER = Invariant(
    "I17b",
    "a lot is on the account of the entry that brought it, and has its number",
    f"""
    SELECT l.tenant_id, l.id, l.account_id, l.entry_id, l.seq, e.account_id AS entrys_account_id,
           e.seq AS entrys_seq
    FROM lots l LEFT JOIN entries e ON e.tenant_id = l.tenant_id AND e.id = l.entry_id
    WHERE {_LOTS_HERE} AND (e.account_id IS DISTINCT FROM l.account_id OR l.seq NOT IN (0, e.seq))""",
)

LOTS = Walk(
    table="lots",
    key=("tenant_id", "id"),
    first=(BEFORE_ANY_TENANT, FIRST_ID),
    last=(AFTER_ANY_TENANT, LAST_ID),
    rows_at_once=20_000,
    whole_milliseconds=True,
    invariants=(_LOT_BOUNDS, _LOTS_TOO_MANY, _LOT_OWNER, *EXPIRIES_OF_LOTS),
)

# ------------------------------------------------------------------------------------------ move by move

_MOVES_HERE = within("m.tenant_id", "m.entry_id", "m.lot_id")

_TOO_LATE = Invariant(
    "I12a",
    "nothing is spent or transferred from an expired lot, if the tenant and the account let points expire; "
    "points held before may be captured after",
    f"""
    SELECT m.tenant_id, m.entry_id, m.lot_id, m.amount, e.occurred_at, l.expires_at FROM lot_moves m
    JOIN entries e ON e.tenant_id = m.tenant_id AND e.id = m.entry_id
    JOIN lots l ON l.tenant_id = m.tenant_id AND l.id = m.lot_id
    LEFT JOIN entries f ON f.tenant_id = e.tenant_id AND f.id = e.related_id AND f.type = 'freeze'
    WHERE {_MOVES_HERE} AND m.kind IN ('spend', 'transfer', 'adjust')
      AND coalesce(f.occurred_at, e.occurred_at) >= {expired_then("l", "coalesce(f.seq, e.seq)")}
      AND NOT EXISTS (SELECT FROM tenant_versions t
                      WHERE t.tenant_id = m.tenant_id AND (t.config ->> 'expire_enabled' = 'false'
                                                           OR t.config ->> 'expires_not_before' IS NOT NULL))
      AND NOT EXISTS (SELECT FROM accounts a
                      WHERE a.tenant_id = l.tenant_id AND a.id = l.account_id
                        AND (a.expiry_exempt OR a.expires_not_before IS NOT NULL))""",
)

_TOO_EARLY = Invariant(
    "I12b",
    "nothing expires by schedule before its lot does",
    f"""
    SELECT m.tenant_id, m.entry_id, m.lot_id, m.amount, e.occurred_at, l.expires_at FROM lot_moves m
    JOIN entries e ON e.tenant_id = m.tenant_id AND e.id = m.entry_id
    JOIN lots l ON l.tenant_id = m.tenant_id AND l.id = m.lot_id
    WHERE {_MOVES_HERE} AND e.type = 'expire' AND e.subtype = 'scheduled'
      AND e.occurred_at < coalesce({expired_then("l", "e.seq")}, 'infinity')""",
)

_MOVE_OWNER = Invariant(
    "I17c",
    "an entry takes from lots of its own account",
    f"""
    SELECT m.tenant_id, m.entry_id, m.lot_id, e.account_id, l.account_id AS lots_account_id FROM lot_moves m
    LEFT JOIN entries e ON e.tenant_id = m.tenant_id AND e.id = m.entry_id
    LEFT JOIN lots l ON l.tenant_id = m.tenant_id AND l.id = m.lot_id
    WHERE {_MOVES_HERE} AND (e.id IS NULL OR l.id IS NULL OR e.account_id <> l.account_id)""",
)

MOVES = Walk(
    table="lot_moves",
    key=("tenant_id", "entry_id", "lot_id"),
    first=(BEFORE_ANY_TENANT, FIRST_ID, FIRST_ID),
    last=(AFTER_ANY_TENANT, LAST_ID, LAST_ID),
    rows_at_once=20_000,
    invariants=(_TOO_LATE, _TOO_EARLY, _MOVE_OWNER),
)
