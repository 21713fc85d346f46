"""What reverses an entry is found by the entry that it reverses; a lot knows how much of it has expired
and when it becomes available.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Partial: what is neither refund nor clawback, and so nearly every entry, pays nothing for it.
REVERSALS = """
CREATE INDEX entries_reversing ON entries (tenant_id, related_id)
    WHERE subtype IN ('linked', 'clawback');
"""

EXPIRED = """
ALTER TABLE lots ADD COLUMN expired bigint NOT NULL DEFAULT 0
    CONSTRAINT expired_is_of_the_lot CHECK (expired BETWEEN 0 AND amount);
UPDATE lots SET expired = gone.amount
FROM (SELECT tenant_id, lot_id, sum(amount) AS amount FROM lot_moves WHERE kind = 'expire'
      GROUP BY tenant_id, lot_id) AS gone
WHERE lots.tenant_id = gone.tenant_id AND lots.id = gone.lot_id;
"""

PENDING = """
ALTER TABLE accounts ADD COLUMN next_activation_at timestamptz;
CREATE INDEX accounts_activating ON accounts (tenant_id, next_activation_at, user_id)
    WHERE next_activation_at IS NOT NULL;
ALTER TABLE lots ADD COLUMN activates_at timestamptz
    CONSTRAINT what_is_pending_activates CHECK (state <> 'pending' OR activates_at IS NOT NULL);
CREATE INDEX lots_pending ON lots (tenant_id, account_id, activates_at) WHERE state = 'pending';
"""


def upgrade() -> None:
    op.execute(REVERSALS)
    op.execute(EXPIRED)
    op.execute(PENDING)
