"""Counts what the load itself causes, without being on the schedule: commands that race, and commands that do
not wait behind another tenant's backlog."""

from collections import Counter

import sqlalchemy as sa

from pointledger.storage.database import rows
from tests.chaos.load import BULK_CONFIG, TENANT

_RACES = {
    "F22 users transfer to each other at once": """
        SELECT count(*) FROM journal a JOIN journal b
          ON a.kind = 'transfer' AND b.kind = 'transfer' AND b.user_id = a.payload ->> 'to_user_id'
         AND b.payload ->> 'to_user_id' = a.user_id AND b.accepted_at BETWEEN a.accepted_at
         AND a.accepted_at + interval '1 second'""",
    "F37 clients use one key at once": "SELECT count(*) FROM aliases",
    "F44 holds time out while others capture them": """
        SELECT count(*) FROM entries WHERE subtype = 'timeout'""",
    "F70 commands overtake another tenant's backlog": """
        SELECT count(*)
        FROM (SELECT j.tenant_id, o.batch, max(o.batch) FILTER (WHERE j.tenant_id = %(bulk)s)
                     OVER (PARTITION BY j.lane ORDER BY j.seq) AS latest_of_bulk
              FROM journal j JOIN outcomes o ON o.id = j.id) AS applied
        WHERE tenant_id = %(tenant)s AND batch < latest_of_bulk""",
}

NAMES = tuple(_RACES)


def races(database: sa.Engine) -> Counter[str]:
    """Count them by the names of the matrix."""
    tenants = {"tenant": TENANT, "bulk": BULK_CONFIG["tenant_id"]}
    with database.connect() as connection:
        return Counter({name: int(rows(connection, sql, **tenants)[0][0]) for name, sql in _RACES.items()})
