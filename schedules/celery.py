"""Configures beat's Celery app: `celery -A schedules beat`.

Any number of beat processes can run. Each run of a job is one row in Postgres, so the workers catch up on a
missed night and run a doubled one once.
"""

from typing import Any

from celery import Celery
from celery.signals import setup_logging

from pointledger.errors import LedgerError
from pointledger.messaging.celery_app import celery_settings
from pointledger.observability.log_lines import log_in_lines
from pointledger.settings import Settings
from schedules.timetable import timetable

settings = Settings()

app = Celery("schedules")
app.Beat = app.subclass_with_self("schedules.beat:Beat")  # by name, as Celery's own
try:
    app.conf.update(celery_settings(settings))
except LedgerError as error:  # a URL is missing or malformed; a traceback would not say more
    raise SystemExit(str(error)) from None
app.conf.update(
    beat_schedule=timetable(),
    # In memory, because Postgres records the runs, and a schedule file could get lost.
    beat_scheduler="schedules.scheduler:Scheduler",
    # Beat must not sleep longer than the shortest interval, which is two seconds.
    beat_max_loop_interval=1,
)


@setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Log structured lines, as the workers do."""
    log_in_lines(settings)
