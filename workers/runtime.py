"""Creates the objects of a worker process on first use, because connections do not survive a fork."""

import atexit
import gc
import os
import threading
import time
from dataclasses import dataclass
from functools import lru_cache, partial

from sqlalchemy import Engine as Database

from pointledger.client.acceptor import Acceptance
from pointledger.client.backlog import Backlog
from pointledger.engine.drain import Engine
from pointledger.engine.locks import Locks
from pointledger.jobs.day_totals import DayTotals
from pointledger.jobs.reminders import ExpiryReminders
from pointledger.jobs.scheduler import JobScheduler
from pointledger.jobs.verifying import TenantChecks
from pointledger.messaging import redis_client
from pointledger.messaging.doorbell import Doorbells
from pointledger.observability.counters import CounterFlusher
from pointledger.storage.database import bounded_engine_for, engine_for, limited_engine_for

from .celery import app, settings

_PAUSE_SECONDS = 0.02  # while other workers hold all of these lanes


class Wakers:
    """Wakes the threads that send callbacks when some are due."""

    def __init__(self) -> None:
        self._events: list[threading.Event] = []

    def event(self) -> threading.Event:
        """Return a new event for one thread, so that threads can clear their events independently."""
        self._events.append(event := threading.Event())
        return event

    def set(self) -> None:
        """Wake all threads."""
        for event in self._events:
            event.set()


@dataclass(frozen=True, slots=True)
class WorkerRuntime:
    """The objects of one worker process."""

    database: Database
    doorbells: Doorbells
    acceptance: Acceptance  # of commands by name; unlike the jobs' own, it limits the backlog
    engine: Engine
    locks: Locks
    scheduler: JobScheduler
    reminders: ExpiryReminders
    day_totals: DayTotals
    checks: TenantChecks
    callbacks_due: Wakers


def runtime() -> WorkerRuntime:
    """Return the runtime of this process."""
    return _runtime_of(os.getpid())


@lru_cache(maxsize=1)
def _runtime_of(_process: int) -> WorkerRuntime:
    # A batch creates hundreds of thousands of objects and few cycles. With the default threshold of 700,
    # garbage collection took a fifth of a worker's time (measured).
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    database = engine_for(settings.database, pgbouncer=settings.pgbouncer, ping=False)
    client = redis_client.connect(settings)
    doorbells = Doorbells(client, app, settings)
    flusher = CounterFlusher(client, settings)
    flusher.start()
    atexit.register(flusher.stop)
    callbacks_due = Wakers()
    locks = Locks(client, settings)
    engine = Engine(limited_engine_for(settings), locks, doorbells, settings, callbacks_due.set)
    accepting = bounded_engine_for(settings)  # a job that waits for a locked journal would keep the worker
    unlimited = Acceptance(accepting, doorbells, settings)
    return WorkerRuntime(
        database,
        doorbells,
        Acceptance(accepting, doorbells, settings, Backlog(database, settings, shares=False)),
        engine,
        locks,
        JobScheduler(database, unlimited, help_on=partial(_help_on, engine)),
        ExpiryReminders(database),
        DayTotals(database),
        TenantChecks(database),
        callbacks_due,
    )


def _help_on(engine: Engine, lanes: list[int]) -> None:
    """Drain one of the lanes, because a job that only waits would keep this worker idle."""
    if not any(engine.drain(lane) for lane in lanes):
        time.sleep(_PAUSE_SECONDS)
