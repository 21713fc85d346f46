"""Holds, and what they hold of which lots.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HOLDS = """
-- Points that are set aside. A hold bears the id of the entry that froze them; `seq` is that entry's, too.
CREATE TABLE holds (
    tenant_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    seq bigint NOT NULL CONSTRAINT hold_has_a_place CHECK (seq > 0),
    amount bigint NOT NULL CONSTRAINT hold_is_bounded CHECK (amount BETWEEN 1 AND 1000000000000000),
    captured bigint NOT NULL,
    released bigint NOT NULL,
    state text COLLATE "C" NOT NULL
        CONSTRAINT hold_state_is_known CHECK (state IN ('open', 'captured', 'released', 'timed_out')),
    opened_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT no_hold_gives_more_than_it_has
        CHECK (captured >= 0 AND released >= 0 AND captured + released <= amount),
    CONSTRAINT a_hold_is_open_while_it_holds CHECK ((state = 'open') = (captured + released < amount)),
    CONSTRAINT a_hold_is_captured_where_it_was_spent
        CHECK (state = 'open' OR (state = 'captured') = (captured > 0))
) WITH (fillfactor = 90);
CREATE INDEX holds_open ON holds (tenant_id, account_id, seq) WHERE state = 'open';
CREATE INDEX holds_due ON holds (expires_at, tenant_id, id) WHERE state = 'open' AND expires_at IS NOT NULL;

-- What a hold has of a lot: when it was opened, and still.
CREATE TABLE hold_lots (
    tenant_id text COLLATE "C" NOT NULL,
    hold_id uuid NOT NULL,
    lot_id uuid NOT NULL,
    amount bigint NOT NULL CONSTRAINT held_is_bounded CHECK (amount BETWEEN 1 AND 1000000000000000),
    frozen bigint NOT NULL CONSTRAINT no_more_is_frozen_than_was_held CHECK (frozen BETWEEN 0 AND amount),
    PRIMARY KEY (tenant_id, hold_id, lot_id)
) WITH (fillfactor = 90);
CREATE INDEX hold_lots_frozen ON hold_lots (tenant_id, lot_id) WHERE frozen > 0;
"""


def upgrade() -> None:
    op.execute(HOLDS)
