"""Queries about checks of the invariants: which one runs, and what the last ones found."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pointledger.client.given_ids import given_id
from pointledger.client.queries.base import Queries
from pointledger.client.queries.results import iso
from pointledger.ids import show_id
from pointledger.storage.database import read_only
from pointledger.storage.ledger import program
from pointledger.storage.queries.current import moment_of
from pointledger.storage.queue import verify_runs
from pointledger.storage.queue.verify_runs import ALL_TENANTS, VerifyRun

PAGE = 20
MOST_CHECKS = 100  # of a page


@dataclass(frozen=True, slots=True)
class Check:
    """A check of invariants. Moments are in ISO 8601."""

    id: str
    """The check's id."""
    state: Literal["waiting", "running", "sound", "broken", "given up"]
    """`waiting` until a worker begins. `broken`: invariants are violated. `given up`: `error` says why."""
    actor: str
    """The person or program that asked for it."""
    reason: str | None
    """Why it was asked for."""
    asked_at: str
    """When it was asked for."""
    started_at: str | None
    """When a worker began."""
    finished_at: str | None
    """When it ended."""
    seconds: float
    """How long it took, or has taken so far."""
    rows_done: int
    """Rows checked so far."""
    rows_known: int
    """An estimate of all rows; 0 before it began."""
    accounts: int
    """Accounts checked."""
    entries: int
    """Entries checked."""
    violations: int
    """The number of rows that violate an invariant."""
    findings: tuple[dict[str, Any], ...]
    """The violated invariants: `id`, `name`, `violations`, and `rows`, the first of them of this tenant."""
    error: str | None
    """Why it was given up."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The state of a tenant's checks."""

    current: Check | None
    """The one that waits or runs."""
    last: Check | None
    """The last one of this tenant that has ended."""
    last_of_all: Check | None
    """The last one of the whole ledger, as `pointledger verify` makes it. It also checks queue and events."""


class CheckQueries(Queries):
    """Queries about checks in one database."""

    def checks(self, tenant_id: str) -> Checks:
        """Read which check of the tenant runs, and the last results. Raises TenantMissing."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            now = moment_of(connection)
            newest = verify_runs.latest(connection, tenant_id, 1)
            last = verify_runs.latest(connection, tenant_id, 1, finished=True)
            last_of_all = verify_runs.latest(connection, ALL_TENANTS, 1, finished=True)
        is_open = bool(newest) and newest[0].finished_at is None
        return Checks(
            _check(newest[0], tenant_id, now) if is_open else None,
            _check(last[0], tenant_id, now) if last else None,
            _check(last_of_all[0], tenant_id, now) if last_of_all else None,
        )

    def past_checks(self, tenant_id: str, *, before: str | None = None, limit: int = PAGE) -> list[Check]:
        """Read a page of the tenant's checks, the latest first. `before`: the id of the last one of the page
        before. Raises TenantMissing, and InvalidCommand for a malformed id."""
        cursor = given_id("before", before) if before else None
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            now = moment_of(connection)
            limit = max(1, min(limit, MOST_CHECKS))
            found = verify_runs.latest(connection, tenant_id, limit, before=cursor)
        return [_check(run, tenant_id, now) for run in found]


def _check(run: VerifyRun, tenant_id: str, now: datetime) -> Check:
    began, ended = run.started_at or run.asked_at, run.finished_at or now
    return Check(
        id=show_id(run.id),
        state=_state(run),
        actor=run.actor,
        reason=run.reason,
        asked_at=iso(run.asked_at),
        started_at=iso(run.started_at) if run.started_at else None,
        finished_at=iso(run.finished_at) if run.finished_at else None,
        seconds=round(max((ended - began).total_seconds(), 0.0), 3),
        rows_done=run.rows_done,
        rows_known=run.rows_known,
        accounts=run.accounts,
        entries=run.entries,
        violations=run.violations,
        findings=tuple(found | {"rows": _own(found["rows"], tenant_id)} for found in run.findings),
        error=run.error,
    )


def _state(run: VerifyRun) -> Literal["waiting", "running", "sound", "broken", "given up"]:
    if run.error is not None:
        return "given up"
    if run.finished_at is not None:
        return "broken" if run.violations else "sound"
    return "running" if run.started_at else "waiting"


def _own(rows: list[dict[str, Any]], tenant_id: str) -> list[dict[str, Any]]:
    """Leave out rows that are another tenant's, or that do not say whose they are."""
    return [row for row in rows if row.get("tenant_id") == tenant_id]
