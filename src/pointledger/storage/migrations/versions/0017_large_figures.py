"""What has gone from an account may be as much as all that has come to it; a day's sum over all users may be
more than a bigint keeps.

Revision ID: 0017
"""

from alembic import op

from pointledger.storage.migrations.steps import validate

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# What comes is bounded, by refusing it: at most 10^18 in each of four ways. So no command that takes, and no
# sweep, ever meets a bound.
_GONE = ("total_spent", "expired_points", "total_transferred_out", "total_adjusted_out", "total_clawed_back")
CONSTRAINTS = [f"accounts_{name}_check" for name in _GONE]
TOTALS = "ALTER TABLE accounts " + ", ".join(
    f"""
    DROP CONSTRAINT IF EXISTS accounts_{name}_check,
    ADD CONSTRAINT accounts_{name}_check CHECK ({name} BETWEEN 0 AND 4000000000000000000) NOT VALID"""
    for name in _GONE
)

# This rewrites the table, which is small: a row per tenant and day. No command reads it.
WINDOWS = "ALTER TABLE closed_windows ALTER COLUMN points TYPE numeric(38)"


def upgrade() -> None:
    op.execute(TOTALS)
    validate("accounts", *CONSTRAINTS)
    op.execute(WINDOWS)
