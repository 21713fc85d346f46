"""Acts: what administrators did and tried, with who, why, before and after.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

APPEND_ONLY = ("acts",)

ACTS = """
-- Append only. Of a command of its own kind, reason and user stand in the journal, from which a person can
-- be erased; `reason` is that of an act which is no command, or is about another's.
CREATE TABLE acts (
    tenant_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    command_id uuid,
    reason text,
    state text COLLATE "C" NOT NULL CONSTRAINT act_state_is_known CHECK (state IN ('applied', 'refused')),
    refusal text COLLATE "C",
    before json,
    after json,
    request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 16),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX acts_in_order ON acts (tenant_id, recorded_at, id);
CREATE INDEX acts_by_command ON acts (command_id) WHERE command_id IS NOT NULL;
"""

# Of what was before them nothing is known any more.
EARLIER = """
INSERT INTO acts (tenant_id, id, kind, actor, command_id, state, refusal, request_hash, recorded_at)
SELECT o.tenant_id, gen_random_uuid(), j.kind, j.actor, o.id, o.state, o.reason, j.fingerprint, o.applied_at
FROM outcomes o JOIN journal j ON j.id = o.id
WHERE j.kind IN ('adjust', 'set-status', 'wallet-adjust', 'expire', 'import-opening-balance',
                 'extend-expiry', 'set-expiry-exemption', 'apply-expiry-policy')
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


def upgrade() -> None:
    for part in (ACTS, EARLIER, GUARD):
        op.execute(part)
