"""What has gone from an account may be as much as all that has come to it; a day's sum over all users may be
more than a bigint keeps.

Revision ID: 0017
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# What comes is bounded, by refusing it: at most 10^18 in each of four ways. So no command that takes, and no
# sweep, ever meets a bound.
_GONE = ("total_spent", "expired_points", "total_transferred_out", "total_adjusted_out", "total_clawed_back")
TOTALS = "".join(
    f"""
ALTER TABLE accounts DROP CONSTRAINT accounts_{name}_check;
ALTER TABLE accounts ADD CONSTRAINT accounts_{name}_check CHECK ({name} BETWEEN 0 AND 4000000000000000000);"""
    for name in _GONE
)

WINDOWS = "ALTER TABLE closed_windows ALTER COLUMN points TYPE numeric(38)"


def upgrade() -> None:
    op.execute(TOTALS)
    op.execute(WINDOWS)
