"""Invariants of holds: frozen points belong to open holds, and each is captured or released once."""

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

# ---------------------------------------------------------------------------------- of an account's entries

_FROZEN_IS_HELD = Invariant(
    "I5a",
    "an account's frozen points are the points of its open holds",
    f"""
    SELECT a.tenant_id, a.user_id, a.frozen_balance, held FROM accounts a
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(h.amount - h.captured - h.released), 0) AS held FROM holds h
        WHERE h.tenant_id = a.tenant_id AND h.account_id = a.id AND h.state = 'open') AS holds
    WHERE {ACCOUNTS_HERE} AND a.frozen_balance <> held""",
)

# A hold has the id of the entry that froze its points; the entries that resolve it refer to that id.
_ENTERED = Invariant(
    "I5b",
    "entries account for a hold: the points frozen, released and, at most once, captured",
    f"""
    SELECT t.tenant_id, t.hold_id, t.frozen, h.amount, t.captures, t.spent, h.captured, t.unfrozen,
           h.released
    FROM (SELECT e.tenant_id, CASE e.type WHEN 'freeze' THEN e.id ELSE e.related_id END AS hold_id,
                 coalesce(sum(e.amount) FILTER (WHERE e.type = 'freeze'), 0) AS frozen,
                 coalesce(sum(e.amount) FILTER (WHERE e.type = 'spend'), 0) AS spent,
                 coalesce(sum(e.amount) FILTER (WHERE e.type = 'unfreeze'), 0) AS unfrozen,
                 count(*) FILTER (WHERE e.type = 'spend') AS captures
          FROM entries e
          WHERE {ENTRIES_HERE} AND (e.type IN ('freeze', 'unfreeze') OR e.subtype = 'capture')
          GROUP BY e.tenant_id, CASE e.type WHEN 'freeze' THEN e.id ELSE e.related_id END) AS t
    LEFT JOIN holds h ON h.tenant_id = t.tenant_id AND h.id = t.hold_id
    WHERE captures > 1
       OR (h.amount, h.captured, h.released) IS DISTINCT FROM (t.frozen, t.spent, t.unfrozen)""",
)

HOLDS_OF_ACCOUNTS = (_FROZEN_IS_HELD, _ENTERED)

# ---------------------------------------------------------------------------------------------- hold by hold

_HOLDS_HERE = within("h.tenant_id", "h.id")

_LOTS_OF_HOLD = Invariant(
    "I5c",
    "a hold's lots add up to the points that it froze and to those that it still holds",
    f"""
    SELECT h.tenant_id, h.id, h.amount, kept.amount AS of_lots, h.amount - h.captured - h.released AS held,
           kept.frozen
    FROM holds h CROSS JOIN LATERAL (
        SELECT coalesce(sum(k.amount), 0) AS amount, coalesce(sum(k.frozen), 0) AS frozen
        FROM hold_lots k WHERE k.tenant_id = h.tenant_id AND k.hold_id = h.id) AS kept
    WHERE {_HOLDS_HERE} AND (kept.amount, kept.frozen) <> (h.amount, h.amount - h.captured - h.released)""",
)

# It starts from the holds; I4a finds lots that have frozen points without a hold.
_LOT_OF_HOLD = Invariant(
    "I5d",
    "a lot's frozen points are the points that holds have of it",
    f"""
    SELECT DISTINCT l.tenant_id, l.id AS lot_id, l.frozen, held.frozen AS held
    FROM holds h
    JOIN hold_lots k ON k.tenant_id = h.tenant_id AND k.hold_id = h.id
    JOIN lots l ON l.tenant_id = k.tenant_id AND l.id = k.lot_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(o.frozen), 0) AS frozen FROM hold_lots o
        WHERE o.tenant_id = l.tenant_id AND o.lot_id = l.id AND o.frozen > 0) AS held
    WHERE {_HOLDS_HERE} AND l.frozen <> held.frozen""",
)

_HOLD_BOUNDS = Invariant(
    "I6c",
    "the rest of a hold lies between 0 and its amount, and the hold is open exactly while there is a rest",
    f"""
    SELECT h.tenant_id, h.id, h.state, h.amount, h.captured, h.released FROM holds h
    WHERE {_HOLDS_HERE} AND (h.captured < 0 OR h.released < 0 OR h.captured + h.released > h.amount
        OR (h.state = 'open') <> (h.captured + h.released < h.amount)
        OR (h.state <> 'open' AND (h.state = 'captured') <> (h.captured > 0)))""",
)

_HOLD_OWNER = Invariant(
    "I17d",
    "a hold and its lots are on the account of the entry that froze its points",
    f"""
    SELECT h.tenant_id, h.id, h.account_id, h.seq, e.account_id AS entrys_account_id, e.seq AS entrys_seq,
           e.type
    FROM holds h LEFT JOIN entries e ON e.tenant_id = h.tenant_id AND e.id = h.id
    WHERE {_HOLDS_HERE} AND ((e.account_id, e.seq, e.type) IS DISTINCT FROM (h.account_id, h.seq, 'freeze')
        OR EXISTS (SELECT FROM hold_lots k
                   LEFT JOIN lots l ON l.tenant_id = k.tenant_id AND l.id = k.lot_id
                   WHERE k.tenant_id = h.tenant_id AND k.hold_id = h.id
                     AND l.account_id IS DISTINCT FROM h.account_id))""",
)

HOLDS = Walk(
    table="holds",
    key=("tenant_id", "id"),
    first=(BEFORE_ANY_TENANT, FIRST_ID),
    last=(AFTER_ANY_TENANT, LAST_ID),
    rows_at_once=20_000,
    invariants=(_LOTS_OF_HOLD, _LOT_OF_HOLD, _HOLD_BOUNDS, _HOLD_OWNER),
)
