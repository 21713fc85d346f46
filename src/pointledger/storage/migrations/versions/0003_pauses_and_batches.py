"""Tenants whose commands wait until somebody resumes them; batches of commands that came as one.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

APPEND_ONLY = ("batches",)


PAUSES = """
-- Nearly always empty. A row here and the tenant's commands are accepted, but wait.
CREATE TABLE paused_tenants (
    tenant_id text COLLATE "C" PRIMARY KEY,
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""

BATCHES = """
-- Written with the batch's commands, whose ids follow from its own and from their places in it.
CREATE TABLE batches (
    id uuid PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
    size integer NOT NULL CHECK (size > 0),
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT batches_one_per_key UNIQUE (tenant_id, actor, idempotency_key)
);
CREATE TRIGGER batches_rows_stay BEFORE UPDATE OR DELETE ON batches
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER batches_stays BEFORE TRUNCATE ON batches
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE batches ENABLE ALWAYS TRIGGER batches_rows_stay;
ALTER TABLE batches ENABLE ALWAYS TRIGGER batches_stays;
"""


def upgrade() -> None:
    op.execute(PAUSES)
    op.execute(BATCHES)
