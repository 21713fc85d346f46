"""Reads what the doctor and the metrics report of Postgres: settings, privileges and pending work."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from pointledger.storage.database import rows
from pointledger.storage.queue.pauses import PAUSED
from pointledger.storage.queue.pending import OF_QUEUE, PENDING_COMMANDS, QUEUES, RUNNABLE, UNPAUSED
from pointledger.storage.sessions import QUIET


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


class SessionDefaults(NamedTuple):
    """What a session of this login has before the ledger changes it."""

    encoding: str  # of the database
    settings: dict[str, str]  # those that disturb the ledger, with their values
    limits_ms: dict[str, int]  # time-outs of the login or the database that are not off


_DEFAULTS = """
SELECT name, reset_val FROM pg_settings
WHERE name = ANY(%(quiet)s)
   OR (name = ANY(%(limits)s) AND reset_val <> '0')"""

_LIMITS = [
    "statement_timeout",
    "transaction_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
]


def session_defaults(connection: sa.Connection) -> SessionDefaults:
    """Read the settings that this login, its database or its URL gives to a session."""
    encoding = str(rows(connection, "SHOW server_encoding")[0][0])
    found = dict(rows(connection, _DEFAULTS, quiet=list(QUIET), limits=_LIMITS))
    return SessionDefaults(
        encoding,
        {name: found[name] for name, value in QUIET.items() if found.get(name, value) != value},
        {name: int(found[name]) for name in _LIMITS if name in found},
    )


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
_FIRST_RUNNABLE = f"""
SELECT j.tenant_id, j.accepted_at FROM {PENDING_COMMANDS}
WHERE p.lane = queues.lane AND {OF_QUEUE.format(queue="queues")} AND j.seq = p.seq AND {RUNNABLE}
ORDER BY p.tenant_hash, p.seq LIMIT 1"""  # noqa: S608  (constants only)

_LAGS = f"""
WITH RECURSIVE {QUEUES}
SELECT queues.lane, max(extract(epoch FROM clock_timestamp() - first.accepted_at))::float8 AS seconds
FROM queues CROSS JOIN LATERAL ({_FIRST_RUNNABLE}) AS first
WHERE {UNPAUSED}
GROUP BY queues.lane ORDER BY queues.lane"""  # noqa: S608  (constants only)


def lags(connection: sa.Connection) -> dict[int, float]:
    """Return the age in seconds of the oldest runnable command of each lane that has one."""
    return dict(rows(connection, _LAGS))


class Waiting(NamedTuple):
    """How many commands of a tenant are pending, and for how many seconds the first runnable one is."""

    commands: int
    seconds: float


# The first row of a queue names its tenant, also if the tenant is paused.
_BY_TENANT = f"""
WITH RECURSIVE {QUEUES},
counted AS (
    SELECT tenant_hash, count(*) AS commands
    FROM (SELECT tenant_hash FROM pending LIMIT %(most)s) AS counting GROUP BY tenant_hash),
named AS (
    SELECT queues.tenant_hash, head.tenant_id, first.accepted_at
    FROM queues CROSS JOIN LATERAL (
        SELECT j.tenant_id FROM {PENDING_COMMANDS}
        WHERE p.lane = queues.lane AND {OF_QUEUE.format(queue="queues")}
        ORDER BY p.tenant_hash, p.seq LIMIT 1) AS head
    LEFT JOIN LATERAL ({_FIRST_RUNNABLE}) AS first ON {UNPAUSED})
SELECT max(named.tenant_id) AS tenant_id, max(counted.commands) AS commands,
       coalesce(max(extract(epoch FROM clock_timestamp() - named.accepted_at)), 0)::float8 AS seconds
FROM counted JOIN named USING (tenant_hash) GROUP BY tenant_hash"""  # noqa: S608  (constants only)


def waiting_by_tenant(connection: sa.Connection, most: int) -> dict[str, Waiting]:
    """Return what is pending of each tenant, paused and failing commands included; counts at most `most`."""
    found = rows(connection, _BY_TENANT, most=most)
    return {row.tenant_id: Waiting(row.commands, row.seconds) for row in found}


def accepted_count(connection: sa.Connection) -> int:
    """Return how many commands were accepted since Postgres began its statistics.

    The statistics are about a second late, and they count rows that were rolled back.
    """
    found = rows(connection, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relid = 'journal'::regclass")
    return int(found[0][0])


class LockingSession(NamedTuple):
    """A session that holds locks on the ledger's tables. `seconds` of its transaction; None if Postgres hides
    them, as it does of other roles from a role without `pg_read_all_stats`."""

    pid: int
    role: str
    application: str
    seconds: float | None


_LOCKING = """
SELECT DISTINCT s.pid, s.usename, s.application_name,
       extract(epoch FROM clock_timestamp() - s.xact_start)::float8 AS seconds
FROM pg_stat_activity s JOIN pg_locks l ON l.pid = s.pid AND l.granted AND l.locktype = 'relation'
WHERE s.datname = current_database() AND s.pid <> pg_backend_pid()
  AND coalesce(s.xact_start < clock_timestamp() - %(seconds)s * interval '1 second', true)
  AND l.relation IN ('accounts'::regclass, 'lots'::regclass, 'lanes'::regclass, 'journal'::regclass,
                     'pending'::regclass, 'outcomes'::regclass)
  AND l.mode <> 'AccessShareLock'
ORDER BY seconds DESC LIMIT 5"""


def locking_sessions(connection: sa.Connection, seconds: float) -> list[LockingSession]:
    """Return sessions that may delay commands: their transactions have held locks for so long."""
    return [LockingSession(*row) for row in rows(connection, _LOCKING, seconds=seconds)]


_COUNTED = 100_000  # beyond this the exact number does not matter, and counting takes too long


class Troubles(NamedTuple):
    """Counts of what an operator should check, each up to 100,000."""

    dead: int
    failing: int  # commands that failed and are retried
    dead_letters: int
    deferred_messages: int
    paused: int


_TROUBLES = """
SELECT (SELECT count(*) FROM (SELECT FROM failures WHERE dead_at IS NOT NULL LIMIT %(most)s) AS found)
           AS dead,
       (SELECT count(*) FROM failures
        WHERE dead_at IS NULL AND (attempts > 0 OR waits_until IS NULL)) AS failing,
       (SELECT count(*) FROM (SELECT FROM dead_letters WHERE state = 'dead' LIMIT %(most)s) AS found)
           AS dead_letters,
       (SELECT count(*) FROM (SELECT FROM dead_letters WHERE state = 'deferred' LIMIT %(most)s) AS found)
           AS deferred_messages,
       (SELECT count(*) FROM paused_tenants) AS paused"""


def troubles(connection: sa.Connection) -> Troubles:
    """Count dead and failing commands, dead letters, deferred messages and paused tenants."""
    return Troubles(*rows(connection, _TROUBLES, most=_COUNTED)[0])


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
