"""Beat's Celery app: `celery -A schedules beat`. Any number may run: what they ask for is a row in Postgres,
done once, so a missed night is caught up on and a doubled one is one."""

from typing import Any

from celery import Celery
from celery.signals import setup_logging

from pointledger.messaging.celery_app import celery_settings
from pointledger.observability.log_lines import log_in_lines
from pointledger.settings import Settings
from schedules.timetable import timetable

settings = Settings()

app = Celery("schedules")
app.conf.update(celery_settings(settings))
app.conf.update(
    beat_schedule=timetable(),
    # In memory: what has been done is known to Postgres, and a file would be one more thing to lose.
    beat_scheduler="celery.beat:Scheduler",
    # The shortest interval below is two seconds; a longer sleep would miss it.
    beat_max_loop_interval=1,
)


@setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """As in the workers."""
    log_in_lines(settings)
