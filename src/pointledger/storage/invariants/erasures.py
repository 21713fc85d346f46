"""Invariants of erased users: their accounts are empty and their commands redacted."""

# ruff: noqa: S608  (constants only)

from pointledger.storage.invariants.base import (
    ACCOUNTS_HERE,
    AFTER_ANY_TENANT,
    BEFORE_ANY_TENANT,
    Invariant,
    Walk,
    within,
)
from pointledger.storage.queue.pending import at_place

EMPTIED = Invariant(
    "E1",
    "an account is erased if and only if it has the pseudonym of an erasure, and then it has no points",
    f"""
    SELECT a.tenant_id, a.id, a.status, a.balance, a.frozen_balance, a.pending_balance, s.command_id
    FROM accounts a LEFT JOIN erasures s ON s.tenant_id = a.tenant_id AND s.pseudonym = a.user_id
    WHERE {ACCOUNTS_HERE} AND ((a.status = 'erased') <> (s.pseudonym IS NOT NULL)
        OR (a.status = 'erased' AND (a.balance, a.frozen_balance, a.pending_balance) <> (0, 0, 0)))""",
)

# It cannot check the other users whom a command names. The search of the erasure redacts the person there.
REDACTED = Invariant(
    "E2",
    "the commands of an erased user have no key, no text and no name but the pseudonym",
    f"""
    SELECT j.tenant_id, j.id, j.kind, j.user_id FROM journal j
    LEFT JOIN outcomes o ON o.id = j.id
    WHERE {within("j.id")} AND EXISTS (
            SELECT FROM erasures s WHERE s.tenant_id = j.tenant_id AND s.pseudonym = j.user_id)
      AND NOT EXISTS (SELECT FROM ({at_place("j.lane", "j.seq")}) AS p WHERE p.id = j.id)
      AND (j.idempotency_key IS NOT NULL OR j.fingerprint <> decode(repeat('00', 16), 'hex')
           OR j.payload -> 'metadata' IS NOT NULL OR j.payload -> 'event_id' IS NOT NULL
           OR j.extensions IS NOT NULL
           OR j.payload -> 'source' IS NOT NULL OR j.payload -> 'description' IS NOT NULL
           OR coalesce(j.payload ->> 'reason', 'erased') <> 'erased' OR o.message IS NOT NULL
           OR coalesce(o.data -> 'account' ->> 'user_id', j.user_id) <> j.user_id)""",
)

_FOUND = Invariant(
    "E3",
    "an erasure has its account, and its command names the person exactly until the search ends",
    f"""
    SELECT s.tenant_id, s.pseudonym, s.command_id, j.kind FROM erasures s
    LEFT JOIN journal j ON j.id = s.command_id
    WHERE {within("s.tenant_id", "s.pseudonym")} AND (j.tenant_id IS DISTINCT FROM s.tenant_id
        OR j.kind <> 'erase-user' OR (j.user_id = s.pseudonym) <> (s.finished_at IS NOT NULL)
        OR NOT EXISTS (
            SELECT FROM accounts a WHERE a.tenant_id = s.tenant_id AND a.user_id = s.pseudonym))""",
)

ERASURES = Walk(
    "erasures",
    ("tenant_id", "pseudonym"),
    (BEFORE_ANY_TENANT, ""),
    (AFTER_ANY_TENANT, ""),
    20_000,
    (_FOUND,),
)
