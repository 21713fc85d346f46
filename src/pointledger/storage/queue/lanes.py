"""The lanes' rows: locks them for ordering, and counts drains that did not end."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows, run
from pointledger.storage.pipelines import send
from pointledger.storage.urls import APPLICATION_NAME

_NOTE_ATTEMPT = """
UPDATE lanes SET attempts = least(attempts + %(more)s, 100), alone_id = %(alone_id)s
FROM set_config('synchronous_commit', 'off', true)
WHERE lane = ANY(%(lanes)s::int2[])"""


def note_attempt(
    connection: sa.Connection, lanes: Sequence[int], alone_id: UUID | None = None, *, is_noted: bool = False
) -> None:
    """Note that a batch of these lanes begins. `alone_id` is its command if it has only one.

    With `is_noted`, `peek` has noted the batch already and only `alone_id` is added. Committed with
    `synchronous_commit = off`: the note is lost only if Postgres crashes, and a Postgres crash does not count
    against any command.
    """
    run(connection, _NOTE_ATTEMPT, lanes=lanes, alone_id=alone_id, more=0 if is_noted else 1)


_FORGET_ATTEMPT = """
UPDATE lanes SET attempts = greatest(attempts - 1, 0)
FROM set_config('synchronous_commit', 'off', true)
WHERE lane = ANY(%(lanes)s::int2[])"""


def forget_attempt(connection: sa.Connection, lanes: Sequence[int]) -> None:
    """Take back what `peek` has noted, because no command of these lanes was tried."""
    run(connection, _FORGET_ATTEMPT, lanes=lanes)


_LOCK_LANES = """
WITH locked AS MATERIALIZED (
    SELECT lane FROM lanes WHERE lane = ANY(%(lanes)s::int2[]) ORDER BY lane FOR UPDATE)
SELECT max(clock_timestamp()) FROM locked"""


def lock_lanes(connection: sa.Connection, *lanes: int) -> datetime:
    """Lock the lanes' rows in sorted order until the transaction ends, then return the database's clock.

    The holder's next statement sees everything that the previous holder committed.
    """
    moment: datetime = rows(connection, _LOCK_LANES, lanes=list(lanes))[0][0]
    return moment


def send_lock(connection: sa.Connection, lanes: Sequence[int]) -> None:
    """Lock the lanes' rows, as `lock_lanes` does, and do not wait for it in a pipeline."""
    send(connection, _LOCK_LANES, lanes=lanes)


_CLEAR_ATTEMPTS = "UPDATE lanes SET attempts = 0, alone_id = NULL WHERE lane = ANY(%(lanes)s::int2[])"


def clear_attempts(connection: sa.Connection, lanes: Sequence[int]) -> None:
    """Clear the lanes' crash counts, because their batch ended. It takes effect when the caller commits."""
    run(connection, _CLEAR_ATTEMPTS, lanes=lanes)


_TERMINATE_STALLED = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user
  AND application_name IN (%(name)s, current_setting('application_name'))  -- the URL may name another
  AND pid <> pg_backend_pid() AND state = 'active' AND wait_event = 'ClientRead'
  AND xact_start < clock_timestamp() - %(ms)s * interval '1 millisecond'"""


def terminate_stalled(connection: sa.Connection, older_than_ms: int) -> int:
    """End the transactions of processes that stalled during a COPY, and return their number.

    No Postgres timeout does, while Postgres waits for the client's next rows.
    """
    return int(rows(connection, _TERMINATE_STALLED, name=APPLICATION_NAME, ms=older_than_ms)[0][0])
