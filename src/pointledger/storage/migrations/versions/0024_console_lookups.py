"""People look at a member's entries of one type, and give goodwill up to a limit of each day.

Revision ID: 0024
"""

from pointledger.storage.migrations.steps import build_index

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

# With the primary key alone, a page of a rare type reads all entries of the account. Most entries earn, so a
# page of those is soon full, and the most frequent command writes no row of this index.
INDEXES = {
    "entries_of_type": "entries (tenant_id, account_id, type, seq) WHERE type <> 'earn'",
    # Of what people give back at the console only, so other commands pay one comparison for it.
    "journal_goodwill": "journal (tenant_id, actor, accepted_at) "
    "WHERE kind = 'refund' AND starts_with(actor, 'person:')",
}


def upgrade() -> None:
    for name, definition in INDEXES.items():
        build_index(name, definition)
