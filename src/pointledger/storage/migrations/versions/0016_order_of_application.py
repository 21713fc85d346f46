"""Each outcome tells in which order it was decided, and by which versions: so that it can be decided anew.

Revision ID: 0016
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# `batch` is drawn when all that the batch decides on is locked; `place` counts its commands, from 0. Both are
# null where nothing was decided (a command that was cancelled), and for what was decided before. A tenant's
# rules only ever gain versions: how many there were tells which.
ORDER = """
CREATE SEQUENCE batch_numbers AS bigint;
ALTER TABLE outcomes ADD COLUMN batch bigint, ADD COLUMN place integer, ADD COLUMN tenant_version integer,
                     ADD COLUMN rule_versions integer;
"""


def upgrade() -> None:
    op.execute(ORDER)
