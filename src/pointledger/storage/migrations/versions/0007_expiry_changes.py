"""The expiry of a lot may be moved, and each move is on record; an account may be exempt from expiry.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

APPEND_ONLY = ("expiry_changes",)

MOVED = """
ALTER TABLE lots ADD COLUMN expiry_changes integer NOT NULL DEFAULT 0
    CONSTRAINT expiry_changes_are_counted CHECK (expiry_changes >= 0);

-- The `nth` time that a lot's expiry was moved, between entry `after_seq` of its account and the next.
-- Null in `was` and `becomes` is never.
CREATE TABLE expiry_changes (
    tenant_id text COLLATE "C" NOT NULL,
    lot_id uuid NOT NULL,
    nth integer NOT NULL CONSTRAINT changes_are_numbered CHECK (nth > 0),
    account_id uuid NOT NULL,
    command_id uuid NOT NULL,
    cause text COLLATE "C" NOT NULL CONSTRAINT cause_is_known CHECK (cause IN ('extend', 'policy')),
    was timestamptz,
    becomes timestamptz,
    after_seq bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, lot_id, nth),
    CONSTRAINT a_change_changes_something CHECK (was IS DISTINCT FROM becomes),
    CONSTRAINT an_extension_extends
        CHECK (cause <> 'extend' OR coalesce(becomes, 'infinity') > coalesce(was, 'infinity'))
);
CREATE INDEX expiry_changes_by_command ON expiry_changes (command_id);
CREATE TRIGGER expiry_changes_rows_stay BEFORE UPDATE OR DELETE ON expiry_changes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER expiry_changes_stays BEFORE TRUNCATE ON expiry_changes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE expiry_changes ENABLE ALWAYS TRIGGER expiry_changes_rows_stay;
ALTER TABLE expiry_changes ENABLE ALWAYS TRIGGER expiry_changes_stays;
"""

# `expires_not_before`: what is due waits until then, a notice after the exemption was lifted.
EXEMPT = """
ALTER TABLE accounts ADD COLUMN expiry_exempt boolean NOT NULL DEFAULT false;
ALTER TABLE accounts ADD COLUMN expires_not_before timestamptz;
"""


def upgrade() -> None:
    op.execute(MOVED)
    op.execute(EXEMPT)
