"""Finds the transactions that are open and write, to know when a moment can have no more late commits.

A batch has its transaction id before it draws its moment and its number. So each batch of a past moment has
ended when the transactions that wrote then have ended.
"""

import sqlalchemy as sa

from pointledger.storage.database import rows

# A transaction holds the lock of its id until its changes are visible.
_WRITING = """
SELECT l.transactionid::text AS xid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'transactionid' AND l.granted AND a.datname = current_database()"""


def writing(connection: sa.Connection) -> frozenset[str]:
    """Return the ids of the transactions of this database that write now."""
    return frozenset(row.xid for row in rows(connection, _WRITING))
