"""Invariants of wallets, of their entries and of the two lines of each entry.

Chunks go by (tenant, wallet id), the order in which entries are indexed too.
"""

# ruff: noqa: S608  (constants only)

from pointledger.domain.ledger.wallets import POSTINGS
from pointledger.domain.values.money import MAX_MONEY
from pointledger.storage.invariants.base import (
    AFTER_ANY_TENANT,
    BEFORE_ANY_TENANT,
    FIRST_ID,
    LAST_ID,
    Invariant,
    Walk,
    within,
)

_WALLETS_HERE = within("w.tenant_id", "w.id")
_ENTRIES_HERE = within("e.tenant_id", "e.wallet_id")

_SUMS = ", ".join(
    f"coalesce(sum(e.amount) FILTER (WHERE e.type = '{entry_type}'), 0)" for entry_type in POSTINGS
)
_KEPT = ", ".join(f"w.{total}" for total, _, _ in POSTINGS.values())

_TOTALS = Invariant(
    "I19a",
    "a wallet has the version of its last entry, and its balance and totals are the sums of its entries",
    f"""
    SELECT w.tenant_id, w.id, w.version, w.balance, kept, summed, seqs, delta FROM wallets w
    CROSS JOIN LATERAL (
        SELECT ARRAY[{_KEPT}]::numeric[] AS kept, ARRAY[{_SUMS}] AS summed, coalesce(max(e.seq), 0) AS seqs,
               coalesce(sum(e.delta), 0) AS delta
        FROM wallet_entries e WHERE e.tenant_id = w.tenant_id AND e.wallet_id = w.id) AS entered
    WHERE {_WALLETS_HERE} AND (kept <> summed OR w.version <> seqs OR w.balance <> delta)""",
)

_CHAIN = Invariant(
    "I19b",
    "a wallet's entries are numbered from 1 without gaps, and each begins where the one before ended",
    f"""
    SELECT tenant_id, wallet_id, seq, id, seq_before, began_at, ended_at FROM (
        SELECT e.tenant_id, e.wallet_id, e.seq, e.id, e.created_at,
               coalesce(lag(e.seq) OVER chain, 0) AS seq_before, e.balance_after - e.delta AS began_at,
               coalesce(lag(e.balance_after) OVER chain, 0) AS ended_at,
               lag(e.created_at) OVER chain AS created_before
        FROM wallet_entries e WHERE {_ENTRIES_HERE}
        WINDOW chain AS (PARTITION BY e.tenant_id, e.wallet_id ORDER BY e.seq)
    ) AS linked
    WHERE seq <> seq_before + 1 OR began_at <> ended_at OR created_at < created_before""",
)

_LINES = Invariant(
    "I19c",
    "an entry has two lines in its wallet's currency that add up to zero; one of them is the wallet's",
    f"""
    SELECT e.tenant_id, e.wallet_id, e.seq, e.id, e.delta, summed, lines, currencies FROM wallet_entries e
    LEFT JOIN wallets w ON w.tenant_id = e.tenant_id AND w.id = e.wallet_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.amount), 0) AS summed, count(*) AS lines,
               sum(l.amount) FILTER (WHERE l.side = 'wallet') AS on_wallet,
               array_agg(DISTINCT l.currency) AS currencies
        FROM wallet_lines l WHERE l.tenant_id = e.tenant_id AND l.entry_id = e.id) AS written
    WHERE {_ENTRIES_HERE} AND (summed <> 0 OR lines <> 2 OR on_wallet IS DISTINCT FROM e.delta
                               OR currencies IS DISTINCT FROM ARRAY[w.currency])""",
)

_OWNER = Invariant(
    "I19d",
    "an entry is on a wallet of its tenant and of its command's user, and the outcome lists it",
    f"""
    SELECT e.tenant_id, e.wallet_id, e.seq, e.id, e.command_id, w.user_id, o.state FROM wallet_entries e
    LEFT JOIN wallets w ON w.tenant_id = e.tenant_id AND w.id = e.wallet_id
    LEFT JOIN journal j ON j.id = e.command_id
    LEFT JOIN outcomes o ON o.id = e.command_id
    CROSS JOIN LATERAL (SELECT o.data -> 'wallet_transaction' AS listed) AS outcome
    WHERE {_ENTRIES_HERE} AND (w.tenant_id IS DISTINCT FROM j.tenant_id
        OR (w.user_id <> j.user_id AND NOT EXISTS (  -- the search for an erased user is still running
            SELECT FROM erasures s
            WHERE s.tenant_id = w.tenant_id AND s.pseudonym = w.user_id AND s.finished_at IS NULL))
        OR o.state IS DISTINCT FROM 'applied' OR listed ->> 'id' IS DISTINCT FROM e.id::text
        OR (listed ->> 'seq')::bigint IS DISTINCT FROM e.seq
        OR replace(listed ->> 'amount', '.', '')::numeric IS DISTINCT FROM e.amount)""",
)

_PAID = Invariant(
    "I19e",
    "points of the same command pay for an exchange into a wallet, and for no other entry",
    f"""
    SELECT e.tenant_id, e.wallet_id, e.seq, e.id, e.type, e.related_id, p.subtype FROM wallet_entries e
    LEFT JOIN entries p ON p.tenant_id = e.tenant_id AND p.id = e.related_id
    WHERE {_ENTRIES_HERE} AND CASE e.type
        WHEN 'exchange' THEN p.command_id IS DISTINCT FROM e.command_id OR p.subtype <> 'exchange'
        ELSE e.related_id IS NOT NULL END""",
)

_BOUNDS = Invariant(
    "I6d",
    "a wallet's balance lies between 0 and the largest amount, and it includes the frozen money",
    f"""
    SELECT w.tenant_id, w.id, w.balance, w.frozen_balance FROM wallets w
    WHERE {_WALLETS_HERE}
      AND NOT (w.balance BETWEEN 0 AND {MAX_MONEY} AND w.frozen_balance BETWEEN 0 AND w.balance)""",
)

WALLETS = Walk(
    "wallets",
    ("tenant_id", "id"),
    (BEFORE_ANY_TENANT, FIRST_ID),
    (AFTER_ANY_TENANT, LAST_ID),
    2_000,
    (_TOTALS, _CHAIN, _LINES, _OWNER, _PAID, _BOUNDS),
)

_OF_AN_ENTRY = Invariant(
    "I19f",
    "a line belongs to an entry",
    f"""
    SELECT l.tenant_id, l.entry_id, l.side, l.amount FROM wallet_lines l
    WHERE {within("l.tenant_id", "l.entry_id", "l.side")} AND NOT EXISTS (
        SELECT FROM wallet_entries e WHERE e.tenant_id = l.tenant_id AND e.id = l.entry_id)""",
)

WALLET_LINES = Walk(
    "wallet_lines",
    ("tenant_id", "entry_id", "side"),
    (BEFORE_ANY_TENANT, FIRST_ID, ""),
    (AFTER_ANY_TENANT, LAST_ID, ""),
    20_000,
    (_OF_AN_ENTRY,),
)
