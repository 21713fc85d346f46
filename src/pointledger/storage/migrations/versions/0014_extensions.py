"""The journal keeps the extension attributes of the event that a command came as, and forgets them with the
person.

Revision ID: 0014
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Beside the payload, not in it: a worker of the release before reads the payload and would not know them.
EXTENSIONS = "ALTER TABLE journal ADD COLUMN extensions json"

# As in 0008, and the extensions go.
EXCEPTION = """
CREATE OR REPLACE FUNCTION erase_or_refuse_in_journal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    person text := current_setting('pointledger.person', true);
    pseudonym text;
BEGIN
    IF TG_OP = 'UPDATE' AND person IN (OLD.user_id, OLD.payload ->> 'to_user_id') THEN
        pseudonym := erasing(OLD.tenant_id);
    END IF;
    IF pseudonym IS NULL THEN
        RAISE EXCEPTION '% is append-only: a correction is a new row', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    NEW := OLD;
    NEW.user_id := CASE OLD.user_id WHEN person THEN pseudonym ELSE OLD.user_id END;
    NEW.actor := CASE OLD.actor WHEN person THEN pseudonym ELSE OLD.actor END;
    NEW.idempotency_key := NULL;
    NEW.fingerprint := decode(repeat('00', 16), 'hex');  -- it could be guessed at: ids are few
    NEW.payload := erased_payload(OLD.payload::jsonb, person, pseudonym);
    NEW.extensions := NULL;
    RETURN NEW;
END $$;
"""


def upgrade() -> None:
    op.execute(EXTENSIONS)
    op.execute(EXCEPTION)
