"""The workers' Celery app: `celery -A workers worker`.

What every end sets alike is in `pointledger.messaging.celery_app`. Here is what concerns a worker alone, each
setting under the failure that it prevents.
"""

from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init

from pointledger.errors import LedgerError
from pointledger.messaging.celery_app import celery_settings
from pointledger.observability.doctor import require_safe
from pointledger.observability.log_lines import log_in_lines
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.ledger.erasures import require_key
from pointledger.storage.migrate import require_current

settings = Settings()

app = Celery("workers", include=["workers.tasks"])
app.conf.update(celery_settings(settings))
app.conf.update(
    # One process per core, started as often as there are cores: at this size prefork gains nothing, and a
    # child's death would be answered by Celery's own rules instead of ours.
    worker_pool="solo",
    worker_concurrency=1,
    # A message that is taken belongs to a task that runs; the next one may be another worker's.
    worker_prefetch_multiplier=1,
    # The message goes when the task has ended, so that a killed worker's doorbell rings again. Failed or
    # not: what failed stands in Postgres, and the beat rings for it. Redelivery without a counter would
    # let one message take down worker after worker.
    task_acks_late=True,
    task_acks_on_failure=True,
    task_acks_on_timeout=True,
    task_reject_on_worker_lost=False,
    # A message that is none must not end one worker after the other.
    worker_consumer="workers.consumer:Consumer",
    # Outcomes are written with their effects, not here.
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    # Messages with an eta sit in a worker's memory; nothing of ours has one.
    worker_eta_task_limit=1000,
    # A broker that is away for an hour must not end the worker.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # A drain that lost its connection is delivered again: end the first instead of running twins.
    worker_cancel_long_running_tasks_on_connection_loss=True,
    # On SIGTERM the task at hand is finished; a turn takes a quarter of a second.
    worker_soft_shutdown_timeout=5.0,
    worker_enable_soft_shutdown_on_idle=True,
    worker_disable_rate_limits=True,
    worker_hijack_root_logger=False,
)


app.steps["worker"].add("workers.threads:Threads")  # by name: it needs this module


@setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """One structured line per event: for people on a terminal, JSON everywhere else."""
    log_in_lines(settings)


@worker_init.connect
def refuse_servers_that_do_not_fit(**_: Any) -> None:
    """A worker of another version, with other lanes or another erasure key, does harm, and so do servers that
    forget what they were given: it does not start."""
    try:
        database = engine_for(settings.database)
        require_current(database, settings.lanes)
        with database.connect() as connection:
            require_key(connection, settings.pseudonyms)
        require_safe(database, settings)
        database.dispose()
    except LedgerError as error:
        raise SystemExit(str(error)) from None
