"""Invariants of outcomes: each reports what its command did."""

# ruff: noqa: S608  (constants only)

from pointledger.storage.invariants.base import FIRST_ID, LAST_ID, Invariant, Walk, within
from pointledger.storage.invariants.expiry import EXPIRIES_IN_OUTCOMES
from pointledger.storage.invariants.tables import RECORDED

_OUTCOMES_HERE = within("o.id")

_ACCEPTED = Invariant(
    "I9a",
    "every outcome belongs to an accepted command of its tenant",
    f"""
    SELECT o.tenant_id, o.id, o.state, j.tenant_id AS journal_tenant_id FROM outcomes o
    LEFT JOIN journal j ON j.id = o.id
    WHERE {_OUTCOMES_HERE} AND j.tenant_id IS DISTINCT FROM o.tenant_id""",
)

_ENTERED = Invariant(
    "I10c",
    "every entry that an outcome lists is in the ledger, unchanged, and belongs to its command",
    f"""
    SELECT o.tenant_id, o.id AS command_id, listed.id AS listed_id, listed.seq AS listed_seq,
           listed.amount AS listed_amount, e.seq, e.amount, e.command_id AS entrys_command_id
    FROM outcomes o
    CROSS JOIN LATERAL json_to_recordset(o.data -> 'transactions')
        AS listed (id uuid, seq bigint, type text, subtype text, amount bigint, balance_after bigint)
    LEFT JOIN entries e ON e.tenant_id = o.tenant_id AND e.id = listed.id
    WHERE {_OUTCOMES_HERE}
      AND (e.command_id, e.seq, e.type, e.subtype, e.amount, e.balance_after)
          IS DISTINCT FROM (o.id, listed.seq, listed.type, listed.subtype, listed.amount,
                            listed.balance_after)""",
)

# The requested amount is in the journal; erasing a person may remove it from there.
_NUMBERS = Invariant(
    "I10d",
    "the points that an outcome reports as granted, settled or moved are the sum of its entries",
    f"""
    SELECT o.tenant_id, o.id AS command_id, j.kind, said, summed
    FROM outcomes o
    JOIN journal j ON j.id = o.id
    CROSS JOIN LATERAL (SELECT coalesce(sum((listed ->> 'amount')::bigint), 0) AS summed
                        FROM json_array_elements(o.data -> 'transactions') AS listed) AS entries
    CROSS JOIN LATERAL (SELECT CASE
        WHEN j.kind IN ('apply-rule', 'earn', 'import-opening-balance')
            THEN coalesce((o.data ->> 'points_earned')::bigint, -1)
        WHEN j.kind = 'expire' THEN coalesce((o.data ->> 'settled')::bigint, -1)
        WHEN j.kind IN ('clawback', 'cancel-pending') THEN coalesce((o.data ->> 'clawed_back')::bigint, -1)
        WHEN j.kind IN ('spend', 'transfer', 'refund', 'freeze') THEN (j.payload ->> 'amount')::bigint
        WHEN j.kind = 'adjust' THEN abs((j.payload ->> 'amount')::bigint)
        WHEN j.kind = 'exchange' THEN coalesce((o.data ->> 'points_exchanged')::bigint, -1)
        WHEN j.kind = 'set-status' THEN coalesce((o.data ->> 'points_forfeited')::bigint, -1)
        WHEN j.kind IN ('unfreeze', 'confirm-deduction', 'release-holds-due')
            THEN coalesce((o.data ->> 'points_captured')::bigint, 0)
                 + coalesce((o.data ->> 'points_released')::bigint, -1) END AS said) AS reported
    WHERE {_OUTCOMES_HERE} AND o.state = 'applied'
      AND (said <> summed OR (j.kind = 'earn' AND (j.payload ->> 'amount')::bigint <> summed))""",
)

# The account version in the outcome of an expiry job is the number of its last entry.
_EXPIRED = Invariant(
    "I10e",
    "the points that an expiry job reports as expired are the sum of its entries",
    f"""
    SELECT o.tenant_id, o.id AS command_id, said.points, said.lots, done.points AS points_done,
           done.lots AS lots_done
    FROM outcomes o
    JOIN journal j ON j.id = o.id
    CROSS JOIN LATERAL (
        SELECT (o.data ->> 'points_expired')::bigint AS points, (o.data ->> 'lots_expired')::bigint AS lots,
               (o.data -> 'account' ->> 'id')::uuid AS account_id,
               (o.data -> 'account' ->> 'version')::bigint AS version) AS said
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(e.amount), 0) AS points, count(*) AS lots FROM entries e
        WHERE e.tenant_id = o.tenant_id AND e.account_id = said.account_id
          AND e.seq > said.version - said.lots AND e.seq <= said.version
          AND e.command_id = o.id AND e.type = 'expire') AS done
    WHERE {_OUTCOMES_HERE} AND o.state = 'applied' AND j.kind = 'expire-due'
      AND (said.points, said.lots) IS DISTINCT FROM (done.points, done.lots)""",
)

# If nothing was settled, the outcome lists no entry, and nothing was available before and after.
_SETTLED = Invariant(
    "I13",
    "a manual expiry settles the requested or the available points, whichever are fewer",
    f"""
    SELECT o.tenant_id, o.id AS command_id, requested, settled, available
    FROM outcomes o
    JOIN journal j ON j.id = o.id
    CROSS JOIN LATERAL (
        SELECT (o.data ->> 'requested')::bigint AS requested, (o.data ->> 'settled')::bigint AS settled,
               (o.data -> 'transactions' -> 0 ->> 'id')::uuid AS entry_id,
               coalesce((o.data -> 'account' ->> 'balance')::bigint, 0) AS left_over) AS said
    LEFT JOIN entries e ON e.tenant_id = o.tenant_id AND e.id = said.entry_id
    CROSS JOIN LATERAL (SELECT coalesce(e.balance_after - e.delta, left_over) AS available) AS had
    WHERE {_OUTCOMES_HERE} AND o.state = 'applied' AND j.kind = 'expire'
      AND (settled IS DISTINCT FROM least(requested, available)
           OR (j.payload ->> 'amount')::bigint <> requested)""",
)

_MONEY = Invariant(
    "I10f",
    "every wallet entry that an outcome lists is on that wallet and belongs to its command",
    f"""
    SELECT o.tenant_id, o.id AS command_id, listed.id AS listed_id, e.command_id AS entrys_command_id
    FROM outcomes o
    CROSS JOIN LATERAL json_to_record(o.data -> 'wallet_transaction') AS listed (id uuid, wallet_id uuid)
    LEFT JOIN wallet_entries e ON e.tenant_id = o.tenant_id AND e.id = listed.id
    WHERE {_OUTCOMES_HERE} AND o.data -> 'wallet_transaction' IS NOT NULL
      AND (e.command_id, e.wallet_id) IS DISTINCT FROM (o.id, listed.wallet_id)""",
)

OUTCOMES = Walk(
    "outcomes",
    ("id",),
    (FIRST_ID,),
    (LAST_ID,),
    20_000,
    (_ACCEPTED, _ENTERED, _NUMBERS, _EXPIRED, _SETTLED, _MONEY, RECORDED, *EXPIRIES_IN_OUTCOMES),
)
