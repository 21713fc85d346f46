"""Finds users whose account rows other sessions have locked."""

from collections.abc import Sequence

import sqlalchemy as sa

from pointledger.storage.database import rows

# `xmax` of a locked row is the locking transaction, or a group of transactions, which no view resolves.
_LOCKED = """
WITH wanted AS (SELECT * FROM unnest(%(tenants)b::text[], %(users)b::text[]) AS wanted (tenant_id, user_id)),
free AS MATERIALIZED (
    SELECT a.id FROM wanted
    JOIN accounts a ON a.tenant_id = wanted.tenant_id COLLATE "C" AND a.user_id = wanted.user_id COLLATE "C"
    FOR UPDATE OF a SKIP LOCKED)
SELECT a.tenant_id, a.user_id,
       (SELECT format('pid %%s, role %%s, %%s', s.pid, s.usename,
                      coalesce(nullif(s.application_name, ''), 'without a name'))
        FROM pg_locks l JOIN pg_stat_activity s ON s.pid = l.pid
        WHERE l.locktype = 'transactionid' AND l.granted AND l.transactionid = a.xmax LIMIT 1) AS session
FROM wanted
JOIN accounts a ON a.tenant_id = wanted.tenant_id COLLATE "C" AND a.user_id = wanted.user_id COLLATE "C"
WHERE a.id NOT IN (SELECT id FROM free)
ORDER BY a.tenant_id, a.user_id"""


def locked_users(connection: sa.Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return those of the users, given by tenant and id, whose accounts are locked, and by which session.

    It waits for no lock, and locks the others until the transaction ends.
    """
    tenants, users = [tenant_id for tenant_id, _ in keys], [user_id for _, user_id in keys]
    found = rows(connection, _LOCKED, tenants=tenants, users=users)
    return {(row.tenant_id, row.user_id): row.session or "unknown" for row in found}
