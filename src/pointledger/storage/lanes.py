"""The lanes' rows: the fence of order, and the memory of drains that did not end."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows, run

_RAISE_TRIES = """
UPDATE lanes AS now SET tries = least(now.tries + 1, 100), alone_id = %(alone_id)s
FROM (SELECT lane, tries, alone_id FROM lanes WHERE lane = %(lane)s FOR UPDATE) AS before,
     set_config('synchronous_commit', 'off', true)
WHERE now.lane = before.lane
RETURNING before.tries, before.alone_id"""


def begin_try(connection: sa.Connection, lane: int, alone_id: UUID | None = None) -> tuple[int, UUID | None]:
    """Notes that a drain begins, and with which command if with one only: (tries that did not end well
    before, the command that was worked on alone then).

    Committed without waiting for the disk: were it lost, Postgres died too, and that charges nobody.
    """
    tries, blamed = rows(connection, _RAISE_TRIES, lane=lane, alone_id=alone_id)[0]
    return tries, blamed


def fence(connection: sa.Connection, lane: int) -> datetime:
    """Locks the lane's row until the transaction ends; the database's clock after that.

    Whoever holds it sees, in its next statement, everything that the one before has committed.
    """
    run(connection, "SELECT FROM lanes WHERE lane = %(lane)s FOR UPDATE", lane=lane)
    moment: datetime = rows(connection, "SELECT clock_timestamp()")[0][0]
    return moment


def end_try(connection: sa.Connection, lane: int) -> None:
    """The drain's batch ends well, with the commit that follows."""
    run(connection, "UPDATE lanes SET tries = 0, alone_id = NULL WHERE lane = %(lane)s", lane=lane)
