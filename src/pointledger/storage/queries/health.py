"""What a doctor asks of Postgres: how it is set up, who we are to it, and what waits in it."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from pointledger.storage.database import rows
from pointledger.storage.queue.journal import MAY_GO, WAITING_LINES
from pointledger.storage.queue.pauses import PAUSED


class Durability(NamedTuple):
    """Postgres' settings, of which each has to be on for a commit to be there after a crash; and its version,
    like 170004."""

    fsync: str
    full_page_writes: str
    synchronous_commit: str
    version: int


def durability(connection: sa.Connection) -> Durability:
    """How this login's commits are kept: a database or a role may have settings of its own."""
    found = rows(
        connection,
        """SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
                  current_setting('synchronous_commit') AS synchronous_commit,
                  current_setting('server_version_num')::int AS version""",
    )
    return Durability(*found[0])


class Role(NamedTuple):
    """Who we are to the database. `changes`: append-only tables that we could change."""

    name: str
    is_superuser: bool
    is_owner: bool
    may_work: bool
    changes: list[str]


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
    """What this login may do. The tables are there."""
    return Role(*rows(connection, _ROLE)[0])


# ------------------------------------------------------------------------------------------- what waits

# A dead command that is retried is as old as ever, but has a new place in the order: it tells nothing of how
# far the workers are behind.
_LAGS = f"""
SELECT lanes.lane, extract(epoch FROM clock_timestamp() - first.accepted_at)::float8 AS seconds
FROM lanes CROSS JOIN LATERAL (
    SELECT j.accepted_at FROM {WAITING_LINES}
    WHERE p.lane = lanes.lane AND j.seq = p.seq AND {MAY_GO}
    ORDER BY p.seq LIMIT 1) AS first
ORDER BY lanes.lane"""  # noqa: S608  (ours)


def lags(connection: sa.Connection) -> dict[int, float]:
    """For each lane in which something waits that may go: for how many seconds the first of it has."""
    return dict(rows(connection, _LAGS))


def waiting_count(connection: sa.Connection, most: int) -> int:
    """How many commands wait, paused and failing ones too; counted up to `most`."""
    found = rows(
        connection, "SELECT count(*) FROM (SELECT FROM pending LIMIT %(most)s) AS counted", most=most
    )
    return int(found[0][0])


def accepted_count(connection: sa.Connection) -> int:
    """How many commands were accepted since Postgres' statistics began, by those statistics: they are about a
    second late, and count what was rolled back."""
    found = rows(connection, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relid = 'journal'::regclass")
    return int(found[0][0])


class Troubles(NamedTuple):
    """What somebody should look at: commands that are dead, and that fail and are tried again; letters by
    state; paused tenants."""

    dead: int
    failing: int
    dead_letters: int
    held_letters: int
    paused: int


_TROUBLES = """
SELECT (SELECT count(*) FROM failures WHERE dead_at IS NOT NULL) AS dead,
       (SELECT count(*) FROM failures
        WHERE dead_at IS NULL AND (attempts > 0 OR waits_until IS NULL)) AS failing,
       (SELECT count(*) FROM dead_letters WHERE state = 'dead') AS dead_letters,
       (SELECT count(*) FROM dead_letters WHERE state = 'held') AS held_letters,
       (SELECT count(*) FROM paused_tenants) AS paused"""


def troubles(connection: sa.Connection) -> Troubles:
    """How many of each there are."""
    return Troubles(*rows(connection, _TROUBLES)[0])


class OpenRuns(NamedTuple):
    """Runs of a periodic job that are not finished: how many, what they have found so far, and the moment as
    of which the oldest runs."""

    job: str
    open: int
    found: int
    oldest_as_of: datetime


def open_runs(connection: sa.Connection) -> list[OpenRuns]:
    """Where the nightly jobs stand, those of paused tenants left out."""
    found = rows(
        connection,
        f"""SELECT job, count(*) AS open, coalesce(sum(found), 0)::bigint AS found, min(as_of) AS oldest
            FROM job_runs WHERE finished_at IS NULL AND tenant_id <> ALL ({PAUSED})
            GROUP BY job ORDER BY job""",  # noqa: S608  (ours)
    )
    return [OpenRuns(*row) for row in found]
