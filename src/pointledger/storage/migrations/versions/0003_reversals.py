"""What reverses an entry is found by the entry that it reverses.

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


def upgrade() -> None:
    op.execute(REVERSALS)
