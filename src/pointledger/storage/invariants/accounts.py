"""Invariants of accounts and their entries.

Chunks go by (tenant, account id), the order in which entries and active lots are indexed too. So a chunk's
entries are one range, which includes entries without an account.
"""

# ruff: noqa: S608  (constants only)

from pointledger.domain.ledger.account import MAX_BALANCE
from pointledger.domain.ledger.entry import TAKEN, TOTALS
from pointledger.storage.invariants.base import (
    ACCOUNTS_HERE,
    AFTER_ANY_TENANT,
    BEFORE_ANY_TENANT,
    ENTRIES_HERE,
    FIRST_ID,
    LAST_ID,
    Invariant,
    Walk,
)
from pointledger.storage.invariants.commands import EFFECTS
from pointledger.storage.invariants.erasures import EMPTIED
from pointledger.storage.invariants.holds import HOLDS_OF_ACCOUNTS
from pointledger.storage.invariants.limits import LIMITS
from pointledger.storage.invariants.lots import LOTS_OF_ACCOUNTS
from pointledger.storage.invariants.outbox import EVENTS_OF_ACCOUNTS

_ENTRIES_AT_ONCE = 50_000  # of a chunk's accounts together: under a second of work


_END = f"""
SELECT tenant_id, id FROM (
    SELECT tenant_id, id, sum(version) OVER (ORDER BY tenant_id, id) - version AS entries_before
    FROM (SELECT a.tenant_id, a.id, a.version FROM accounts a WHERE {ACCOUNTS_HERE}
          ORDER BY a.tenant_id, a.id LIMIT %(most)s) AS next
) AS counted
WHERE entries_before < {_ENTRIES_AT_ONCE}
ORDER BY tenant_id DESC, id DESC LIMIT 1"""


# ---------------------------------------------------------------------------------------------- value

_CONSERVED = Invariant(
    "I1a",
    "an account's points are the points received minus the points given",
    f"""
    SELECT tenant_id, user_id, has, came_less_went FROM accounts a
    CROSS JOIN LATERAL (SELECT
        a.balance::numeric + a.frozen_balance + a.pending_balance - a.debt AS has,
        a.total_earned::numeric + a.total_transferred_in + a.total_adjusted_in + a.total_refunded
        - a.total_spent - a.total_transferred_out - a.total_adjusted_out - a.expired_points
        - a.total_clawed_back AS came_less_went) AS sums
    WHERE {ACCOUNTS_HERE} AND has <> came_less_went""",
)


_WORTH = Invariant(
    "I1b",
    "an entry changes its account's points by its amount, in the direction of its type",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, e.type, e.subtype, e.amount, change FROM entries e
    CROSS JOIN LATERAL (
        SELECT e.delta::numeric + e.delta_frozen + e.delta_pending - e.delta_debt AS change) AS net
    WHERE {ENTRIES_HERE} AND change <> CASE
        WHEN e.type IN ('earn', 'refund') THEN e.amount
        WHEN e.type IN ('spend', 'expire') THEN -e.amount
        WHEN e.type = 'adjust' THEN sign(change) * e.amount
        ELSE 0 END""",
)


_SUMS = Invariant(
    "I2",
    "balance, frozen, pending and debt are the sums of the entries' deltas",
    f"""
    SELECT a.tenant_id, a.user_id, a.balance, s.balance AS summed_balance, a.frozen_balance,
           s.frozen AS summed_frozen, a.pending_balance, s.pending AS summed_pending, a.debt,
           s.debt AS summed_debt
    FROM accounts a CROSS JOIN LATERAL (
        SELECT coalesce(sum(delta), 0) AS balance, coalesce(sum(delta_frozen), 0) AS frozen,
               coalesce(sum(delta_pending), 0) AS pending, coalesce(sum(delta_debt), 0) AS debt
        FROM entries e WHERE e.tenant_id = a.tenant_id AND e.account_id = a.id) AS s
    WHERE {ACCOUNTS_HERE}
      AND (a.balance, a.frozen_balance, a.pending_balance, a.debt)
          <> (s.balance, s.frozen, s.pending, s.debt)""",
)


_CHAIN = Invariant(
    "I3a",
    "entries are numbered from 1 without gaps, and each begins where the one before ended and is not older",
    f"""
    SELECT tenant_id, account_id, seq, id, seq_before, began_at, ended_at FROM (
        SELECT e.tenant_id, e.account_id, e.seq, e.id, e.created_at,
               coalesce(lag(e.seq) OVER chain, 0) AS seq_before,
               lag(e.created_at) OVER chain AS created_before,
               ARRAY[e.balance_after - e.delta, e.frozen_after - e.delta_frozen,
                     e.pending_after - e.delta_pending, e.debt_after - e.delta_debt] AS began_at,
               coalesce(lag(ARRAY[e.balance_after, e.frozen_after, e.pending_after, e.debt_after])
                        OVER chain, '{{0,0,0,0}}') AS ended_at
        FROM entries e WHERE {ENTRIES_HERE}
        WINDOW chain AS (PARTITION BY e.tenant_id, e.account_id ORDER BY e.seq)
    ) AS linked
    WHERE seq <> seq_before + 1 OR began_at <> ended_at OR created_at < created_before""",
)


_LAST = Invariant(
    "I3b",
    "an account has the balances of its last entry, and its version is that entry's number",
    f"""
    SELECT a.tenant_id, a.user_id, a.version, last.seq, a.balance, last.balance_after
    FROM accounts a LEFT JOIN LATERAL (
        SELECT * FROM entries e WHERE e.tenant_id = a.tenant_id AND e.account_id = a.id
        ORDER BY e.seq DESC LIMIT 1) AS last ON true
    WHERE {ACCOUNTS_HERE}
      AND (a.version, a.balance, a.frozen_balance, a.pending_balance, a.debt)
          <> (coalesce(last.seq, 0), coalesce(last.balance_after, 0), coalesce(last.frozen_after, 0),
              coalesce(last.pending_after, 0), coalesce(last.debt_after, 0))""",
)


_CLOCK = Invariant(
    "I3c",
    "an account's clock is not behind its entries",
    f"""
    SELECT a.tenant_id, a.user_id, a.as_of, latest FROM accounts a
    CROSS JOIN LATERAL (SELECT max(e.occurred_at) AS latest FROM entries e
                        WHERE e.tenant_id = a.tenant_id AND e.account_id = a.id) AS happened
    WHERE {ACCOUNTS_HERE} AND latest > a.as_of""",
)


_BOUNDS = Invariant(
    "I6a",
    "an account's balances lie between 0 and the largest amount, and an account in debt has no balance",
    f"""
    SELECT tenant_id, user_id, balance, frozen_balance, pending_balance, debt FROM accounts a
    WHERE {ACCOUNTS_HERE} AND NOT (
        balance BETWEEN 0 AND {MAX_BALANCE} AND frozen_balance BETWEEN 0 AND {MAX_BALANCE}
        AND pending_balance BETWEEN 0 AND {MAX_BALANCE} AND debt BETWEEN 0 AND {MAX_BALANCE}
        AND (debt = 0 OR balance = 0))""",
)


_TOTAL_COLUMNS = (
    "total_earned", "total_spent", "expired_points", "total_refunded", "total_transferred_in",
    "total_transferred_out", "total_adjusted_in", "total_adjusted_out", "total_clawed_back",
)  # fmt: skip


def _sum_of(total: str) -> str:
    """Return the sum of the entries that add to the total; of a two-way kind, those in its direction."""
    either_way = "e.delta + e.delta_frozen + e.delta_pending - e.delta_debt"
    kinds = [(kind, "") for kind, name in TOTALS.items() if name == total and kind not in TAKEN]
    kinds += [(kind, f"AND {either_way} > 0") for kind in TAKEN if TOTALS[kind] == total]
    kinds += [(kind, f"AND {either_way} < 0") for kind, name in TAKEN.items() if name == total]
    if not kinds:
        return "0::numeric"  # no kind adds to it
    which = " OR ".join(f"((e.type, e.subtype) = {kind} {direction})" for kind, direction in kinds)
    return f"coalesce(sum(e.amount) FILTER (WHERE {which}), 0)"


_TOTALS = Invariant(
    "I14",
    "each total is the sum of the entries of its kinds",
    f"""
    SELECT a.tenant_id, a.user_id, kept, summed FROM accounts a
    CROSS JOIN LATERAL (
        SELECT ARRAY[{", ".join(f"a.{total}" for total in _TOTAL_COLUMNS)}]::numeric[] AS kept) AS totals
    CROSS JOIN LATERAL (
        SELECT ARRAY[{", ".join(_sum_of(total) for total in _TOTAL_COLUMNS)}] AS summed
        FROM entries e WHERE e.tenant_id = a.tenant_id AND e.account_id = a.id) AS entered
    WHERE {ACCOUNTS_HERE} AND kept <> summed""",
)


# ------------------------------------------------------------------------------------------ transfers

_LEGS = Invariant(
    "I7a",
    "a transfer has two opposite legs of one command and tenant, on two accounts, each naming the other",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, e.id, e.command_id, e.related_id FROM entries e
    LEFT JOIN entries o ON o.tenant_id = e.tenant_id AND o.id = e.related_id
    WHERE {ENTRIES_HERE} AND e.subtype IN ('transfer_out', 'transfer_in') AND (
        o.id IS NULL OR o.related_id IS DISTINCT FROM e.id OR o.command_id <> e.command_id
        OR o.account_id = e.account_id OR o.delta - o.delta_debt <> e.delta_debt - e.delta
        OR o.subtype <> CASE e.subtype WHEN 'transfer_in' THEN 'transfer_out' ELSE 'transfer_in' END)""",
)

# It starts from the reversed entry, because the reversals are on the same account.
_NO_MORE = Invariant(
    "I21a",
    "the reversals of an entry do not exceed its amount",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, e.type, e.subtype, e.amount, undone FROM entries e
    CROSS JOIN LATERAL (
        SELECT sum(r.amount) AS undone FROM entries r
        WHERE r.tenant_id = e.tenant_id AND r.related_id = e.id AND r.subtype IN ('linked', 'clawback')
    ) AS reversals
    WHERE {ENTRIES_HERE} AND undone > e.amount""",
)


_REVERSED = Invariant(
    "I21b",
    "a refund reverses a spend, and a clawback reverses earned points, on the same account",
    f"""
    SELECT e.tenant_id, e.account_id, e.seq, e.subtype, e.related_id, o.type, o.subtype AS reversed_subtype
    FROM entries e LEFT JOIN entries o ON o.tenant_id = e.tenant_id AND o.id = e.related_id
    WHERE {ENTRIES_HERE} AND e.subtype IN ('linked', 'clawback') AND (
        o.account_id IS DISTINCT FROM e.account_id OR o.seq >= e.seq
        OR (o.type, o.subtype) NOT IN (('spend', 'purchase'), ('spend', 'capture'), ('earn', 'rule'),
                                       ('earn', 'manual'), ('earn', 'import'))
        OR (e.subtype = 'linked') <> (o.type = 'spend'))""",
)


_RETURNED = Invariant(
    "I21c",
    "refunds of a spend return to each lot no more than it paid",
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


REVERSALS = (_NO_MORE, _REVERSED, _RETURNED)


ACCOUNTS = Walk(
    table="accounts",
    key=("tenant_id", "id"),
    first=(BEFORE_ANY_TENANT, FIRST_ID),
    last=(AFTER_ANY_TENANT, LAST_ID),
    rows_at_once=2_000,
    end=_END,
    invariants=(
        _CONSERVED, _WORTH, _SUMS, _CHAIN, _LAST, _CLOCK, _BOUNDS, _LEGS, _TOTALS,
        *LOTS_OF_ACCOUNTS, *REVERSALS, *HOLDS_OF_ACCOUNTS, *EFFECTS, *LIMITS, *EVENTS_OF_ACCOUNTS, EMPTIED,
    ),
)  # fmt: skip
