"""The queue, the ledger and what they are configured by.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# ------------------------------------------------------------------------------------------- the queue

QUEUE = """
-- Slices of the journal. `tries` counts drains that began and have not ended well: a process that dies
-- leaves it raised. `alone_id` is the command that was worked on by itself, and so is to blame.
CREATE TABLE lanes (
    lane smallint PRIMARY KEY,
    tries smallint NOT NULL DEFAULT 0,
    alone_id uuid
) WITH (fillfactor = 20);  -- updated with every batch: leave room for HOT updates

CREATE SEQUENCE journal_seq AS bigint CACHE 1;

-- The accepted commands; insert only. `payload` holds the fields that are no columns.
CREATE TABLE journal (
    id uuid PRIMARY KEY,
    seq bigint NOT NULL,
    lane smallint NOT NULL,
    version smallint NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT statement_timestamp(),  -- one moment for what comes together
    occurred_at timestamptz,
    fingerprint bytea NOT NULL CONSTRAINT fingerprint_is_128_bits CHECK (octet_length(fingerprint) = 16),
    tenant_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    payload json NOT NULL
);
CREATE UNIQUE INDEX journal_one_per_key ON journal (tenant_id, actor, kind, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Ids under which a command was sent a second time; the first one has the outcome.
CREATE TABLE aliases (
    id uuid PRIMARY KEY,
    journal_id uuid NOT NULL
);

-- Those that wait, in order; a row goes when its command is applied, refused or dead.
CREATE TABLE pending (
    lane smallint NOT NULL,
    seq bigint NOT NULL,
    id uuid NOT NULL,
    PRIMARY KEY (lane, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 20000);

-- Commands that the machine could not apply: while `next_attempt_at` lies ahead, their user waits.
-- Dead ones have left `pending`; 'infinity' holds their user's followers back.
CREATE TABLE failures (
    id uuid PRIMARY KEY,
    lane smallint NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    attempts smallint NOT NULL,
    error text NOT NULL,
    next_attempt_at timestamptz,
    dead_at timestamptz
);
CREATE INDEX failures_by_lane ON failures (lane, next_attempt_at);

-- What came of them; insert only. The key makes "applied once" a constraint.
CREATE TABLE outcomes (
    id uuid PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL CONSTRAINT outcome_is_final CHECK (state IN ('applied', 'refused')),
    reason text COLLATE "C",
    message text,
    applied_at timestamptz NOT NULL,
    data json,
    CONSTRAINT a_refusal_has_a_reason CHECK ((state = 'refused') = (reason IS NOT NULL))
);

-- What came through a door and was no command: kept as it came.
CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    door text NOT NULL,
    task_id uuid,
    raw bytea NOT NULL,
    reason text NOT NULL,
    error text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX dead_letters_by_task ON dead_letters (task_id) WHERE task_id IS NOT NULL;
"""

# ------------------------------------------------------------------------------------------ the ledger

LEDGER = """
CREATE TABLE accounts (
    tenant_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    points_type text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL
        CONSTRAINT status_is_known CHECK (status IN ('active', 'suspended', 'closed')),
    balance bigint NOT NULL CONSTRAINT balance_is_bounded CHECK (balance BETWEEN 0 AND 1000000000000000),
    frozen_balance bigint NOT NULL
        CONSTRAINT frozen_is_bounded CHECK (frozen_balance BETWEEN 0 AND 1000000000000000),
    pending_balance bigint NOT NULL
        CONSTRAINT pending_is_bounded CHECK (pending_balance BETWEEN 0 AND 1000000000000000),
    debt bigint NOT NULL CONSTRAINT debt_is_bounded CHECK (debt BETWEEN 0 AND 1000000000000000),
    total_earned bigint NOT NULL CHECK (total_earned BETWEEN 0 AND 1000000000000000000),
    total_spent bigint NOT NULL CHECK (total_spent BETWEEN 0 AND 1000000000000000000),
    expired_points bigint NOT NULL CHECK (expired_points BETWEEN 0 AND 1000000000000000000),
    total_refunded bigint NOT NULL CHECK (total_refunded BETWEEN 0 AND 1000000000000000000),
    total_transferred_in bigint NOT NULL CHECK (total_transferred_in BETWEEN 0 AND 1000000000000000000),
    total_transferred_out bigint NOT NULL CHECK (total_transferred_out BETWEEN 0 AND 1000000000000000000),
    total_adjusted_in bigint NOT NULL CHECK (total_adjusted_in BETWEEN 0 AND 1000000000000000000),
    total_adjusted_out bigint NOT NULL CHECK (total_adjusted_out BETWEEN 0 AND 1000000000000000000),
    total_clawed_back bigint NOT NULL CHECK (total_clawed_back BETWEEN 0 AND 1000000000000000000),
    version bigint NOT NULL CHECK (version >= 0),
    as_of timestamptz NOT NULL,
    next_expiry_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT accounts_id UNIQUE (tenant_id, id),
    CONSTRAINT debt_is_repaid_first CHECK (debt = 0 OR balance = 0),
    CONSTRAINT value_is_conserved CHECK (
        balance + frozen_balance + pending_balance - debt
        = total_earned + total_transferred_in + total_adjusted_in + total_refunded
        - total_spent - total_transferred_out - total_adjusted_out - expired_points - total_clawed_back)
) WITH (fillfactor = 70);  -- updated with every entry: leave room for HOT updates
CREATE INDEX accounts_due ON accounts (tenant_id, next_expiry_at, user_id) WHERE next_expiry_at IS NOT NULL;

-- Append only. What describes a person stays in the journal, where it can be erased; `amount` is positive,
-- the deltas are signed, what was before is what is after less the delta.
CREATE TABLE entries (
    tenant_id text COLLATE "C" NOT NULL,
    account_id uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    id uuid NOT NULL,
    command_id uuid NOT NULL,
    type text COLLATE "C" NOT NULL CONSTRAINT type_is_known
        CHECK (type IN ('earn', 'spend', 'expire', 'freeze', 'unfreeze', 'refund', 'adjust')),
    subtype text COLLATE "C" NOT NULL,
    amount bigint NOT NULL CONSTRAINT amount_is_positive CHECK (amount BETWEEN 1 AND 1000000000000000),
    delta bigint NOT NULL,
    delta_frozen bigint NOT NULL DEFAULT 0,
    delta_pending bigint NOT NULL DEFAULT 0,
    delta_debt bigint NOT NULL DEFAULT 0,
    balance_after bigint NOT NULL CHECK (balance_after BETWEEN 0 AND 1000000000000000),
    frozen_after bigint NOT NULL CHECK (frozen_after BETWEEN 0 AND 1000000000000000),
    pending_after bigint NOT NULL CHECK (pending_after BETWEEN 0 AND 1000000000000000),
    debt_after bigint NOT NULL CHECK (debt_after BETWEEN 0 AND 1000000000000000),
    related_id uuid,
    rule_id uuid,
    rule_version integer,
    expires_at timestamptz,
    occurred_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, account_id, seq),
    CONSTRAINT entries_id UNIQUE (tenant_id, id)
);

CREATE TABLE lots (
    tenant_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    origin_id uuid NOT NULL,
    amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000000),
    remaining bigint NOT NULL,
    frozen bigint NOT NULL DEFAULT 0 CHECK (frozen >= 0),
    state text COLLATE "C" NOT NULL CONSTRAINT lot_state_is_known
        CHECK (state IN ('pending', 'active', 'expired', 'consumed', 'cancelled')),
    earned_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT no_lot_below_zero_or_above_its_grant
        CHECK (remaining >= 0 AND remaining + frozen <= amount),
    CONSTRAINT what_is_left_is_active CHECK (state IN ('pending', 'active') OR remaining = 0)
) WITH (fillfactor = 90);
-- The order of consumption. An update of `remaining` alone touches no index.
CREATE INDEX lots_to_consume ON lots (tenant_id, account_id, expires_at, earned_at, id)
    WHERE state = 'active';

-- What an entry took from a lot; append only.
CREATE TABLE lot_moves (
    tenant_id text COLLATE "C" NOT NULL,
    entry_id uuid NOT NULL,
    lot_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000000),
    PRIMARY KEY (tenant_id, entry_id, lot_id)
);

-- How much of a limit's window is used; the window is keyed by the local date on which it starts.
CREATE TABLE usage (
    tenant_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL,
    starts_on date NOT NULL,
    points bigint NOT NULL CHECK (points BETWEEN 0 AND 1000000000000000000),
    times bigint NOT NULL CHECK (times >= 0),
    PRIMARY KEY (tenant_id, user_id, meter, period, starts_on)
) WITH (fillfactor = 80);
"""

# ------------------------------------------------------------------------------------ the configuration

CONFIGURATION = """
CREATE TABLE tenant_versions (
    tenant_id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    config json NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, version)
);

-- Version 1 is in force since ever (`in_force_from` is null), a later one from when it was saved.
CREATE TABLE rule_versions (
    tenant_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    rule_id uuid NOT NULL,
    body json NOT NULL,
    in_force_from timestamptz,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, name, version)
);

-- One row per periodic job, tenant and local date: any number of beats may ask for it.
CREATE TABLE job_runs (
    job text NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    local_date date NOT NULL,
    as_of timestamptz NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    leased_until timestamptz NOT NULL,
    reached_expiry timestamptz NOT NULL DEFAULT '-infinity',  -- how far the run has come
    reached_user text COLLATE "C" NOT NULL DEFAULT '',
    found bigint NOT NULL DEFAULT 0,
    finished_at timestamptz,
    PRIMARY KEY (job, tenant_id, local_date)
);
CREATE INDEX job_runs_unfinished ON job_runs (job) WHERE finished_at IS NULL;

-- The daily windows that have ended, a row per tenant and day.
CREATE TABLE closed_windows (
    tenant_id text COLLATE "C" NOT NULL,
    local_date date NOT NULL,
    users bigint NOT NULL,
    points bigint NOT NULL,
    closed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, local_date)
);
"""

APPEND_ONLY = (
    "journal",
    "aliases",
    "outcomes",
    "entries",
    "lot_moves",
    "tenant_versions",
    "rule_versions",
    "closed_windows",
)

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: a correction is a new row', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
"""


def upgrade() -> None:
    for part in (QUEUE, LEDGER, CONFIGURATION, REFUSE_CHANGE):
        op.execute(part)
    for table in APPEND_ONLY:
        op.execute(f"""
            CREATE TRIGGER {table}_rows_stay BEFORE UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION refuse_change();
            CREATE TRIGGER {table}_stays BEFORE TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
            -- ALWAYS: also for a session that claims to be a replica
            ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_rows_stay;
            ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_stays;
        """)
