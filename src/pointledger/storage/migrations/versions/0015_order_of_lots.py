"""Lots of one moment and one expiry are consumed in the order in which they came; and a lot to which an entry
gives points back may pay a debt by the same entry.

Revision ID: 0015
"""

from alembic import op

from pointledger.storage.migrations.steps import build_index

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# `seq` is that of the entry that brought the lot, `place` counts what this entry brought, from 0. A lot that
# an older program wrote has `seq` 0: it came before, and among its like the id decides, as it did.
COLUMNS = """
ALTER TABLE lots ADD COLUMN IF NOT EXISTS seq bigint NOT NULL DEFAULT 0,
                 ADD COLUMN IF NOT EXISTS place integer NOT NULL DEFAULT 0
"""

# Both tables are large, so their indexes are built beside the old ones, which then give way in a moment.
LOTS = "lots (tenant_id, account_id, expires_at, earned_at, seq, place, id) WHERE state = 'active'"
MOVES = "lot_moves (tenant_id, entry_id, lot_id, kind)"

SWAP = """
DROP INDEX lots_to_consume;
ALTER INDEX lots_to_consume_new RENAME TO lots_to_consume;
ALTER TABLE lot_moves DROP CONSTRAINT lot_moves_pkey,
                      ADD CONSTRAINT lot_moves_pkey PRIMARY KEY USING INDEX lot_moves_pkey_new;
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    build_index("lots_to_consume_new", LOTS)
    build_index("lot_moves_pkey_new", MOVES, unique=True)
    op.execute(SWAP)
