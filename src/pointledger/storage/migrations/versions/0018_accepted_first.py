"""Nobody is refused for what something accepted earlier would change: it is found by its user.

Revision ID: 0018
"""

from alembic import op

from pointledger.storage.migrations.steps import build_index

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# Hashes of whom a command is about and, if it is a transfer, of whom it goes to. Null in what an older
# program has accepted. Only transfers pay for the index.
HASHES = """
ALTER TABLE pending ADD COLUMN IF NOT EXISTS user_hash integer,
                    ADD COLUMN IF NOT EXISTS recipient_hash integer
"""
TRANSFERS = "pending (recipient_hash) WHERE recipient_hash IS NOT NULL"

# A command that waits for what was accepted before it: for what is at this place, and until when at most.
WAITS = """
ALTER TABLE failures ADD COLUMN waits_lane smallint, ADD COLUMN waits_seq bigint,
                     ADD COLUMN waits_until timestamptz;
"""


def upgrade() -> None:
    op.execute(HASHES)
    build_index("pending_transfers", TRANSFERS)
    op.execute(WAITS)
