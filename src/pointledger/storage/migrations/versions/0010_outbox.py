"""The outbox: what is told to others, written with the effects.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OUTBOX = """
-- A slice of the users, whatever the number of lanes; its row is locked by the relay that sends for it.
CREATE TABLE outbox_slots (
    slot smallint PRIMARY KEY
) WITH (fillfactor = 20);
INSERT INTO outbox_slots SELECT generate_series(0, 63);

-- CACHE 1: drawn under the locks of the accounts that a row is about, so of two rows about one account the
-- one that was committed first has the lower number.
CREATE SEQUENCE outbox_seq AS bigint CACHE 1;

-- A row has either the entries of one batch, tenant and slot, in order, or one event in its own words.
CREATE TABLE outbox (
    seq bigint PRIMARY KEY DEFAULT nextval('outbox_seq'),
    slot smallint NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    recorded_at timestamptz NOT NULL,
    entry_ids uuid[],
    type text COLLATE "C",
    event_id uuid,
    account_id uuid,
    data json,
    sent_at timestamptz,
    CONSTRAINT entries_or_one_event CHECK ((entry_ids IS NULL) = (event_id IS NOT NULL)),
    CONSTRAINT an_event_has_a_type_and_data
        CHECK ((event_id IS NULL) = (type IS NULL) AND (event_id IS NULL) = (data IS NULL))
);
ALTER TABLE outbox ALTER entry_ids SET STORAGE EXTERNAL;  -- ids do not compress
CREATE INDEX outbox_waiting ON outbox (slot, seq) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;
CREATE UNIQUE INDEX outbox_once ON outbox (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX outbox_of_tenant ON outbox (tenant_id, recorded_at);
"""


def upgrade() -> None:
    op.execute(OUTBOX)
