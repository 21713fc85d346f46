"""Commands that run the two Celery apps: `worker` and `beat`."""

import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from pointledger.cli.output import note
from pointledger.cli.session import opened_settings
from pointledger.messaging.contract import LANES_QUEUE, PERIODIC_QUEUE

# What Celery's processes would tell each other. The ledger reads none of it, and each is a message.
_ALONE = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}


class Queue(StrEnum):
    """What a worker can receive."""

    LANES = "lanes"
    PERIODIC = "periodic"


class LogLevel(StrEnum):
    """From which level on a process logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_CELERYS_NAME = {Queue.LANES: LANES_QUEUE, Queue.PERIODIC: PERIODIC_QUEUE}

Level = Annotated[LogLevel, typer.Option("--log-level", help="Log lines of this level and above, to stderr.")]


def worker(
    queues: Annotated[
        list[Queue] | None,
        typer.Option(
            "--queue",
            help="Receive only this queue; can be given twice. `lanes` has doorbells of commands, `periodic` "
            "the jobs that beat starts. Some worker must receive each. Default: both.",
        ),
    ] = None,
    log_level: Level = LogLevel.INFO,
) -> None:
    """Run a worker, which applies commands, until stopped. SIGTERM lets it finish its batch.

    A worker is one process that applies one batch at a time. Start one per core, on as many machines as you
    like: they share the work without configuration.
    """
    with _app("workers", log_level) as app:
        received = list(dict.fromkeys(queues or Queue))
        note(f"A worker receives from {' and '.join(received)}; Ctrl-C stops it.", "dim")
        running = app.Worker(queues=[_CELERYS_NAME[queue] for queue in received], quiet=True, **_ALONE)
        running.start()
        raise typer.Exit(running.exitcode or 0)


def beat(log_level: Level = LogLevel.INFO) -> None:
    """Run beat, which starts the periodic jobs, until stopped. Several beats do the work once."""
    with _app("schedules", log_level) as app:
        note("Beat starts the periodic jobs; Ctrl-C stops it.", "dim")
        app.Beat(quiet=True).run()


@contextmanager
def _app(name: str, level: LogLevel) -> Iterator[Any]:
    """Open one of the Celery apps. It reads the environment, as it does when Celery itself starts it."""
    # It would name an option that these commands do not have. Messages are data, never code.
    warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")
    # A container's user often has a number and no name, which Celery takes for the superuser.
    warnings.filterwarnings("ignore", "An entry for the specified gid or egid was not found")
    with opened_settings() as settings:
        for server in ("database_url", "redis_url"):
            if url := getattr(settings, server):  # of an embedded server, where the environment names none
                os.environ[f"POINTLEDGER_{server.upper()}"] = url
        app = importlib.import_module(f"pointledger.apps.{name}.celery").app
        app.conf.pointledger_log_level = logging.getLevelNamesMapping()[level.upper()]
        yield app
