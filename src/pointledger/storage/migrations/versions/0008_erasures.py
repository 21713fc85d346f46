"""Users who were erased, and the one way in which a row of the journal or of the outcomes may change.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ERASURES = """
-- Who was erased, by pseudonym. Until `finished_at` the journal is searched for what else names the person;
-- as long as that lasts, the row of the command itself, and only it, tells whom to search for.
CREATE TABLE erasures (
    tenant_id text COLLATE "C" NOT NULL,
    pseudonym text COLLATE "C" NOT NULL,
    command_id uuid NOT NULL,
    key_check bytea NOT NULL,  -- tells whether a process has the key with which this pseudonym was made
    erased_at timestamptz NOT NULL,
    commands bigint NOT NULL DEFAULT 0,  -- so many were stripped of the person
    reached uuid,  -- how far the search has come
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, pseudonym)
);
CREATE INDEX erasures_unfinished ON erasures (erased_at) WHERE finished_at IS NULL;

ALTER TABLE accounts DROP CONSTRAINT status_is_known;
ALTER TABLE accounts ADD CONSTRAINT status_is_known
    CHECK (status IN ('active', 'suspended', 'closed', 'erased'));
"""

# The statement says which rows; what becomes of them it cannot say: the trigger puts the erased row in its
# place. It does so for a row that names the person whom the transaction is erasing, and refuses all else.
EXCEPTION = """
-- The pseudonym under which this transaction erases the person that it names; null: it erases nobody.
-- A transaction erases whose `erasures` row it has written itself.
CREATE FUNCTION erasing(of_tenant text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT pseudonym FROM erasures
    WHERE tenant_id = of_tenant AND pseudonym = current_setting('pointledger.pseudonym', true)
      AND current_setting('pointledger.person', true) <> '' AND xmin = pg_current_xact_id()::xid
$$;

-- What may stay of a command's payload: numbers, moments, kinds. A text that the kind requires says "erased".
CREATE FUNCTION erased_payload(payload jsonb, person text, pseudonym text) RETURNS json
LANGUAGE sql IMMUTABLE AS $$
    SELECT ((payload - ARRAY['event_id', 'metadata', 'source', 'description'])
        || CASE WHEN payload -> 'reason' IS NULL THEN '{}' ELSE '{"reason": "erased"}'::jsonb END
        || CASE WHEN payload ->> 'to_user_id' = person THEN jsonb_build_object('to_user_id', pseudonym)
           ELSE '{}'::jsonb END)::json
$$;

CREATE FUNCTION erase_or_refuse_in_journal() RETURNS trigger LANGUAGE plpgsql AS $$
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
    RETURN NEW;
END $$;

-- An outcome has no user of its own: its command, which is stripped after it, names the person.
CREATE FUNCTION erase_or_refuse_in_outcomes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    person text := current_setting('pointledger.person', true);
    pseudonym text;
BEGIN
    IF TG_OP = 'UPDATE' AND EXISTS (SELECT FROM journal j WHERE j.id = OLD.id AND j.tenant_id = OLD.tenant_id
                                    AND person IN (j.user_id, j.payload ->> 'to_user_id')) THEN
        pseudonym := erasing(OLD.tenant_id);
    END IF;
    IF pseudonym IS NULL THEN
        RAISE EXCEPTION '% is append-only: a correction is a new row', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    NEW := OLD;
    NEW.message := NULL;
    IF OLD.data -> 'account' ->> 'user_id' = person THEN
        NEW.data := jsonb_set(OLD.data::jsonb, '{account,user_id}', to_jsonb(pseudonym))::json;
    END IF;
    RETURN NEW;
END $$;
"""


def upgrade() -> None:
    op.execute(ERASURES)
    op.execute(EXCEPTION)
    for table in ("journal", "outcomes"):
        op.execute(f"""
            DROP TRIGGER {table}_rows_stay ON {table};
            CREATE TRIGGER {table}_rows_stay BEFORE UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION erase_or_refuse_in_{table}();
            ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_rows_stay;
        """)
