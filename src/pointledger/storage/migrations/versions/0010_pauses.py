"""Tenants whose commands wait until somebody resumes them.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        -- Nearly always empty. A row here and the tenant's commands are accepted, but wait.
        CREATE TABLE paused_tenants (
            tenant_id text COLLATE "C" PRIMARY KEY,
            paused_at timestamptz NOT NULL DEFAULT clock_timestamp()
        );
    """)
