"""Provides the conventional side: its tables with accounts, its workers, and functions that send commands."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from celery import Celery
from redis import Redis

from pointledger.storage.database import engine_for
from tests.bench.celery_results import CeleryResults
from tests.bench.conventional import celery as conventional
from tests.bench.conventional import tables
from tests.bench.conventional.celery import APPLY_RULE, TRANSFER
from tests.bench.conventional.producer import send_many
from tests.bench.environment import BenchmarkEnvironment, CeleryWorkers
from tests.bench.transfer_load import PlannedTransfer
from tests.bench.workload import (
    EVENT_TYPE,
    EXPIRY_DAYS,
    MULTIPLIER,
    OPENING_POINTS,
    PER_MINOR,
    TENANT,
    BasketEvent,
)

# The rows of a basket that each user paid yesterday, as on our side.
_OPENING = (
    """INSERT INTO accounts (tenant_id, user_id, balance, total_earned, version)
       SELECT %(tenant)s, 'user-' || lpad(n::text, 6, '0'), %(points)s, %(points)s, 1
       FROM generate_series(0, %(users)s - 1) AS n""",
    """INSERT INTO commands (id, tenant_id, user_id, event_type, event_id, occurred_at, metadata)
       SELECT gen_random_uuid(), tenant_id, user_id, 'opening', 'opening-' || id, now() - interval '1 day',
              '{}'
       FROM accounts""",
    """INSERT INTO entries (id, account_id, seq, command_id, type, delta, balance_after, occurred_at,
                            expires_at)
       SELECT gen_random_uuid(), a.id, 1, c.id, 'earn', %(points)s, %(points)s, c.occurred_at,
              c.occurred_at + %(days)s * interval '1 day'
       FROM accounts a JOIN commands c USING (tenant_id, user_id)""",
    """INSERT INTO lots (id, account_id, entry_id, amount, remaining, earned_at, expires_at)
       SELECT gen_random_uuid(), account_id, id, delta, delta, occurred_at, expires_at FROM entries""",
    """INSERT INTO outcomes (id, state, data, applied_at)
       SELECT id, 'applied', '{}', occurred_at FROM commands""",
)


@dataclass(frozen=True, slots=True)
class ConventionalSystem:
    """The running system: its database, a sending app, its workers, and the client of its broker."""

    database: sa.Engine
    app: Celery
    workers: CeleryWorkers
    broker: Redis
    results: CeleryResults | None = None

    def apply_one(self, event: BasketEvent) -> bool:
        """Send a task for the event and wait for its result. Return whether it succeeded."""
        assert self.results, "the system writes no results"
        return bool(self.results.result_of(APPLY_RULE, **_event_fields(event))["status"] == "SUCCESS")

    def send(self, events: Sequence[BasketEvent]) -> None:
        """Send a task for each event."""
        send_many(self.app, APPLY_RULE, [_event_fields(event) for event in events])

    def send_transfers(self, transfers: Sequence[PlannedTransfer]) -> None:
        """Send a task for each transfer."""
        send_many(self.app, TRANSFER, [_transfer_fields(transfer) for transfer in transfers])

    def has_outcomes(self, count: int) -> bool:
        """Return whether this many commands are applied.

        It counts only when no message is left, because counting takes time from the workers.
        """
        if self.broker.llen(conventional.QUEUE):
            return False
        with self.database.connect() as connection:
            return bool(connection.exec_driver_sql("SELECT count(*) FROM outcomes").scalar_one() >= count)


@contextmanager
def running_system(
    environment: BenchmarkEnvironment, users: int, *, with_results: bool = False
) -> Iterator[ConventionalSystem]:
    """Start the system with accounts for this many users. With results, callers can wait for each command."""
    redis_url, results_url = environment.valkey(1), environment.valkey(4)
    with environment.database() as database_url:
        database = engine_for(database_url)
        _fill(database, users)
        app = conventional.app_for(redis_url)
        env = {conventional.DATABASE_URL: database_url, conventional.REDIS_URL: redis_url}
        if with_results:
            env[conventional.RESULTS_URL] = results_url
        with (
            environment.workers(
                "tests.bench.conventional", environment.workers_per_side, redis_url, env
            ) as workers,
            Redis.from_url(redis_url) as broker,
            CeleryResults(app, results_url) if with_results else nullcontext() as results,
        ):
            yield ConventionalSystem(database, app, workers, broker, results)
        app.close()
        database.dispose()


def _fill(database: sa.Engine, users: int) -> None:
    rule = {"tenant_id": TENANT, "event_type": EVENT_TYPE, "field": "amount_minor", "per": PER_MINOR}
    rule |= {"points": 1, "multiplier": MULTIPLIER, "expiry_days": EXPIRY_DAYS}
    values = {"tenant": TENANT, "users": users, "points": OPENING_POINTS, "days": EXPIRY_DAYS}
    with database.begin() as connection:
        tables.metadata.create_all(connection)
        connection.execute(sa.insert(tables.rules), rule)
        for statement in _OPENING:
            connection.exec_driver_sql(statement, values)
        connection.exec_driver_sql("ANALYZE")


def _event_fields(event: BasketEvent) -> dict[str, Any]:
    return {
        "tenant_id": TENANT,
        "user_id": event.user_id,
        "event_type": EVENT_TYPE,
        "event_id": event.id,
        "occurred_at": event.occurred_at.isoformat(),
        "metadata": {"amount_minor": event.amount_minor},
    }


def _transfer_fields(transfer: PlannedTransfer) -> dict[str, Any]:
    return {
        "tenant_id": TENANT,
        "user_id": transfer.source,
        "to_user_id": transfer.destination,
        "amount": transfer.amount,
    }
