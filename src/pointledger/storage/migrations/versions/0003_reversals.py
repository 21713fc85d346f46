"""What reverses an entry is found by the entry that it reverses; a lot knows how much of it has expired.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0001"
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


def upgrade() -> None:
    op.execute(REVERSALS)
    op.execute(EXPIRED)
