"""What happened on each day, summed up for people who look; checks that they ask for; and what they look up.

Revision ID: 0023
"""

from alembic import op

from pointledger.storage.migrations.steps import build_index

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

# The sums of bigints may exceed a bigint. `rule_id` is zero where no rule granted: a key has no nulls.
DAY_TOTALS = """
CREATE TABLE IF NOT EXISTS day_totals (
    tenant_id text COLLATE "C" NOT NULL,
    recorded_on date NOT NULL,
    occurred_on date NOT NULL,
    type text COLLATE "C" NOT NULL,
    subtype text COLLATE "C" NOT NULL,
    is_taken boolean NOT NULL,
    rule_id uuid NOT NULL,
    day_starts_at timestamptz NOT NULL,  -- the local midnight that begins `recorded_on`
    entries bigint NOT NULL CHECK (entries > 0),
    points numeric NOT NULL CHECK (points > 0),
    delta numeric NOT NULL,
    delta_frozen numeric NOT NULL,
    delta_pending numeric NOT NULL,
    delta_debt numeric NOT NULL,
    PRIMARY KEY (tenant_id, recorded_on, occurred_on, type, subtype, is_taken, rule_id)
) WITH (fillfactor = 70);  -- today's rows are updated every minute: leave room for HOT updates

-- How far each tenant's entries are summed up, and what they come to.
CREATE TABLE IF NOT EXISTS day_marks (
    tenant_id text COLLATE "C" PRIMARY KEY,
    reached uuid NOT NULL,  -- the entries up to this id are in `day_totals`
    entries bigint NOT NULL DEFAULT 0,
    balance numeric NOT NULL DEFAULT 0,
    frozen_balance numeric NOT NULL DEFAULT 0,
    pending_balance numeric NOT NULL DEFAULT 0,
    debt numeric NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- One row. No transaction that is still open can write an entry of before `settled_at`. `asked_at` becomes
-- that when the transactions that wrote then, `writing`, have ended.
CREATE TABLE IF NOT EXISTS day_horizon (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    settled_at timestamptz,
    asked_at timestamptz NOT NULL,
    writing text[] NOT NULL
);
"""

# `tenant_id` is empty for a check of all tenants. `walk` and `after` say where it goes on.
VERIFY_RUNS = """
CREATE TABLE IF NOT EXISTS verify_runs (
    id uuid PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    reason text,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    leased_until timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts smallint NOT NULL DEFAULT 0,
    walk text,
    after json,
    rows_done bigint NOT NULL DEFAULT 0,
    rows_known bigint NOT NULL DEFAULT 0,
    accounts bigint NOT NULL DEFAULT 0,
    entries bigint NOT NULL DEFAULT 0,
    violations bigint NOT NULL DEFAULT 0,
    findings json NOT NULL DEFAULT '[]',
    error text
);
CREATE UNIQUE INDEX IF NOT EXISTS verify_runs_one_at_a_time ON verify_runs (tenant_id)
    WHERE finished_at IS NULL;
CREATE INDEX IF NOT EXISTS verify_runs_in_order ON verify_runs (tenant_id, id);
"""

# As migration 0021 says of all tables: a tenant always counts as large.
TENANTS = """
ALTER TABLE day_totals ALTER COLUMN tenant_id SET (n_distinct = 100);
ALTER TABLE day_marks ALTER COLUMN tenant_id SET (n_distinct = 100);
ALTER TABLE verify_runs ALTER COLUMN tenant_id SET (n_distinct = 100);
"""

INDEXES = {
    "day_totals_by_occurrence": "day_totals (tenant_id, occurred_on)",
    "aliases_of_command": "aliases (journal_id)",  # the other ids under which a command was sent
    "batches_of_tenant": "batches (tenant_id, id)",
    "failures_dead": "failures (tenant_id, dead_at) WHERE dead_at IS NOT NULL",
    "dead_letters_of_tenant": "dead_letters (tenant_id, id)",
}


def upgrade() -> None:
    for part in (DAY_TOTALS, VERIFY_RUNS, TENANTS):
        op.execute(part)
    for name, definition in INDEXES.items():
        build_index(name, definition)
