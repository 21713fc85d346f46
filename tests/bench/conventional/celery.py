"""Defines the Celery app: `celery -A tests.bench.conventional worker`.

Settings for speed are those of the ledger's own workers. The others are those of a careful team.
"""

import os
from contextlib import AbstractContextManager
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
from celery import Celery, Task
from redis.exceptions import LockError

from tests.bench.conventional.apply_rule import Command
from tests.bench.conventional.apply_rule import apply_rule as apply_in_transaction
from tests.bench.conventional.tables import Rules
from tests.bench.conventional.transfer import Transfer
from tests.bench.conventional.transfer import transfer as transfer_in_transaction

DATABASE_URL = "CONVENTIONAL_DATABASE_URL"
REDIS_URL = "CONVENTIONAL_REDIS_URL"
RESULTS_URL = "CONVENTIONAL_RESULTS_URL"  # only where a caller waits for each outcome
APPLY_RULE = "conventional.apply_rule"
TRANSFER = "conventional.transfer"
QUEUE = "conventional.commands"

_LOCK_TTL_SECONDS = 30.0  # longer than any transaction; also how long a dead worker blocks its user
_LOCK_WAIT_SECONDS = 10.0  # for another command of the same user; then Celery retries the task
_LOCK_POLL_SECONDS = 0.01  # a transaction takes a few milliseconds; redis-py's default is 100

_rules = Rules()


# Settings for speed, also of the task that does nothing (`noop.py`).
LEAN: dict[str, Any] = {
    # Tasks are short, so a worker prefetches a few and never waits for the broker.
    "worker_prefetch_multiplier": 16,
    "worker_pool": "solo",
    "worker_concurrency": 1,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_disable_rate_limits": True,
    "task_send_sent_event": False,
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {
        "visibility_timeout": 120,
        "socket_timeout": 15,
        "socket_keepalive": True,
        # One list per queue, because every priority step adds a list to each BRPOP.
        "priority_steps": [0],
    },
}


def app_for(broker_url: str | None, results_url: str | None = None) -> Celery:
    """Return the app, for workers and producers. Without a URL for results, no result is written."""
    made = Celery("conventional", broker=broker_url, backend=results_url, set_as_current=False)
    made.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        # The outcome is in Postgres. The result only says that it is there.
        task_ignore_result=results_url is None,
        result_expires=3600,
        # A killed worker's tasks are delivered again. Duplicates have no effect.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        **LEAN,
    )
    return made


app = app_for(os.environ.get(REDIS_URL), os.environ.get(RESULTS_URL))


_RETRY: dict[str, Any] = {
    "bind": True,
    "autoretry_for": (LockError, sa.exc.OperationalError),
    "retry_backoff": 1,
    "max_retries": 8,
}


@app.task(name=APPLY_RULE, **_RETRY)
def apply_rule(self: Task, occurred_at: str, **fields: Any) -> None:
    """Apply one command while its user is locked."""
    command = Command(id=UUID(self.request.id), occurred_at=datetime.fromisoformat(occurred_at), **fields)
    with _user_lock(command.tenant_id, command.user_id), _database().begin() as connection:
        apply_in_transaction(connection, command, _rules)


@app.task(name=TRANSFER, **_RETRY)
def transfer(self: Task, **fields: Any) -> None:
    """Apply one transfer while both users are locked. Sorted locks prevent deadlocks."""
    command = Transfer(id=UUID(self.request.id), **fields)
    first, second = sorted((command.user_id, command.to_user_id))
    with (
        _user_lock(command.tenant_id, first),
        _user_lock(command.tenant_id, second),
        _database().begin() as connection,
    ):
        transfer_in_transaction(connection, command)


def _user_lock(tenant_id: str, user_id: str) -> AbstractContextManager[object]:
    lock: AbstractContextManager[object] = _redis().lock(
        f"user:{tenant_id}/{user_id}",
        timeout=_LOCK_TTL_SECONDS,
        blocking_timeout=_LOCK_WAIT_SECONDS,
        sleep=_LOCK_POLL_SECONDS,
        thread_local=False,
    )
    return lock


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    return redis.Redis.from_url(os.environ[REDIS_URL])


@lru_cache(maxsize=1)
def _database() -> sa.Engine:
    # No ping before each transaction, because it takes time. If a connection is lost, Celery retries.
    url = sa.make_url(os.environ[DATABASE_URL]).set(drivername="postgresql+psycopg")
    return sa.create_engine(url, pool_size=1)
