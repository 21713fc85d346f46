# ruff: noqa: S608  (what is put into these queries is names of ours)
"""What must be true of acts: that each administrative command has its own, and none was made up."""

from pointledger.domain.acts import ALWAYS
from pointledger.storage.invariants import (
    AFTER_ANY_TENANT,
    BEFORE_ANY_TENANT,
    FIRST_ID,
    LAST_ID,
    Invariant,
    Walk,
    within,
)

KEPT = Invariant(
    "I15a",
    "each administrative command that was decided has one act, which tells what came of it",
    f"""
    SELECT o.tenant_id, o.id AS command_id, j.kind, j.actor, o.state, o.reason, acts FROM outcomes o
    JOIN journal j ON j.id = o.id
    CROSS JOIN LATERAL (
        SELECT count(*) AS acts FROM acts a
        WHERE a.command_id = o.id AND (a.tenant_id, a.kind, a.state) = (o.tenant_id, j.kind, o.state)
          AND a.actor IS NULL AND a.refusal IS NOT DISTINCT FROM o.reason) AS kept
    WHERE {within("o.id")} AND j.kind = ANY (ARRAY{sorted(ALWAYS)})
      AND o.reason IS DISTINCT FROM 'CANCELLED' AND acts <> 1""",
)

_OF_A_COMMAND = Invariant(
    "I15b",
    "an act that names a command is of one that its tenant has sent, and of one with an outcome if its own",
    f"""
    SELECT a.tenant_id, a.id, a.kind, a.actor, a.command_id, o.state FROM acts a
    LEFT JOIN journal j ON j.id = a.command_id
    LEFT JOIN outcomes o ON o.id = a.command_id
    WHERE {within("a.tenant_id", "a.id")} AND a.command_id IS NOT NULL
      AND (j.tenant_id IS DISTINCT FROM a.tenant_id
           OR (j.kind = a.kind AND (o.state, o.reason) IS DISTINCT FROM (a.state, a.refusal)))""",
)

ACTS = Walk(
    "acts",
    ("tenant_id", "id"),
    (BEFORE_ANY_TENANT, FIRST_ID),
    (AFTER_ANY_TENANT, LAST_ID),
    20_000,
    (_OF_A_COMMAND,),
)
