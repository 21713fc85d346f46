"""What has expired of points in another lot than the one that they were granted in is found by their origin.

Revision ID: 0012
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INDEX = """
CREATE INDEX lots_expired_elsewhere ON lots (tenant_id, origin_id, account_id)
    WHERE expired > 0 AND entry_id <> origin_id;
"""


def upgrade() -> None:
    op.execute(INDEX)
