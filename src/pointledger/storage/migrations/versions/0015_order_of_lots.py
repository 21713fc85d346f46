"""Lots of one moment and one expiry are consumed in the order in which they came; and a lot to which an entry
gives points back may pay a debt by the same entry.

Revision ID: 0015
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# `seq` is that of the entry that brought the lot, `place` counts what this entry brought, from 0. A lot that
# an older program wrote has `seq` 0: it came before, and among its like the id decides, as it did.
ORDER = """
ALTER TABLE lots ADD COLUMN seq bigint NOT NULL DEFAULT 0, ADD COLUMN place integer NOT NULL DEFAULT 0;
DROP INDEX lots_to_consume;
CREATE INDEX lots_to_consume ON lots (tenant_id, account_id, expires_at, earned_at, seq, place, id)
    WHERE state = 'active';
"""

MOVES = """
ALTER TABLE lot_moves DROP CONSTRAINT lot_moves_pkey, ADD PRIMARY KEY (tenant_id, entry_id, lot_id, kind);
"""


def upgrade() -> None:
    op.execute(ORDER)
    op.execute(MOVES)
