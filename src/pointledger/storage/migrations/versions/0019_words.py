"""Tables, columns and values in the field's own terms.

Revision ID: 0019
"""

from alembic import op

from pointledger.storage.migrations.steps import commit, has_column, rewrite_rows

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

AUDIT_LOG = """
ALTER TABLE acts RENAME TO audit_log;
ALTER INDEX acts_pkey RENAME TO audit_log_pkey;
ALTER INDEX acts_in_order RENAME TO audit_log_in_order;
ALTER INDEX acts_by_command RENAME TO audit_log_by_command;
ALTER TABLE audit_log RENAME CONSTRAINT act_state_is_known TO audit_state_is_known;
ALTER TABLE audit_log RENAME CONSTRAINT act_is_told TO audit_record_names_its_actor;
ALTER TABLE audit_log RENAME CONSTRAINT acts_request_hash_check TO audit_log_request_hash_check;
ALTER TRIGGER acts_rows_stay ON audit_log RENAME TO audit_log_rows_stay;
ALTER TRIGGER acts_stays ON audit_log RENAME TO audit_log_stays;
"""

LANES = "ALTER TABLE lanes RENAME COLUMN tries TO attempts"

DEAD_LETTERS = """
DROP INDEX dead_letters_deferred;
ALTER TABLE dead_letters
    DROP CONSTRAINT letter_state_is_known, DROP CONSTRAINT a_held_letter_waits_for_a_moment;
ALTER TABLE dead_letters RENAME COLUMN door TO entry_point;
ALTER TABLE dead_letters RENAME COLUMN held_until TO deferred_until;
UPDATE dead_letters SET state = 'deferred' WHERE state = 'held';
ALTER TABLE dead_letters
    ADD CONSTRAINT dead_letter_state_is_known CHECK (state IN ('dead', 'deferred', 'replayed')),
    ADD CONSTRAINT a_deferred_message_has_a_moment
        CHECK ((state = 'deferred') = (deferred_until IS NOT NULL));
CREATE INDEX dead_letters_deferred ON dead_letters (entry_point, deferred_until, id)
    WHERE state = 'deferred';
"""

# The bodies are those of 0008 and 0014, but for the function that they call.
REDACTION = """
ALTER FUNCTION strip_commands(uuid[], uuid) RENAME TO redact_commands;
ALTER FUNCTION erased_payload(jsonb, text, text) RENAME TO redacted_payload;
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
    NEW.fingerprint := decode(repeat('00', 16), 'hex');  -- ids are few, so a fingerprint could be guessed
    NEW.payload := redacted_payload(OLD.payload::jsonb, person, pseudonym);
    NEW.extensions := NULL;
    RETURN NEW;
END $$;
"""

# Recorded values change their names, not their meaning.
OUTCOMES = (
    """data = replace(replace(data::text, '"held_by":', '"limited_by":'), '"because":', '"detail":')::json"""
)
OLD_OUTCOMES = """(data::text LIKE '%"held_by":%' OR data::text LIKE '%"because":%')"""

TENANTS = """
ALTER TABLE tenant_versions DISABLE TRIGGER tenant_versions_rows_stay;
UPDATE tenant_versions SET config = jsonb_set(config::jsonb, '{dead_policy}', '"block"')::json
WHERE config ->> 'dead_policy' = 'hold';
ALTER TABLE tenant_versions ENABLE ALWAYS TRIGGER tenant_versions_rows_stay;
"""


def upgrade() -> None:
    """Rename first, and rewrite outcomes then: no older worker can add one with old names after that."""
    if not has_column("lanes", "attempts"):
        for part in (AUDIT_LOG, LANES, DEAD_LETTERS, REDACTION):
            op.execute(part)
        commit()
    rewrite_rows("outcomes", "id", OUTCOMES, OLD_OUTCOMES)
    op.execute(TENANTS)
