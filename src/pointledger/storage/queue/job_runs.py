"""Runs of periodic jobs, and the queries that find what is due.

There is one row per job, tenant and local date, so any number of beat processes create one run.
"""

from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.program.tenant import Tenant
from pointledger.storage.database import rows, run
from pointledger.storage.queue.pauses import PAUSED

_LEASE_SECONDS = 60  # then another worker continues the run of one that died


class Run(NamedTuple):
    """A job's run for one tenant and local date, and its progress."""

    job: str
    tenant_id: str
    local_date: date
    as_of: datetime
    reached_expiry: datetime | None
    reached_user: str
    found: int


def now(connection: sa.Connection) -> datetime:
    """Read the database's clock, the only one that decides."""
    moment: datetime = rows(connection, "SELECT clock_timestamp()")[0][0]
    return moment


def last_dates(connection: sa.Connection, job: str) -> dict[str, date]:
    """Return the latest local date for which each tenant has a run of the job."""
    found = rows(
        connection,
        "SELECT tenant_id, max(local_date) FROM job_runs WHERE job = %(job)s GROUP BY tenant_id",
        job=job,
    )
    return {row[0]: row[1] for row in found}


def open_run(connection: sa.Connection, job: str, tenant_id: str, local_date: date, as_of: datetime) -> int:
    """Create the run; return 1, or 0 if it exists."""
    return run(
        connection,
        """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until)
           VALUES (%(job)s, %(tenant)s, %(date)s, %(as_of)s, clock_timestamp()) ON CONFLICT DO NOTHING""",
        job=job,
        tenant=tenant_id,
        date=local_date,
        as_of=as_of,
    )


_TAKE_RUN = f"""
UPDATE job_runs AS taken SET leased_until = clock_timestamp() + %(lease)s * interval '1 second'
FROM (SELECT job, tenant_id, local_date FROM job_runs
      WHERE job = %(job)s AND finished_at IS NULL AND leased_until <= clock_timestamp()
        AND tenant_id <> ALL ({PAUSED})
      ORDER BY as_of, tenant_id LIMIT 1 FOR UPDATE SKIP LOCKED) AS next
WHERE (taken.job, taken.tenant_id, taken.local_date) = (next.job, next.tenant_id, next.local_date)
RETURNING taken.job, taken.tenant_id, taken.local_date, taken.as_of,
          nullif(taken.reached_expiry, '-infinity'), taken.reached_user, taken.found"""  # noqa: S608  (constants only)


def take_run(connection: sa.Connection, job: str) -> Run | None:
    """Lease the job's oldest unfinished run that no worker has, skipping paused tenants, for a minute."""
    found = rows(connection, _TAKE_RUN, job=job, lease=_LEASE_SECONDS)
    return Run(*found[0]) if found else None


_PUT_BACK = """
UPDATE job_runs SET leased_until = clock_timestamp(), found = found + %(found)s,
    reached_expiry = coalesce(%(expiry)s, reached_expiry),
    reached_user = CASE WHEN %(finished)s THEN '' ELSE %(user)s END,
    finished_at = CASE WHEN %(finished)s THEN clock_timestamp() END
WHERE job = %(job)s AND tenant_id = %(tenant)s AND local_date = %(date)s"""


def put_back(
    connection: sa.Connection,
    taken: Run,
    reached: "DueAccount | None" = None,
    *,
    found: int = 0,
    finished: bool = False,
) -> None:
    """Release a run with its progress, or mark it finished."""
    run(
        connection,
        _PUT_BACK,
        job=taken.job,
        tenant=taken.tenant_id,
        date=taken.local_date,
        expiry=reached.next_expiry_at if reached else taken.reached_expiry,
        user=reached.user_id if reached else taken.reached_user,
        found=found,
        finished=finished,
    )


# ------------------------------------------------------------------------------------------ what is due


class DueAccount(NamedTuple):
    """A user and the next expiry of the user's lots."""

    next_expiry_at: datetime
    user_id: str


_DUE = """
SELECT next_expiry_at, user_id FROM accounts
WHERE tenant_id = %(tenant)s AND status <> 'closed' AND next_expiry_at <= %(as_of)s
  AND NOT expiry_exempt AND coalesce(expires_not_before <= %(as_of)s, true)
  AND (next_expiry_at, user_id) > (coalesce(%(after)s::timestamptz, '-infinity'), %(after_user)s)
ORDER BY next_expiry_at, user_id LIMIT %(limit)s"""


def due(
    connection: sa.Connection,
    tenant_id: str,
    as_of: datetime,
    after: tuple[datetime | None, str],
    limit: int,
) -> list[DueAccount]:
    """Return a page of users with due lots after this position, the earliest expiry first."""
    found = rows(
        connection, _DUE, tenant=tenant_id, as_of=as_of, after=after[0], after_user=after[1], limit=limit
    )
    return [DueAccount(*row) for row in found]


class ActivationDue(NamedTuple):
    """A user and the next activation of the user's pending lots."""

    next_activation_at: datetime
    user_id: str
    account_id: UUID


_ACTIVATIONS_DUE = """
SELECT next_activation_at, user_id, id FROM accounts
WHERE tenant_id = %(tenant)s AND status <> 'closed' AND next_activation_at <= statement_timestamp()
  AND (next_activation_at, user_id) > (coalesce(%(after)s::timestamptz, '-infinity'), %(after_user)s)
ORDER BY next_activation_at, user_id LIMIT %(limit)s"""


def activations_due(
    connection: sa.Connection, tenant_id: str, after: tuple[datetime | None, str], limit: int
) -> list[ActivationDue]:
    """Return a page of users with due pending lots after this position, the earliest first."""
    found = rows(
        connection, _ACTIVATIONS_DUE, tenant=tenant_id, after=after[0], after_user=after[1], limit=limit
    )
    return [ActivationDue(*row) for row in found]


class HoldDue(NamedTuple):
    """A hold that has timed out, with its tenant and user."""

    expires_at: datetime
    tenant_id: str
    id: UUID
    user_id: str


BEFORE_ANY_HOLD = (datetime.min.replace(tzinfo=UTC), "", UUID(int=0))

_HOLDS_DUE = """
SELECT h.expires_at, h.tenant_id, h.id, a.user_id
FROM holds h JOIN accounts a ON a.tenant_id = h.tenant_id AND a.id = h.account_id
WHERE h.state = 'open' AND h.expires_at <= statement_timestamp()
  AND (h.expires_at, h.tenant_id, h.id) > (%(moment)s, %(tenant)s, %(id)s)
ORDER BY h.expires_at, h.tenant_id, h.id LIMIT %(limit)s"""


def holds_due(connection: sa.Connection, after: tuple[Any, ...], limit: int) -> list[HoldDue]:
    """Return a page of holds that have timed out after this position, the earliest first."""
    moment, tenant, hold_id = after
    found = rows(connection, _HOLDS_DUE, moment=moment, tenant=tenant, id=hold_id, limit=limit)
    return [HoldDue(*row) for row in found]


# ---------------------------------------------------------------------------------------------- windows

_CLOSE = """
INSERT INTO closed_windows (tenant_id, local_date, users, points, shared)
SELECT %(tenant)s, %(day)s, count(DISTINCT user_id), coalesce(sum(points), 0),
       (SELECT coalesce(json_agg(json_build_object('meter', meter, 'points', points, 'times', times)
                                 ORDER BY meter), '[]')
        FROM shared_usage WHERE tenant_id = %(tenant)s AND period = 'day' AND starts_on = %(day)s)
FROM usage WHERE tenant_id = %(tenant)s AND period = 'day' AND starts_on = %(day)s
  AND meter NOT IN ('earn', 'spend')  -- these count the same points again, over all rules
ON CONFLICT DO NOTHING"""


def waits_since(connection: sa.Connection, tenant_id: str) -> datetime | None:
    """Return when the tenant's oldest command that is pending or dead was accepted."""
    found = rows(
        connection,
        """SELECT min(j.accepted_at) FROM journal j
           WHERE j.id IN (SELECT id FROM pending UNION ALL SELECT id FROM failures)
             AND j.tenant_id = %(tenant)s""",
        tenant=tenant_id,
    )
    moment: datetime | None = found[0][0]
    return moment


def close_windows(connection: sa.Connection, tenant: Tenant, day: date) -> int:
    """Close the tenant's daily windows of a day that has ended; return 1, or 0 if they are closed."""
    return run(connection, _CLOSE, tenant=tenant.tenant_id, day=day)


_ENDED = """
tenant_id = %(tenant)s AND starts_on < %(before)s AND (
    period = 'day' OR (period = 'week' AND starts_on + 7 <= %(before)s)
    OR (period = 'month' AND starts_on + interval '1 month' <= %(before)s))"""

_PRUNE = f"DELETE FROM usage WHERE {_ENDED}"  # noqa: S608  (constants only)
_PRUNE_SHARED = f"DELETE FROM shared_usage WHERE {_ENDED}"  # noqa: S608  (constants only)


def prune_usage(connection: sa.Connection, tenant: Tenant, before: date) -> int:
    """Delete the usage of windows, also shared ones, that ended before a day; return the number of rows.

    The caller makes sure that no command can count in them anymore.
    """
    about = {"tenant": tenant.tenant_id, "before": before}
    return run(connection, _PRUNE, **about) + run(connection, _PRUNE_SHARED, **about)
