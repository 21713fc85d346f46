"""Dead letters know their sender, how often they came, and whether they wait or have been replayed.

Revision ID: 0011
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

LETTERS = """
ALTER TABLE dead_letters
    ADD COLUMN state text COLLATE "C" NOT NULL DEFAULT 'dead'
        CONSTRAINT letter_state_is_known CHECK (state IN ('dead', 'held', 'replayed')),
    ADD COLUMN producer text,
    ADD COLUMN headers json,
    ADD COLUMN digest bytea,
    ADD COLUMN attempts integer NOT NULL DEFAULT 1,
    ADD COLUMN last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN held_until timestamptz,
    ADD CONSTRAINT a_held_letter_waits_for_a_moment CHECK ((state = 'held') = (held_until IS NOT NULL));
UPDATE dead_letters SET last_seen_at = received_at;
-- The same message, delivered again, is one letter.
CREATE UNIQUE INDEX dead_letters_once ON dead_letters (door, digest);
CREATE INDEX dead_letters_held ON dead_letters (held_until, id) WHERE state = 'held';
"""

QUOTAS = """
-- How many events a producer has sent in a minute, for those whose number is bounded.
CREATE TABLE producer_minutes (
    producer text COLLATE "C" PRIMARY KEY,
    minute timestamptz NOT NULL,
    events bigint NOT NULL
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    op.execute(LETTERS)
    op.execute(QUOTAS)
