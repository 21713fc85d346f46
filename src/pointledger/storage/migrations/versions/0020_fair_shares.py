"""Tenants get fair shares of a lane: a pending command names its tenant's queue and what it costs.

Revision ID: 0020
"""

from alembic import op

from pointledger.storage.migrations.steps import build_index

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# 64 bits: no two of a million tenants share a hash in practice. Rows of an older program have 0, a queue of
# their own. `cost` counts ordinary commands.
QUEUES = """
ALTER TABLE pending ADD COLUMN IF NOT EXISTS tenant_hash bigint NOT NULL DEFAULT 0,
                    ADD COLUMN IF NOT EXISTS cost integer NOT NULL DEFAULT 1
"""
BY_TENANT = "pending (lane, tenant_hash, seq)"


def upgrade() -> None:
    op.execute(QUEUES)
    build_index("pending_by_tenant", BY_TENANT)
