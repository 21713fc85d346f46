"""Checks pending, failing and dead work, and whether workers, beat and relays run."""

import heapq
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from pointledger.client.backlog import Backlog, BacklogStatus
from pointledger.observability.doctor.findings import Finding, danger, fine, warning
from pointledger.settings import Settings
from pointledger.storage.events import outbox
from pointledger.storage.queries import health
from pointledger.storage.queue import callbacks, job_runs

_SHOWN_TENANTS = 3
_LOCK_SECONDS = 10.0  # far longer than a batch holds a row
_LAG_SECONDS = 10.0  # a lost doorbell costs two seconds, a killed worker ten
_LATE_SECONDS = 60.0  # the ledger does not recover from longer waits by itself
_BEAT_SECONDS = 30.0  # beat sends every two seconds; a busy worker receives later
_RUN_SECONDS = 3600.0  # for a nightly job, after the tenant's midnight


def examine(connection: sa.Connection, settings: Settings, beat_seconds: float | None) -> list[Finding]:
    """Check everything in one snapshot. `beat_seconds`: the age of the last heartbeat; None if unknown."""
    troubles = health.troubles(connection)
    return [
        _backlog(connection, settings),
        _lag(health.lags(connection)),
        _locks(connection),
        beat(beat_seconds),
        _counted(
            "dead-commands",
            troubles.dead,
            "dead",
            "Run pointledger dead list. Fix the cause, then run pointledger dead retry.",
        ),
        _counted(
            "failing-commands",
            troubles.failing,
            "failing, retried automatically",
            "Search the workers' logs for command_failed.",
        ),
        _counted(
            "dead-letters",
            troubles.dead_letters,
            "messages that are no command",
            "Run pointledger dead-letters list. Fix the cause, then run pointledger dead-letters replay.",
        ),
        _counted(
            "paused-tenants",
            troubles.paused,
            "paused; their commands wait",
            "When they may continue, run pointledger tenant resume.",
        ),
        _outbox(connection),
        _callbacks(connection),
        *_runs(connection),
    ]


def beat(seconds: float | None) -> Finding:
    """Check the age of beat's last heartbeat, which a worker records."""
    remedy = "Start beat (pointledger beat) and a worker (pointledger worker)."
    if seconds is None:
        return warning("beat", "no heartbeat for an hour", remedy)
    seen = f"last heartbeat {seconds:.0f} s ago"
    return warning("beat", seen, remedy) if seconds > _BEAT_SECONDS else fine("beat", seen)


def _backlog(connection: sa.Connection, settings: Settings) -> Finding:
    status = Backlog.measure(connection, settings)
    return replace(_backlog_of(status, settings), tenants=frozenset({*status.tenants, *status.full_tenants}))


def _backlog_of(status: BacklogStatus, settings: Settings) -> Finding:
    limits = f"{settings.backlog_limit:,} or {settings.backlog_seconds:.0f} s"
    seen = f"{status.waiting:,} pending, oldest {status.seconds:.0f} s; limit {limits}"
    largest = heapq.nlargest(_SHOWN_TENANTS, status.tenants.items(), key=lambda item: item[1].commands)
    if largest:
        seen += f"; most of {', '.join(f'{tenant_id} ({of.commands:,})' for tenant_id, of in largest)}"
    if status.is_full:
        return danger(
            "backlog",
            f"{seen}: new commands of tenants with a backlog are not accepted",
            "Start more workers and check their logs. Acceptance resumes when the backlog shrinks.",
        )
    if full := sorted(status.full_tenants):
        names = ", ".join(full[:_SHOWN_TENANTS])
        return danger(
            "backlog",
            f"{seen}: new commands of {names} are not accepted",
            "Resume the tenant if it is paused, start more workers, or raise POINTLEDGER_BACKLOG_SHARE.",
        )
    if status.waiting > settings.backlog_limit // 2:
        return warning("backlog", seen, "Start more workers, or raise POINTLEDGER_BACKLOG_LIMIT.")
    return fine("backlog", seen)


def _lag(lags: dict[int, float]) -> Finding:
    if not lags:
        return fine("oldest-waiting", "no command is ready to run")
    lane, seconds = max(lags.items(), key=lambda item: item[1])
    seen = f"a command in lane {lane} has waited {seconds:.1f} s"
    if seconds <= _LAG_SECONDS:
        return fine("oldest-waiting", seen)
    finding = danger if seconds > _LATE_SECONDS else warning
    return finding("oldest-waiting", seen, "Check that workers (pointledger worker) and beat run.")


def _locks(connection: sa.Connection) -> Finding:
    found = health.locking_sessions(connection, _LOCK_SECONDS)
    if not found:
        return fine("row-locks", "no session holds the ledger's rows for long")
    sessions = "; ".join(
        f"pid {one.pid}, role {one.role}, {one.application or 'without a name'}"
        + ("" if one.seconds is None else f", for {one.seconds:.0f} s")
        for one in found
    )
    remedy = "End that transaction, or: SELECT pg_terminate_backend(pid). Commands of its users wait."
    return warning("row-locks", sessions, remedy)


def _counted(check: str, count: int, what: str, remedy: str) -> Finding:
    return warning(check, f"{count:,} {what}", remedy) if count else fine(check, "none")


def _outbox(connection: sa.Connection) -> Finding:
    found = outbox.status(connection)
    if not found.events:
        return fine("outbox", "no event is pending")
    seconds = found.oldest_seconds or 0
    seen = f"{found.events:,} events pending, oldest {seconds:.0f} s"
    if seconds > _LATE_SECONDS:
        return warning(
            "outbox",
            seen,
            "Check that a relay (pointledger relay) and the events broker run, and that "
            "consumers take events from its queue.",
        )
    return fine("outbox", seen)


def _callbacks(connection: sa.Connection) -> Finding:
    found = callbacks.status(connection)
    due = found.tasks + found.results
    if not due:
        return fine("callbacks", "none due")
    seconds = found.oldest_seconds or 0
    seen = f"{found.tasks:,} tasks and {found.results:,} results due, oldest {seconds:.0f} s"
    if found.failing:
        remedy = "Read the errors: SELECT kind, message, error FROM callbacks WHERE error IS NOT NULL."
        return warning("callbacks", f"{seen}; {found.failing:,} failed", remedy)
    if seconds > _LATE_SECONDS:
        remedy = "Check that workers and Celery's broker run, and check POINTLEDGER_RESULT_URL."
        return warning("callbacks", seen, remedy)
    return fine("callbacks", seen)


def _runs(connection: sa.Connection) -> list[Finding]:
    now = job_runs.now(connection)
    late = [run for run in health.open_runs(connection) if _seconds(now, run.oldest_as_of) > _RUN_SECONDS]
    if not late:
        return [fine("periodic-runs", "none late")]
    remedy = "Check that beat and workers run. A job waits while its lanes are busy."
    return [
        warning(
            "periodic-runs", f"{run.job}: {run.open} open, since {run.oldest_as_of:%Y-%m-%d %H:%M}", remedy
        )
        for run in late
    ]


def _seconds(now: datetime, then: datetime) -> float:
    return (now - then).total_seconds()
