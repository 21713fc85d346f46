"""What must be true of the tables themselves, and of the periodic jobs' runs."""

from datetime import date

from pointledger.storage.invariants import AFTER_ANY_TENANT, BEFORE_ANY_TENANT, Invariant, Walk, within
from pointledger.storage.roles import APP

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
    "acts",
)

_TRIGGERS = Invariant(
    "M1",
    "triggers guard every append-only table, also from a session that claims to be a replica",
    f"""
    SELECT guarded.name AS table_name, trigger_name, t.tgenabled::text AS enabled
    FROM unnest(ARRAY{list(APPEND_ONLY)}) AS guarded (name)
    CROSS JOIN LATERAL (VALUES (guarded.name || '_rows_stay'), (guarded.name || '_stays'))
        AS wanted (trigger_name)
    LEFT JOIN pg_trigger t ON t.tgrelid = to_regclass(guarded.name) AND t.tgname = wanted.trigger_name
    WHERE t.tgenabled IS DISTINCT FROM 'A'""",  # noqa: S608  (names of ours)
)

_PRIVILEGES = Invariant(
    "M2",
    "the role of workers and clients may not change what is append-only, and owns nothing",
    f"""
    SELECT guarded.name AS table_name, r.rolname, may_change, owns FROM pg_roles r
    CROSS JOIN unnest(ARRAY{list(APPEND_ONLY)}) AS guarded (name)
    JOIN pg_class c ON c.oid = to_regclass(guarded.name)
    CROSS JOIN LATERAL (
        SELECT has_any_column_privilege(r.oid, c.oid, 'UPDATE') OR has_table_privilege(r.oid, c.oid, 'DELETE')
               OR has_table_privilege(r.oid, c.oid, 'TRUNCATE') AS may_change,
               pg_has_role(r.oid, c.relowner, 'MEMBER') AS owns) AS found
    WHERE r.rolname = '{APP}' AND (may_change OR owns)""",  # noqa: S608  (names of ours)
)

ONCE = (_TRIGGERS, _PRIVILEGES)

_JOB_RUNS = Invariant(
    "I20",
    "a periodic job ran once per tenant and day, and did not end before it began",
    f"""
    SELECT job, tenant_id, local_date, started_at, finished_at FROM (
        SELECT r.*, count(*) OVER (PARTITION BY r.job, r.tenant_id, r.local_date) AS runs
        FROM job_runs r WHERE {within("r.job", "r.tenant_id", "r.local_date")}) AS counted
    WHERE runs > 1 OR finished_at < started_at""",  # noqa: S608  (names of ours)
)

JOB_RUNS = Walk(
    "job_runs",
    ("job", "tenant_id", "local_date"),
    ("", BEFORE_ANY_TENANT, date.min),
    ("zzzz", AFTER_ANY_TENANT, date.max),  # jobs have names in lower case; "~" sorts before them in places
    20_000,
    (_JOB_RUNS,),
)
