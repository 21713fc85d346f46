"""The Celery app: `celery -A tests.bench.conventional worker`. What concerns speed is set as the ledger's own
workers set it; the rest is what a team that cares for its points would set."""

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
APPLY_RULE = "conventional.apply_rule"
TRANSFER = "conventional.transfer"
QUEUE = "conventional.commands"

_LOCK_TTL_SECONDS = 30.0  # longer than any transaction; a dead worker blocks its user no longer
_LOCK_WAIT_SECONDS = 10.0  # for another command of the same user; then the task is tried again
_LOCK_POLL_SECONDS = 0.01  # a transaction takes a few milliseconds; redis-py's default is 100

_rules = Rules()


# What concerns speed; for the task that does nothing (`noop.py`), too.
LEAN: dict[str, Any] = {
    # Short tasks: a few wait in the worker, so that it never waits for the broker.
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
        # One list per queue: every priority step would be one more in each BRPOP.
        "priority_steps": [0],
    },
}


def app_for(broker_url: str | None) -> Celery:
    """The app, for workers and producers alike."""
    made = Celery("conventional", broker=broker_url, set_as_current=False)
    made.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        # The outcome is in Postgres.
        task_ignore_result=True,
        # Killed workers' tasks are delivered again, and do nothing twice.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        **LEAN,
    )
    return made


app = app_for(os.environ.get(REDIS_URL))


_AGAIN: dict[str, Any] = {
    "bind": True,
    "autoretry_for": (LockError, sa.exc.OperationalError),
    "retry_backoff": 1,
    "max_retries": 8,
}


@app.task(name=APPLY_RULE, **_AGAIN)
def apply_rule(self: Task, occurred_at: str, **fields: Any) -> None:
    """Applies one command while its user is locked."""
    command = Command(id=UUID(self.request.id), occurred_at=datetime.fromisoformat(occurred_at), **fields)
    with _turn(command.tenant_id, command.user_id), _database().begin() as connection:
        apply_in_transaction(connection, command, _rules)


@app.task(name=TRANSFER, **_AGAIN)
def transfer(self: Task, **fields: Any) -> None:
    """Applies one transfer while both its users are locked, in one order for all."""
    command = Transfer(id=UUID(self.request.id), **fields)
    first, second = sorted((command.user_id, command.to_user_id))
    with (
        _turn(command.tenant_id, first),
        _turn(command.tenant_id, second),
        _database().begin() as connection,
    ):
        transfer_in_transaction(connection, command)


def _turn(tenant_id: str, user_id: str) -> AbstractContextManager[object]:
    taking_turns: AbstractContextManager[object] = _redis().lock(
        f"user:{tenant_id}/{user_id}",
        timeout=_LOCK_TTL_SECONDS,
        blocking_timeout=_LOCK_WAIT_SECONDS,
        sleep=_LOCK_POLL_SECONDS,
        thread_local=False,
    )
    return taking_turns


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    return redis.Redis.from_url(os.environ[REDIS_URL])


@lru_cache(maxsize=1)
def _database() -> sa.Engine:
    # No ping before each transaction, to be fast: a lost connection has the task tried again.
    url = sa.make_url(os.environ[DATABASE_URL]).set(drivername="postgresql+psycopg")
    return sa.create_engine(url, pool_size=1)
