"""Defines the Celery tasks, which call the engine and the periodic jobs.

Their names are contracts (`messaging/contract.py`).
"""

from typing import Any

from celery import Task
from celery.exceptions import Ignore, WorkerShutdown, WorkerTerminate

from pointledger.jobs.reminders import SEND_EXPIRY_REMINDERS
from pointledger.jobs.scheduler import EXPIRE_POINTS, RESET_DAILY_LIMITS
from pointledger.logs import Log
from pointledger.messaging import contract
from pointledger.observability import counters
from pointledger.storage.queue import pending
from pointledger.storage.queue.lanes import terminate_stalled

from .celery import app, settings
from .runtime import runtime

_LOST_AFTER_SECONDS = 2.0  # workers receive a doorbell within milliseconds, so this one was lost

_log = Log("pointledger.workers")


class LedgerTask(Task):
    """A task whose messages and bugs cannot stop the worker."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if any(getattr(self.request, name, None) for name in ("callbacks", "errbacks", "chain", "chord")):
            # The worker would publish the callbacks of the message with its own rights.
            _log.error("message_refused", action="task", task=self.name, rule="no callbacks")
            raise Ignore
        try:
            return self.run(*args, **kwargs)
        except (WorkerShutdown, WorkerTerminate):
            raise
        except MemoryError as error:
            raise RuntimeError("out of memory") from error  # Celery would stop the worker, and the next one
        except Exception:
            raise
        except BaseException as error:
            raise RuntimeError(f"{type(error).__name__} in a task") from error


app.Task = LedgerTask


@app.task(name=contract.DRAIN_TASK)
def drain(lane: int) -> None:
    """Apply the pending commands of a lane. Beat rings again for those that must wait."""
    runtime().engine.drain(lane)


@app.task(name=contract.RING_TASK)
def ring_waiting_lanes() -> None:
    """Ring every lane whose commands have waited too long, and end transactions of stalled processes."""
    runtime().doorbells.record_beat()
    with runtime().database.connect() as connection:
        if stalled := terminate_stalled(connection, settings.lock_ttl_ms):
            _log.warning("stalled_transactions_terminated", action="ring", transactions=stalled)
        lanes = pending.waiting_lanes(connection, _LOST_AFTER_SECONDS)
        ready = pending.full_lanes(connection, lanes, 0) if lanes else []
    if ready and (lost := runtime().doorbells.lost(ready)):
        counters.LOST_DOORBELLS.inc(len(lost))
        _log.warning("doorbells_lost", action="ring", lanes=len(lost))
    runtime().doorbells.ring(lanes, force=True)


@app.task(name=contract.EXPIRE_POINTS_TASK)
def expire_points() -> None:
    """Expire points that were due at each tenant's last midnight, one piece per task so that others run."""
    scheduler = runtime().scheduler
    scheduler.open_runs(EXPIRE_POINTS)
    if scheduler.expire_points():
        expire_points.apply_async()


@app.task(name=contract.ACTIVATE_POINTS_TASK)
def activate_points() -> None:
    """Activate pending points that are due."""
    runtime().scheduler.activate_points()


@app.task(name=contract.RELEASE_HOLDS_TASK)
def release_holds() -> None:
    """Release holds that have timed out."""
    runtime().scheduler.release_holds()


@app.task(name=contract.SEND_EXPIRY_REMINDERS_TASK)
def send_expiring() -> None:
    """Send reminders of points that expire soon, one page per task so that others run."""
    runtime().scheduler.open_runs(SEND_EXPIRY_REMINDERS, from_today=True)
    if runtime().reminders.send_expiring():
        send_expiring.apply_async()


@app.task(name=contract.FINISH_ERASURES_TASK)
def finish_erasures() -> None:
    """Redact erased users in the journal."""
    runtime().scheduler.finish_erasures()


@app.task(name=contract.RESET_LIMITS_TASK)
def reset_daily_limits() -> None:
    """Close the daily windows that ended at each tenant's midnight."""
    scheduler = runtime().scheduler
    scheduler.open_runs(RESET_DAILY_LIMITS)
    while scheduler.reset_daily_limits():
        pass


@app.task(name=contract.SUM_UP_DAYS_TASK)
def sum_up_days() -> None:
    """Sum up the entries of each tenant's days, some seconds per task so that others run."""
    if runtime().day_totals.sum_up():
        sum_up_days.apply_async()


@app.task(name=contract.VERIFY_TASK)
def verify() -> None:
    """Go on with a check of invariants that a person asked for, for a second. Beat sends the next message."""
    runtime().checks.go_on()
