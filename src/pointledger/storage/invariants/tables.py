"""Invariants of the audit log, of append-only tables and of job runs."""

# ruff: noqa: S608  (constants only)

from datetime import date

from pointledger.domain.decisions.audit import ALWAYS
from pointledger.storage.invariants.base import (
    AFTER_ANY_TENANT,
    BEFORE_ANY_TENANT,
    FIRST_ID,
    LAST_ID,
    Invariant,
    Walk,
    within,
)
from pointledger.storage.roles import APP

RECORDED = Invariant(
    "I15a",
    "each decided administrative command has one audit record, which has its outcome",
    f"""
    SELECT o.tenant_id, o.id AS command_id, j.kind, j.actor, o.state, o.reason, records FROM outcomes o
    JOIN journal j ON j.id = o.id
    CROSS JOIN LATERAL (
        SELECT count(*) AS records FROM audit_log a
        WHERE a.command_id = o.id AND (a.tenant_id, a.kind, a.state) = (o.tenant_id, j.kind, o.state)
          AND a.actor IS NULL AND a.refusal IS NOT DISTINCT FROM o.reason) AS kept
    WHERE {within("o.id")} AND j.kind = ANY (ARRAY{sorted(ALWAYS)})
      AND o.reason IS DISTINCT FROM 'CANCELLED' AND records <> 1""",
)


_OF_A_COMMAND = Invariant(
    "I15b",
    "the command that an audit record names is its tenant's, with the record's outcome if the kinds match",
    f"""
    SELECT a.tenant_id, a.id, a.kind, a.actor, a.command_id, o.state FROM audit_log a
    LEFT JOIN journal j ON j.id = a.command_id
    LEFT JOIN outcomes o ON o.id = a.command_id
    WHERE {within("a.tenant_id", "a.id")} AND a.command_id IS NOT NULL
      AND (j.tenant_id IS DISTINCT FROM a.tenant_id
           OR (j.kind = a.kind AND (o.state, o.reason) IS DISTINCT FROM (a.state, a.refusal)))""",
)


AUDIT_LOG = Walk(
    "audit_log",
    ("tenant_id", "id"),
    (BEFORE_ANY_TENANT, FIRST_ID),
    (AFTER_ANY_TENANT, LAST_ID),
    20_000,
    (_OF_A_COMMAND,),
)


APPEND_ONLY = (
    "journal",
    "aliases",
    "outcomes",
    "entries",
    "lot_moves",
    "tenant_versions",
    "rule_versions",
    "closed_windows",
    "batches",
    "wallet_entries",
    "wallet_lines",
    "expiry_changes",
    "audit_log",
)


_TRIGGERS = Invariant(
    "M1",
    "triggers protect every append-only table, also from sessions that claim to be a replica",
    f"""
    SELECT guarded.name AS table_name, trigger_name, t.tgenabled::text AS enabled
    FROM unnest(ARRAY{list(APPEND_ONLY)}) AS guarded (name)
    CROSS JOIN LATERAL (VALUES (guarded.name || '_rows_stay'), (guarded.name || '_stays'))
        AS wanted (trigger_name)
    LEFT JOIN pg_trigger t ON t.tgrelid = to_regclass(guarded.name) AND t.tgname = wanted.trigger_name
    WHERE t.tgenabled IS DISTINCT FROM 'A'""",
)


_PRIVILEGES = Invariant(
    "M2",
    "the role of workers and clients may not change append-only tables, and owns none",
    f"""
    SELECT guarded.name AS table_name, r.rolname, may_change, owns FROM pg_roles r
    CROSS JOIN unnest(ARRAY{list(APPEND_ONLY)}) AS guarded (name)
    JOIN pg_class c ON c.oid = to_regclass(guarded.name)
    CROSS JOIN LATERAL (
        SELECT has_any_column_privilege(r.oid, c.oid, 'UPDATE') OR has_table_privilege(r.oid, c.oid, 'DELETE')
               OR has_table_privilege(r.oid, c.oid, 'TRUNCATE') AS may_change,
               pg_has_role(r.oid, c.relowner, 'MEMBER') AS owns) AS found
    WHERE r.rolname = '{APP}' AND (may_change OR owns)""",
)


ONCE = (_TRIGGERS, _PRIVILEGES)


_JOB_RUNS = Invariant(
    "I20",
    "a periodic job ran once per tenant and day, and did not end before it began",
    f"""
    SELECT job, tenant_id, local_date, started_at, finished_at FROM (
        SELECT r.*, count(*) OVER (PARTITION BY r.job, r.tenant_id, r.local_date) AS runs
        FROM job_runs r WHERE {within("r.job", "r.tenant_id", "r.local_date")}) AS counted
    WHERE runs > 1 OR finished_at < started_at""",
)


JOB_RUNS = Walk(
    "job_runs",
    ("job", "tenant_id", "local_date"),
    ("", BEFORE_ANY_TENANT, date.min),
    ("zzzz", AFTER_ANY_TENANT, date.max),  # job names are lower case; some collations sort "~" before them
    20_000,
    (_JOB_RUNS,),
)
