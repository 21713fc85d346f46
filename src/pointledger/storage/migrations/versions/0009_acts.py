"""Acts: what administrators did and tried, with who, why, before and after.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

APPEND_ONLY = ("acts",)

ACTS = """
-- Append only. What an act shares with its own command stands in the journal, from which a person can be
-- erased: actor, reason, user, and the hash of the request. Here they are those of an act which is no
-- command, or is about another's.
CREATE TABLE acts (
    tenant_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    actor text COLLATE "C",
    command_id uuid,
    reason text,
    state text COLLATE "C" NOT NULL CONSTRAINT act_state_is_known CHECK (state IN ('applied', 'refused')),
    refusal text COLLATE "C",
    before json,
    after json,
    request_hash bytea CHECK (octet_length(request_hash) = 16),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT act_is_told CHECK ((actor IS NULL) = (request_hash IS NULL)
                                  AND (actor IS NOT NULL OR command_id IS NOT NULL))
);
CREATE INDEX acts_in_order ON acts (tenant_id, recorded_at, id);
CREATE INDEX acts_by_command ON acts (command_id) WHERE command_id IS NOT NULL;
"""

# Of what was before them nothing is known any more.
EARLIER = """
INSERT INTO acts (tenant_id, id, kind, command_id, state, refusal, recorded_at)
SELECT o.tenant_id, gen_random_uuid(), j.kind, o.id, o.state, o.reason, o.applied_at
FROM outcomes o JOIN journal j ON j.id = o.id
WHERE j.kind IN ('adjust', 'set-status', 'wallet-adjust', 'expire', 'import-opening-balance',
                 'extend-expiry', 'set-expiry-exemption', 'apply-expiry-policy', 'erase-user')
  AND o.reason IS DISTINCT FROM 'CANCELLED';
"""

GUARD = """
CREATE TRIGGER acts_rows_stay BEFORE UPDATE OR DELETE ON acts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER acts_stays BEFORE TRUNCATE ON acts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE acts ENABLE ALWAYS TRIGGER acts_rows_stay;
ALTER TABLE acts ENABLE ALWAYS TRIGGER acts_stays;
"""

# Programs may not change the journal: the erasure, whose triggers say what becomes of a row, goes through the
# owner's hands. Its path of schemas is fixed, so that no temporary table takes the place of one of ours.
STRIP = """
CREATE FUNCTION strip_commands(ids uuid[], but uuid) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = {schema}, pg_temp AS $$
    UPDATE outcomes SET message = NULL WHERE id = ANY (ids);
    UPDATE journal SET payload = payload WHERE id = ANY (ids) AND id IS DISTINCT FROM but;
$$;
"""


def upgrade() -> None:
    for part in (ACTS, EARLIER, GUARD):
        op.execute(part)
    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    op.execute(STRIP.format(schema=schema))
