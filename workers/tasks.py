"""The tasks: one line each to the engine, the journal or the sweep.

Names are contracts (`messaging/contract.py`).
"""

from typing import Any

from celery import Task
from celery.exceptions import Ignore, WorkerShutdown, WorkerTerminate

from pointledger.jobs.reminders import TELL_EXPIRING
from pointledger.jobs.scheduler import EXPIRE_POINTS, RESET_DAILY_LIMITS
from pointledger.logs import Log
from pointledger.messaging import contract
from pointledger.observability import counters
from pointledger.storage.queue import journal
from pointledger.storage.queue.lanes import end_frozen
from workers.celery import app, settings
from workers.machine import machine

_WAITED_TOO_LONG_SECONDS = 2.0  # a doorbell is answered in milliseconds; this lane's was lost

_log = Log("pointledger.workers")


class LedgerTask(Task):
    """A task that no message and no bug can take the worker down with."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if any(getattr(self.request, name, None) for name in ("callbacks", "errbacks", "chain", "chord")):
            # The worker would publish what the message carries, with its own rights.
            _log.error("message_refused", action="task", task=self.name, rule="no callbacks")
            raise Ignore
        try:
            return self.run(*args, **kwargs)
        except (WorkerShutdown, WorkerTerminate):
            raise
        except MemoryError as error:
            raise RuntimeError("out of memory") from error  # Celery would end the worker, and the next one
        except Exception:
            raise
        except BaseException as error:
            raise RuntimeError(f"{type(error).__name__} in a task") from error


app.Task = LedgerTask


@app.task(name=contract.DRAIN_TASK)
def drain(lane: int) -> None:
    """Applies what waits in a lane. What cannot be done now, the beat rings for."""
    machine().engine.drain(lane)


@app.task(name=contract.RING_TASK)
def ring_waiting_lanes() -> None:
    """Rings every lane in which something has waited too long, whatever its doorbell says; and ends what
    holds a lane although its process stands still."""
    machine().doorbells.hear_beat()
    with machine().database.connect() as connection:
        if frozen := end_frozen(connection, settings.lock_ttl_ms):
            _log.warning("frozen_transactions_ended", action="ring", transactions=frozen)
        lanes = journal.waiting_lanes(connection, _WAITED_TOO_LONG_SECONDS)
        may_go = journal.full_lanes(connection, lanes, 0) if lanes else []
    if may_go and (unheard := machine().doorbells.unheard(may_go)):
        counters.RESCUED.inc(len(unheard))
        _log.warning("lanes_rescued", action="ring", lanes=len(unheard))
    machine().doorbells.ring(lanes, whatever_the_door_says=True)


@app.task(name=contract.EXPIRE_POINTS_TASK)
def expire_points() -> None:
    """Expires what is due at each tenant's last midnight, a piece at a time: commands go in between."""
    sweep = machine().sweep
    sweep.open_runs(EXPIRE_POINTS)
    if sweep.expire_points():
        expire_points.apply_async()


@app.task(name=contract.ACTIVATE_POINTS_TASK)
def activate_points() -> None:
    """Makes pending points available whose moment has come."""
    machine().sweep.activate_points()


@app.task(name=contract.RELEASE_HOLDS_TASK)
def release_holds() -> None:
    """Releases the holds that have timed out."""
    machine().sweep.release_holds()


@app.task(name=contract.TELL_EXPIRING_TASK)
def tell_expiring() -> None:
    """Tells whose points expire soon, a page at a time: commands go in between."""
    machine().sweep.open_runs(TELL_EXPIRING, from_today=True)
    if machine().notify.tell_expiring():
        tell_expiring.apply_async()


@app.task(name=contract.FINISH_ERASURES_TASK)
def finish_erasures() -> None:
    """Takes users who were erased out of what the journal still says of them."""
    machine().sweep.finish_erasures()


@app.task(name=contract.RESET_LIMITS_TASK)
def reset_daily_limits() -> None:
    """Closes the daily windows that ended with each tenant's midnight."""
    sweep = machine().sweep
    sweep.open_runs(RESET_DAILY_LIMITS)
    while sweep.reset_daily_limits():
        pass
