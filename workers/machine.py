"""What a worker process works with, made on first use: connections do not survive a fork."""

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
from pointledger.jobs.reminders import Notify
from pointledger.jobs.scheduler import Sweep
from pointledger.messaging import redis_client
from pointledger.messaging.doorbell import Doorbells
from pointledger.observability.counters import Sender
from pointledger.storage.database import engine_for, limited_engine_for
from workers.celery import app, settings

_OTHERS_SECONDS = 0.02  # while others are at all of these lanes


class Wakers:
    """Wakes every thread that sends callbacks, when some are due."""

    def __init__(self) -> None:
        self._events: list[threading.Event] = []

    def event(self) -> threading.Event:
        """A thread's own: what one has seen and cleared the other has still to see."""
        self._events.append(event := threading.Event())
        return event

    def set(self) -> None:
        """Wakes them all."""
        for event in self._events:
            event.set()


@dataclass(frozen=True, slots=True)
class Machine:
    """One process's engine, and the doors it opens for others."""

    database: Database
    doorbells: Doorbells
    door: Acceptance  # of commands that are sent by name; what the sweeps accept needs none
    engine: Engine
    sweep: Sweep
    notify: Notify
    callbacks_due: Wakers


def machine() -> Machine:
    """This process's own."""
    return _machine_of(os.getpid())


@lru_cache(maxsize=1)
def _machine_of(_process: int) -> Machine:
    # A batch makes some hundred thousand objects and hardly a cycle: looking for cycles after every 700 of
    # them took a fifth of a worker's time (measured).
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    database = engine_for(settings.database, pgbouncer=settings.pgbouncer, ping=False)
    client = redis_client.connect(settings)
    doorbells = Doorbells(client, app, settings)
    acceptance = Acceptance(database, doorbells, settings)
    sender = Sender(client, settings)
    sender.start()
    atexit.register(sender.stop)
    callbacks_due = Wakers()
    engine = Engine(
        limited_engine_for(settings), Locks(client, settings), doorbells, settings, callbacks_due.set
    )
    door = Acceptance(database, doorbells, settings, Backlog(database, settings))
    sweep = Sweep(database, acceptance, help_on=partial(_help_on, engine))
    return Machine(database, doorbells, door, engine, sweep, Notify(database), callbacks_due)


def _help_on(engine: Engine, lanes: list[int]) -> None:
    """Applies what waits in one of the lanes; a sweep that only waited would keep this worker from it."""
    if not any(engine.drain(lane) for lane in lanes):
        time.sleep(_OTHERS_SECONDS)
