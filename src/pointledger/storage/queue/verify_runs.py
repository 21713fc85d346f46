"""Checks of the invariants that people asked for: one at a time per tenant, with progress and result."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.values.actor import Actor
from pointledger.ids import new_id
from pointledger.storage.database import rows, run

ALL_TENANTS = ""  # instead of a tenant's id: the whole ledger
_LEASE_SECONDS = 60  # then another worker continues the check of one that died
_ERROR_CHARACTERS = 2_000  # enough to diagnose, too little to fill a disk


class VerifyRun(NamedTuple):
    """A check, and how far it is. `attempts` counts pieces that began and have not ended well."""

    id: UUID
    tenant_id: str
    actor: str
    reason: str | None
    asked_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    leased_until: datetime
    attempts: int
    walk: str | None
    after: list[str] | None
    rows_done: int
    rows_known: int
    accounts: int
    entries: int
    violations: int
    findings: list[dict[str, Any]]
    error: str | None


class Progress(NamedTuple):
    """How far a check is after a piece of it."""

    walk: str | None
    after: list[str]
    rows_done: int
    rows_known: int
    accounts: int
    entries: int
    violations: int
    findings: list[dict[str, Any]]


_COLUMNS = ", ".join(VerifyRun._fields)

_ASK = """
INSERT INTO verify_runs (id, tenant_id, actor, reason)
VALUES (%(id)s, %(tenant)s, %(actor)s, %(reason)s)
ON CONFLICT (tenant_id) WHERE finished_at IS NULL DO NOTHING"""


def ask(connection: sa.Connection, tenant_id: str, actor: Actor) -> bool:
    """Ask for a check of the tenant. Return False if one is asked for or runs already."""
    about = {"tenant": tenant_id, "actor": actor.name, "reason": actor.reason}
    return bool(run(connection, _ASK, id=new_id(), **about))


_TAKE = f"""
UPDATE verify_runs AS taken
SET leased_until = clock_timestamp() + %(lease)s * interval '1 second', attempts = taken.attempts + 1,
    started_at = coalesce(taken.started_at, clock_timestamp())
FROM (SELECT id FROM verify_runs
      WHERE finished_at IS NULL AND NOT EXISTS (
          SELECT FROM verify_runs b WHERE b.finished_at IS NULL AND b.leased_until > clock_timestamp())
      ORDER BY leased_until LIMIT 1 FOR UPDATE SKIP LOCKED) AS next
WHERE taken.id = next.id
RETURNING {", ".join(f"taken.{name}" for name in VerifyRun._fields)}"""  # noqa: S608  (constants only)


def take(connection: sa.Connection) -> VerifyRun | None:
    """Lease the check that has waited longest, for a minute, unless a worker has one."""
    found = rows(connection, _TAKE, lease=_LEASE_SECONDS)
    return VerifyRun(*found[0]) if found else None


_SAVE = """
UPDATE verify_runs
SET leased_until = clock_timestamp(), attempts = 0, walk = %(walk)s, after = %(after)s::json,
    rows_done = %(rows_done)s, rows_known = %(rows_known)s, accounts = %(accounts)s, entries = %(entries)s,
    violations = %(violations)s, findings = %(findings)s::json,
    finished_at = CASE WHEN %(walk)s::text IS NULL THEN clock_timestamp() END
WHERE id = %(id)s AND finished_at IS NULL AND leased_until = %(lease)s"""


def save(connection: sa.Connection, taken: VerifyRun, progress: Progress) -> bool:
    """Release a check with its progress; it is finished if no walk is left.

    Return False and change nothing if another worker has taken it since.
    """
    values = progress._asdict() | {
        "after": orjson.dumps(progress.after).decode(),
        "findings": orjson.dumps(progress.findings).decode(),
    }
    return bool(run(connection, _SAVE, id=taken.id, lease=taken.leased_until, **values))


def give_up(connection: sa.Connection, taken: VerifyRun, error: str) -> None:
    """End a check that cannot be finished."""
    run(
        connection,
        """UPDATE verify_runs SET finished_at = clock_timestamp(), error = %(error)s
           WHERE id = %(id)s AND finished_at IS NULL""",
        id=taken.id,
        error=error[:_ERROR_CHARACTERS].replace("\x00", ""),
    )


_RECORD = """
INSERT INTO verify_runs (id, tenant_id, actor, reason, asked_at, started_at, finished_at, rows_done,
                         rows_known, accounts, entries, violations, findings)
SELECT %(id)s, %(tenant)s, %(actor)s, %(reason)s, began, began, now, %(rows_done)s, %(rows_done)s,
       %(accounts)s, %(entries)s, %(violations)s, %(findings)s::json
FROM (SELECT now, now - %(seconds)s * interval '1 second' AS began
      FROM clock_timestamp() AS now) AS moments"""


def record(
    connection: sa.Connection,
    tenant_id: str,
    actor: Actor,
    seconds: float,
    *,
    accounts: int,
    entries: int,
    violations: int,
    findings: list[dict[str, Any]],
) -> None:
    """Record a check that another program has done, which took so long and ends now."""
    run(
        connection,
        _RECORD,
        id=new_id(),
        tenant=tenant_id,
        actor=actor.name,
        reason=actor.reason,
        seconds=seconds,
        rows_done=accounts + entries,
        accounts=accounts,
        entries=entries,
        violations=violations,
        findings=orjson.dumps(findings).decode(),
    )


_FOUND = f"""
SELECT {_COLUMNS} FROM verify_runs
WHERE tenant_id = %(tenant)s AND (%(before)s::uuid IS NULL OR id < %(before)s)
  AND (finished_at IS NOT NULL OR NOT %(finished)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608  (constants only)


def latest(
    connection: sa.Connection,
    tenant_id: str,
    limit: int,
    *,
    before: UUID | None = None,
    finished: bool = False,
) -> list[VerifyRun]:
    """Return checks of the tenant, or of the whole ledger, the latest first."""
    found = rows(connection, _FOUND, tenant=tenant_id, before=before, finished=finished, limit=limit)
    return [VerifyRun(*row) for row in found]
