"""Configures beat's Celery app: `celery -A schedules beat`.

Any number of beat processes can run. Each run of a job is one row in Postgres, so the workers catch up on a
missed night and run a doubled one once.
"""

import logging
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from pointledger.messaging.celery_app import configure
from pointledger.observability.heartbeat import Heartbeat, Process
from pointledger.observability.log_lines import log_in_lines
from pointledger.settings import Settings

from .timetable import timetable

settings = Settings()

heartbeat = Heartbeat(settings.health_folder, Process.BEAT)
"""Beats in the scheduler's loop."""

app = Celery("schedules")
app.Beat = app.subclass_with_self(f"{__package__}.beat:Beat")  # by name, as Celery's own
configure(app, settings)
app.conf.update(
    beat_schedule=timetable(),
    # In memory, because Postgres records the runs, and a schedule file could get lost.
    beat_scheduler=f"{__package__}.scheduler:Scheduler",
    # Beat must not sleep longer than the shortest interval, which is two seconds.
    beat_max_loop_interval=1,
)


@setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Log structured lines, as the workers do."""
    log_in_lines(settings, app.conf.get("pointledger_log_level", logging.INFO))
