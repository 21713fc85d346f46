# ruff: noqa: S608  (what is put into these queries is names of ours)
"""What must be true of reversals: that each undoes what was done, and no more of it."""

from pointledger.storage.invariants import ENTRIES_HERE, Invariant

# Asked of the entry that is reversed: its reversals stand on the same account.
_NO_MORE = Invariant(
    "I21a",
    "the reversals of an entry together amount to no more than it",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, e.type, e.subtype, e.amount, undone FROM entries e
    CROSS JOIN LATERAL (
        SELECT sum(r.amount) AS undone FROM entries r
        WHERE r.tenant_id = e.tenant_id AND r.related_id = e.id AND r.subtype IN ('linked', 'clawback')
    ) AS reversals
    WHERE {ENTRIES_HERE} AND undone > e.amount""",
)

_OWN = Invariant(
    "I21b",
    "a refund is of a spend, and a clawback of earned points, on the same account",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, e.subtype, e.related_id, o.type, o.subtype AS reversed_subtype
    FROM entries e LEFT JOIN entries o ON o.tenant_id = e.tenant_id AND o.id = e.related_id
    WHERE {ENTRIES_HERE} AND e.subtype IN ('linked', 'clawback') AND (
        o.account_id IS DISTINCT FROM e.account_id OR o.seq >= e.seq
        OR (o.type, o.subtype) NOT IN (('spend', 'purchase'), ('spend', 'capture'), ('earn', 'rule'),
                                       ('earn', 'manual'), ('earn', 'import'))
        OR (e.subtype = 'linked') <> (o.type = 'spend'))""",
)

_TO_THE_VERY_LOTS = Invariant(
    "I21c",
    "no lot gets more back from the refunds of a spend than it paid",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, m.lot_id, m.amount, returned FROM entries e
    JOIN lot_moves m ON m.tenant_id = e.tenant_id AND m.entry_id = e.id AND m.kind IN ('restore', 'renew')
    LEFT JOIN lot_moves paid
        ON paid.tenant_id = m.tenant_id AND paid.entry_id = e.related_id AND paid.lot_id = m.lot_id
    CROSS JOIN LATERAL (
        SELECT sum(back.amount) AS returned
        FROM entries r JOIN lot_moves back
            ON back.tenant_id = r.tenant_id AND back.entry_id = r.id AND back.lot_id = m.lot_id
        WHERE r.tenant_id = e.tenant_id AND r.related_id = e.related_id
          AND r.subtype IN ('linked', 'clawback') AND back.kind IN ('restore', 'renew')) AS all_refunds
    WHERE {ENTRIES_HERE} AND e.subtype = 'linked' AND returned > coalesce(paid.amount, 0)""",
)

REVERSALS = (_NO_MORE, _OWN, _TO_THE_VERY_LOTS)
