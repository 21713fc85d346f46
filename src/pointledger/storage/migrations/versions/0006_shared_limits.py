"""Limits that all of a tenant's users share have counters; a closed day tells where its shared ones ended.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Few rows, each written by many: room on their pages, so that no version of a row needs an index entry.
SHARED_USAGE = """
CREATE TABLE shared_usage (
    tenant_id text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL,
    starts_on date NOT NULL,
    points bigint NOT NULL DEFAULT 0 CHECK (points BETWEEN 0 AND 1000000000000000000),
    times bigint NOT NULL DEFAULT 0 CHECK (times >= 0),
    PRIMARY KEY (tenant_id, meter, period, starts_on)
) WITH (fillfactor = 20);
"""

CLOSED = """
ALTER TABLE closed_windows ADD COLUMN shared json NOT NULL DEFAULT '[]';
"""


def upgrade() -> None:
    op.execute(SHARED_USAGE)
    op.execute(CLOSED)
