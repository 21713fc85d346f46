"""What waits, what has died, and whether anybody works."""

from datetime import datetime

import sqlalchemy as sa

from pointledger.client.backlog import Backlog
from pointledger.observability.doctor.findings import Finding, danger, fine, warning
from pointledger.settings import Settings
from pointledger.storage.events import outbox
from pointledger.storage.queries import health
from pointledger.storage.queue import callbacks, job_runs

_WAITS_SECONDS = 10.0  # a lost doorbell is found after two, a killed worker's lane goes on after ten
_LATE_SECONDS = 60.0  # who waits longer than this has been forgotten
_BEAT_SECONDS = 30.0  # beat asks every two seconds; a busy worker answers later
_RUN_SECONDS = 3600.0  # of a nightly job, after a tenant's midnight


def examine(connection: sa.Connection, settings: Settings, beat_seconds: float | None) -> list[Finding]:
    """All of it, of one moment. `beat_seconds`: when beat was last heard; None: nobody knows."""
    troubles = health.troubles(connection)
    return [
        _backlog(connection, settings),
        _lag(health.lags(connection)),
        beat(beat_seconds),
        _counted(
            "dead-commands",
            troubles.dead,
            "dead",
            "See why: pointledger dead list. When the cause is put right: pointledger dead retry.",
        ),
        _counted(
            "failing-commands",
            troubles.failing,
            "fail and are tried again",
            "Look into the workers' logs for command_failed.",
        ),
        _counted(
            "letters",
            troubles.dead_letters,
            "no commands",
            "See them: pointledger dead letters; when the cause is put right: pointledger dead replay.",
        ),
        _counted(
            "paused-tenants",
            troubles.paused,
            "paused; what is sent to them waits",
            "Let them go on when it is time: pointledger tenant resume.",
        ),
        _outbox(connection),
        _callbacks(connection),
        *_runs(connection),
    ]


def beat(seconds: float | None) -> Finding:
    """When beat was last heard by a worker."""
    remedy = "Start beat, celery -A schedules beat, and a worker that answers it."
    if seconds is None:
        return warning("beat", "was not heard within the hour", remedy)
    if seconds > _BEAT_SECONDS:
        return warning("beat", f"was last heard {seconds:.0f} s ago", remedy)
    return fine("beat", f"was last heard {seconds:.0f} s ago")


def _backlog(connection: sa.Connection, settings: Settings) -> Finding:
    stands = Backlog.look(connection, settings)
    seen = (
        f"{stands.waiting:,} wait, {stands.seconds:.0f} s at most; doors close at {settings.backlog_limit:,}"
    )
    if stands.is_full(settings):
        return danger(
            "backlog",
            f"{seen} or {settings.backlog_seconds:.0f} s: nothing is accepted",
            "Start more workers and look into their logs. The doors open by themselves.",
        )
    if stands.waiting > settings.backlog_limit // 2:
        return warning("backlog", seen, "Start more workers, or raise POINTLEDGER_BACKLOG_LIMIT.")
    return fine("backlog", seen)


def _lag(lags: dict[int, float]) -> Finding:
    if not lags:
        return fine("oldest-waiting", "nothing waits that may go")
    lane, seconds = max(lags.items(), key=lambda item: item[1])
    seen = f"lane {lane} has waited {seconds:.1f} s"
    if seconds <= _WAITS_SECONDS:
        return fine("oldest-waiting", seen)
    told = danger if seconds > _LATE_SECONDS else warning
    return told("oldest-waiting", seen, "Check that workers run (celery -A workers worker), and beat.")


def _counted(check: str, count: int, what: str, remedy: str) -> Finding:
    return warning(check, f"{count:,} {what}", remedy) if count else fine(check, "none")


def _outbox(connection: sa.Connection) -> Finding:
    found = outbox.status(connection)
    if not found.events:
        return fine("outbox", "nothing waits")
    seconds = found.oldest_seconds or 0
    seen = f"{found.events:,} events wait, {seconds:.0f} s at most"
    if seconds > _LATE_SECONDS:
        return warning(
            "outbox", seen, "Check that a relay runs (pointledger relay) and the broker of events."
        )
    return fine("outbox", seen)


def _callbacks(connection: sa.Connection) -> Finding:
    found = callbacks.status(connection)
    due = found.tasks + found.results
    if not due:
        return fine("callbacks", "none is due")
    seconds = found.oldest_seconds or 0
    seen = f"{found.tasks:,} tasks and {found.results:,} results are due, for {seconds:.0f} s at most"
    if found.failing:
        remedy = "See why: SELECT kind, message, error FROM callbacks WHERE error IS NOT NULL."
        return warning("callbacks", f"{seen}; {found.failing:,} could not be sent", remedy)
    if seconds > _LATE_SECONDS:
        return warning(
            "callbacks",
            seen,
            "Check that workers run, Celery's broker, and what POINTLEDGER_RESULT_URL names.",
        )
    return fine("callbacks", seen)


def _runs(connection: sa.Connection) -> list[Finding]:
    now = job_runs.now(connection)
    late = [run for run in health.open_runs(connection) if _seconds(now, run.oldest_as_of) > _RUN_SECONDS]
    if not late:
        return [fine("periodic-runs", "none is late")]
    remedy = "Check that beat and workers run; full lanes come first."
    return [
        warning(
            "periodic-runs", f"{run.job}: {run.open} open, since {run.oldest_as_of:%Y-%m-%d %H:%M}", remedy
        )
        for run in late
    ]


def _seconds(now: datetime, then: datetime) -> float:
    return (now - then).total_seconds()
