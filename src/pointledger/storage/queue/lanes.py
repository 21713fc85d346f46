"""The lanes' rows: the fence of order, and the memory of drains that did not end."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import APPLICATION_NAME, rows, run

_RAISE_TRIES = """
UPDATE lanes SET tries = least(tries + %(more)s, 100), alone_id = %(alone_id)s
FROM set_config('synchronous_commit', 'off', true)
WHERE lane = %(lane)s"""


def begin_try(
    connection: sa.Connection, lane: int, alone_id: UUID | None = None, *, is_noted: bool = False
) -> None:
    """Notes that a batch begins, and with which command if with one only. `is_noted`: but for that, it is.

    Committed without waiting for the disk: were it lost, Postgres died too, and that charges nobody.
    """
    run(connection, _RAISE_TRIES, lane=lane, alone_id=alone_id, more=0 if is_noted else 1)


_FENCE = """
WITH fenced AS MATERIALIZED (
    SELECT lane FROM lanes WHERE lane = ANY(%(lanes)s::int2[]) ORDER BY lane FOR UPDATE)
SELECT max(clock_timestamp()) FROM fenced"""


def fence(connection: sa.Connection, *lanes: int) -> datetime:
    """Locks the lanes' rows until the transaction ends, in one order; the database's clock after that.

    Whoever holds a row sees, in its next statement, everything that the one before has committed.
    """
    moment: datetime = rows(connection, _FENCE, lanes=list(lanes))[0][0]
    return moment


def end_try(connection: sa.Connection, lane: int) -> None:
    """The drain's batch ends well, with the commit that follows."""
    run(connection, "UPDATE lanes SET tries = 0, alone_id = NULL WHERE lane = %(lane)s", lane=lane)


_END_FROZEN = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = %(name)s
  AND pid <> pg_backend_pid() AND state = 'active' AND wait_event = 'ClientRead'
  AND xact_start < clock_timestamp() - %(ms)s * interval '1 millisecond'"""


def end_frozen(connection: sa.Connection, older_than_ms: int) -> int:
    """Ends transactions of processes that froze in the middle of a COPY: no time-out of Postgres' does,
    while it waits for the client's next rows. How many there were."""
    return int(rows(connection, _END_FROZEN, name=APPLICATION_NAME, ms=older_than_ms)[0][0])
