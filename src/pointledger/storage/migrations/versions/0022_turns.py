"""Tenants take turns in the outbox, and producers among the deferred messages.

Revision ID: 0022
"""

from alembic import op

from pointledger.storage.migrations.steps import build_index

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

INDEXES = {
    "outbox_queues": "outbox (slot, tenant_id, seq) WHERE sent_at IS NULL",
    "dead_letters_due": "dead_letters (entry_point, coalesce(producer, ''), deferred_until, id) "
    "WHERE state = 'deferred'",
}

# With them, Postgres would sort all rows of a slot, or all messages that are due, to find the first ones.
REPLACED = ("outbox_waiting", "dead_letters_deferred")


def upgrade() -> None:
    for name, definition in INDEXES.items():
        build_index(name, definition)
    for name in REPLACED:
        op.execute(f"DROP INDEX IF EXISTS {name}")
