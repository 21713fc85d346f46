"""Dead letters are found, counted and dropped by their source. A tenant always counts as large.

Revision ID: 0021
"""

from alembic import op

from pointledger.storage.migrations.steps import build_index

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# The newest dead letters of a source are kept; without the first index each drop would read all of them.
INDEXES = {
    "dead_letters_of_source": "dead_letters (entry_point, coalesce(producer, ''), id) "
    "WHERE state <> 'deferred'",
    "dead_letters_deferred_of_producer": "dead_letters (producer, reason) WHERE state = 'deferred'",
    "dead_letters_dead": "dead_letters (id) WHERE state = 'dead'",
}

# If each tenant had one row when a table was analyzed, Postgres believes that a tenant's id is as good as a
# key, and reads all rows of a tenant that has grown since. Whatever the sample says, a tenant has many rows.
TENANTS = """
DO $$
DECLARE
    found regclass;
BEGIN
    FOR found IN
        SELECT a.attrelid::regclass FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attname = 'tenant_id' AND NOT a.attisdropped AND c.relkind = 'r'
          AND c.relnamespace = current_schema()::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN tenant_id SET (n_distinct = 100)', found);
    END LOOP;
END $$;
"""


def upgrade() -> None:
    for name, definition in INDEXES.items():
        build_index(name, definition)
    op.execute(TENANTS)
