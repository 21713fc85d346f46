"""Configures the workers' Celery app: `celery -A workers worker`.

`pointledger.messaging.celery_app` has the settings that all processes share. The settings here are for
workers only, each below the failure that it prevents.
"""

import logging
from functools import partial
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_init
from sqlalchemy import Engine

from pointledger.errors import LedgerError
from pointledger.events.retry import retry_at_start
from pointledger.logs import Log
from pointledger.messaging.celery_app import configure
from pointledger.observability.doctor import require_safe
from pointledger.observability.heartbeat import Heartbeat, Process
from pointledger.observability.log_lines import log_in_lines, survive_full_disks
from pointledger.observability.span_export import send_spans
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.ledger.erasures import require_key
from pointledger.storage.revision import require_current

settings = Settings()

_log = Log("pointledger.workers")

heartbeat = Heartbeat(settings.health_folder, Process.WORKER)
"""Beats in the loop that receives messages, between two tasks."""

app = Celery("workers", include=[f"{__package__}.tasks"])
configure(app, settings)
app.conf.update(
    # One worker process per core. Prefork would add nothing, and Celery would handle the death of a child by
    # its own rules.
    worker_pool="solo",
    worker_concurrency=1,
    # A worker must not reserve a message while it runs a task, because another worker may be free.
    worker_prefetch_multiplier=1,
    # A message is acknowledged after its task, so that the doorbell of a killed worker is delivered again. A
    # failed task is acknowledged as well: its commands are in Postgres, and beat rings for them. Redelivery
    # has no counter, so one message could stop worker after worker.
    task_acks_late=True,
    task_acks_on_failure=True,
    task_acks_on_timeout=True,
    task_reject_on_worker_lost=False,
    # A malformed message must not stop worker after worker.
    worker_consumer=f"{__package__}.consumer:Consumer",
    # The engine writes outcomes together with their effects.
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    # Messages with an eta stay in a worker's memory; the ledger sends none.
    worker_eta_task_limit=1000,
    # A broker that is unavailable for an hour must not stop the worker, also if it answers with errors.
    # `workers/consumer.py` adds the errors that Celery does not know, and the pauses.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,
    # After a lost connection the broker delivers the message again, so cancel the task that runs.
    worker_cancel_long_running_tasks_on_connection_loss=True,
    # On SIGTERM the worker finishes its task; a time slice takes a quarter of a second.
    worker_soft_shutdown_timeout=5.0,
    worker_enable_soft_shutdown_on_idle=True,
    worker_disable_rate_limits=True,
    worker_hijack_root_logger=False,
)


app.steps["worker"].add(f"{__package__}.threads:Threads")  # by name, because it imports this module


@celeryd_init.connect
def keep_stdout_from_ending_the_worker(**_: Any) -> None:
    """Drop what cannot be written. Celery sends this signal before it prints its banner."""
    survive_full_disks()


@setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Log one structured line per event: readable on a terminal, JSON elsewhere."""
    log_in_lines(settings, _log_level())


@worker_init.connect
def require_matching_servers(**_: Any) -> None:
    """Stop the worker if it could do harm, but wait for a Postgres that is away.

    It could with another schema version, lane count or erasure key, or with servers that can lose data.
    """
    log_in_lines(settings, _log_level())  # Celery sets up logging only after this signal
    try:
        send_spans(settings, "worker")
        database = engine_for(settings.database, pgbouncer=settings.pgbouncer)
        retry_at_start(partial(_check, database), _log)
        database.dispose()
    except LedgerError as error:
        raise SystemExit(str(error)) from None


def _log_level() -> int:
    """Return the level that `pointledger worker` was given. Celery's option is for Celery's own lines."""
    return int(app.conf.get("pointledger_log_level", logging.INFO))


def _check(database: Engine) -> None:
    heartbeat.beat()
    require_current(database, settings.lanes)
    with database.connect() as connection:
        require_key(connection, settings.pseudonyms)
    require_safe(database, settings)
