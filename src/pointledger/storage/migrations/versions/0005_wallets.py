"""Wallets: users' money, in whole minor units of a currency.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APPEND_ONLY = ("wallet_entries", "wallet_lines")

WALLETS = """
-- Bounded on both sides: NaN is above every number. `scale` is how many decimals the currency had when the
-- wallet was made, so that its amounts can be read whatever becomes of the currency.
CREATE TABLE wallets (
    tenant_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    application_id text COLLATE "C",
    currency text COLLATE "C" NOT NULL CONSTRAINT currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    scale smallint NOT NULL CONSTRAINT scale_is_bounded CHECK (scale BETWEEN 0 AND 4),
    status text COLLATE "C" NOT NULL
        CONSTRAINT wallet_status_is_known CHECK (status IN ('active', 'frozen', 'closed')),
    balance numeric(20) NOT NULL,
    frozen_balance numeric(20) NOT NULL,
    total_deposited numeric(30) NOT NULL CHECK (total_deposited BETWEEN 0 AND 1e30 - 1),
    total_withdrawn numeric(30) NOT NULL CHECK (total_withdrawn BETWEEN 0 AND 1e30 - 1),
    total_exchanged numeric(30) NOT NULL CHECK (total_exchanged BETWEEN 0 AND 1e30 - 1),
    version bigint NOT NULL CHECK (version >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT wallets_id UNIQUE (tenant_id, id),
    CONSTRAINT a_wallet_is_bounded
        CHECK (balance BETWEEN 0 AND 1e20 - 1 AND frozen_balance BETWEEN 0 AND balance),
    CONSTRAINT money_is_conserved CHECK (balance = total_deposited + total_exchanged - total_withdrawn)
) WITH (fillfactor = 70);  -- updated with every entry: leave room for HOT updates

-- Append only.
CREATE TABLE wallet_entries (
    tenant_id text COLLATE "C" NOT NULL,
    wallet_id uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    id uuid NOT NULL,
    command_id uuid NOT NULL,
    type text COLLATE "C" NOT NULL
        CONSTRAINT wallet_entry_type_is_known CHECK (type IN ('deposit', 'withdraw', 'exchange')),
    amount numeric(20) NOT NULL CONSTRAINT money_is_positive CHECK (amount BETWEEN 1 AND 1e20 - 1),
    delta numeric(20) NOT NULL CONSTRAINT delta_is_the_amount
        CHECK (delta = CASE type WHEN 'withdraw' THEN -amount ELSE amount END),
    balance_after numeric(20) NOT NULL CHECK (balance_after BETWEEN 0 AND 1e20 - 1),
    related_id uuid,
    occurred_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, wallet_id, seq),
    CONSTRAINT wallet_entries_id UNIQUE (tenant_id, id)
);

-- Both sides of each entry, which add up to nothing; append only.
CREATE TABLE wallet_lines (
    tenant_id text COLLATE "C" NOT NULL,
    entry_id uuid NOT NULL,
    side text COLLATE "C" NOT NULL
        CONSTRAINT side_is_known CHECK (side IN ('wallet', 'outside', 'points')),
    currency text COLLATE "C" NOT NULL,
    amount numeric(20) NOT NULL CHECK (abs(amount) BETWEEN 1 AND 1e20 - 1),
    PRIMARY KEY (tenant_id, entry_id, side)
);
"""


def upgrade() -> None:
    op.execute(WALLETS)
    for table in APPEND_ONLY:
        op.execute(f"""
            CREATE TRIGGER {table}_rows_stay BEFORE UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION refuse_change();
            CREATE TRIGGER {table}_stays BEFORE TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
            ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_rows_stay;
            ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_stays;
        """)
