"""Dead commands stay until a person decides about them, so no batch may read all of them.

Revision ID: 0025
"""

from pointledger.storage.migrations.steps import build_index

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

INDEXES = {
    # Asked for each command of a batch: does another command of its user block it? Most dead ones do not.
    "failures_blocking": "failures (lane, tenant_id, user_id) "
    "WHERE next_attempt_at IS NOT NULL OR waits_until IS NOT NULL",
    # Counted whenever a monitor reads the metrics.
    "failures_failing": "failures (id) WHERE dead_at IS NULL",
    # Asked at the end of each batch: which lanes waited for its commands?
    "failures_waiting": "failures (waits_lane, waits_seq) WHERE waits_lane IS NOT NULL",
}


def upgrade() -> None:
    for name, definition in INDEXES.items():
        build_index(name, definition)
