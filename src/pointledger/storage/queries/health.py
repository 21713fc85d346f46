"""Reads what the doctor and the metrics report of Postgres: settings, privileges and pending work."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from pointledger.storage.database import rows
from pointledger.storage.queue.pauses import PAUSED
from pointledger.storage.queue.pending import PENDING_COMMANDS, RUNNABLE


class Durability(NamedTuple):
    """Settings that must be on for a commit to survive a crash, and the version of Postgres."""

    fsync: str
    full_page_writes: str
    synchronous_commit: str
    version: int  # like 170004


def durability(connection: sa.Connection) -> Durability:
    """Read the settings of this login, because a database or a role may have its own."""
    found = rows(
        connection,
        """SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
                  current_setting('synchronous_commit') AS synchronous_commit,
                  current_setting('server_version_num')::int AS version""",
    )
    return Durability(*found[0])


class Role(NamedTuple):
    """The login's role and its privileges."""

    name: str
    is_superuser: bool
    is_owner: bool
    may_work: bool
    changes: list[str]  # the append-only tables that it may change


_ROLE = """
SELECT r.rolname, r.rolsuper,
       EXISTS (SELECT FROM pg_class c WHERE c.oid = 'journal'::regclass
                                        AND pg_has_role(c.relowner, 'USAGE')) AS is_owner,
       has_table_privilege('journal', 'INSERT') AND has_table_privilege('pending', 'DELETE')
           AND has_table_privilege('accounts', 'UPDATE') AS may_work,
       ARRAY(SELECT c.relname::text FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
             WHERE g.tgname = c.relname || '_rows_stay'
               AND has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE')
             ORDER BY c.relname) AS changes
FROM pg_roles r WHERE r.rolname = current_user"""


def role(connection: sa.Connection) -> Role:
    """Read this login's privileges; the tables must exist."""
    return Role(*rows(connection, _ROLE)[0])


# ----------------------------------------------------------------------------------------- pending work

# A retried command that was dead has a new place in the order but its old `accepted_at`. It is left out,
# because its age does not show how far the workers are behind.
_LAGS = f"""
SELECT lanes.lane, extract(epoch FROM clock_timestamp() - first.accepted_at)::float8 AS seconds
FROM lanes CROSS JOIN LATERAL (
    SELECT j.accepted_at FROM {PENDING_COMMANDS}
    WHERE p.lane = lanes.lane AND j.seq = p.seq AND {RUNNABLE}
    ORDER BY p.seq LIMIT 1) AS first
ORDER BY lanes.lane"""  # noqa: S608  (constants only)


def lags(connection: sa.Connection) -> dict[int, float]:
    """Return the age in seconds of the first runnable command of each lane that has one."""
    return dict(rows(connection, _LAGS))


def waiting_count(connection: sa.Connection, most: int) -> int:
    """Count the pending commands, also paused and failing ones, up to `most`."""
    found = rows(
        connection, "SELECT count(*) FROM (SELECT FROM pending LIMIT %(most)s) AS counted", most=most
    )
    return int(found[0][0])


def accepted_count(connection: sa.Connection) -> int:
    """Return how many commands were accepted since Postgres began its statistics.

    The statistics are about a second late, and they count rows that were rolled back.
    """
    found = rows(connection, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relid = 'journal'::regclass")
    return int(found[0][0])


class Troubles(NamedTuple):
    """Counts of what an operator should check."""

    dead: int
    failing: int  # commands that failed and are retried
    dead_letters: int
    deferred_messages: int
    paused: int


_TROUBLES = """
SELECT (SELECT count(*) FROM failures WHERE dead_at IS NOT NULL) AS dead,
       (SELECT count(*) FROM failures
        WHERE dead_at IS NULL AND (attempts > 0 OR waits_until IS NULL)) AS failing,
       (SELECT count(*) FROM dead_letters WHERE state = 'dead') AS dead_letters,
       (SELECT count(*) FROM dead_letters WHERE state = 'deferred') AS deferred_messages,
       (SELECT count(*) FROM paused_tenants) AS paused"""


def troubles(connection: sa.Connection) -> Troubles:
    """Count dead and failing commands, dead letters, deferred messages and paused tenants."""
    return Troubles(*rows(connection, _TROUBLES)[0])


class OpenRuns(NamedTuple):
    """The unfinished runs of a periodic job."""

    job: str
    open: int
    found: int  # the sum of what they have found so far
    oldest_as_of: datetime


def open_runs(connection: sa.Connection) -> list[OpenRuns]:
    """Return the unfinished runs by job, without those of paused tenants."""
    found = rows(
        connection,
        f"""SELECT job, count(*) AS open, coalesce(sum(found), 0)::bigint AS found, min(as_of) AS oldest
            FROM job_runs WHERE finished_at IS NULL AND tenant_id <> ALL ({PAUSED})
            GROUP BY job ORDER BY job""",  # noqa: S608  (constants only)
    )
    return [OpenRuns(*row) for row in found]
