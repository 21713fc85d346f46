"""throughput: apply-rule commands per second, from the first one's acceptance to the last one's outcome,
beside the conventional design. One producer process and two workers on either side."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import sqlalchemy as sa
from celery import Celery

from pointledger import ApplyRule, PointsClient
from pointledger.domain.rules import rule_from
from pointledger.domain.tenants import tenant_from
from pointledger.settings import Settings
from pointledger.storage import programmes
from pointledger.storage.database import engine_for
from pointledger.storage.migrate import migrate
from tests.bench import mixed
from tests.bench.conventional import celery as conventional
from tests.bench.conventional import tables
from tests.bench.conventional.producer import send_many
from tests.bench.harness import DifferentWork, Report, Side, compare
from tests.bench.stage import Stage, Workers
from tests.bench.workload import (
    EVENT_TYPE,
    EXPIRY_DAYS,
    MULTIPLIER,
    PER_MINOR,
    TENANT,
    Event,
    one_for_each,
    uniform,
    users,
    verify,
)

T = TypeVar("T")

NAME = "throughput"
_UNIT = "commands per second"
_WORKERS = 2  # of either side: one per core of the machine from which the figures are
_AT_ONCE = 1000  # commands that either producer hands over in one call
_LEAST_RATE = 20  # commands per second; slower than that is stuck


@dataclass(frozen=True, slots=True)
class Size:
    """How much. The slower side gets fewer commands, or a round would take minutes."""

    rounds: int
    users: int
    ours: int
    theirs: int
    warm_up: int


FULL = Size(rounds=3, users=10_000, ours=60_000, theirs=4_000, warm_up=200)
QUICK = Size(rounds=1, users=1_000, ours=4_000, theirs=400, warm_up=40)


def run(stage: Stage, *, quick: bool) -> Report:
    """Ours, ours under a mixed load, and theirs, in turns."""
    size = QUICK if quick else FULL
    sides = [
        Side("pointledger", partial(_ours, stage, size)),
        Side("pointledger, mixed load", partial(_mixed, stage, size)),
        Side("conventional", partial(_theirs, stage, size)),
    ]
    return compare(NAME, _UNIT, sides, size.rounds, stage.tell)


def _timed(
    workers: Workers, produce: Callable[[list[T]], object], is_done: Callable[[], bool], events: list[T]
) -> float:
    """Hands the events over and waits for the last outcome; commands per second."""
    began = time.perf_counter()
    for start in range(0, len(events), _AT_ONCE):
        produce(events[start : start + _AT_ONCE])
    workers.wait_until(is_done, 10 + len(events) / _LEAST_RATE, f"{len(events)} commands")
    return len(events) / (time.perf_counter() - began)


# ------------------------------------------------------------------------------------------------ ours

_OUR_RULE: dict[str, Any] = {
    "name": "baskets",
    "event_type": EVENT_TYPE,
    "base": {"kind": "per_unit", "field": "amount_minor", "per": PER_MINOR, "points": 1},
    "multiplier": MULTIPLIER,
}


@contextmanager
def _our_system(
    stage: Stage, rules: Sequence[dict[str, Any]]
) -> Iterator[tuple[PointsClient, sa.Engine, Workers]]:
    """A new database with these rules, and workers; everything is audited at the end."""
    redis_url = stage.valkey(0)
    with stage.database() as database_url:
        settings = Settings(database_url=database_url, redis_url=redis_url, broker_url=redis_url)
        migrate(settings.owner, settings.lanes)
        environment = {
            "POINTLEDGER_DATABASE_URL": database_url,
            "POINTLEDGER_REDIS_URL": redis_url,
            "POINTLEDGER_BROKER_URL": redis_url,
        }
        database = engine_for(database_url)
        _put_our_rules(database, rules)
        with (
            stage.workers("workers", _WORKERS, redis_url, environment) as workers,
            PointsClient.connect(settings) as client,
        ):
            yield client, database, workers
        _audit(database)
        database.dispose()


def _ours(stage: Stage, size: Size) -> float:
    with _our_system(stage, [_OUR_RULE]) as (client, database, workers):
        produce = partial(_enqueue, client)
        is_done = partial(_nothing_waits, database)
        first = one_for_each(users(size.users))
        events = uniform("event", size.ours, users(size.users))
        _timed(workers, produce, is_done, first)
        rate = _timed(workers, produce, is_done, events)
        with database.connect() as connection:
            verify(connection, first + events)
    return rate


def _mixed(stage: Stage, size: Size) -> float:
    with _our_system(stage, mixed.RULES) as (client, database, workers):
        is_done = partial(_nothing_waits, database)
        load, undone = mixed.Load(users(size.users), size.ours), []

        def produce(orders: list[mixed.Order]) -> list[str]:
            return client.enqueue_many([order.made() for order in orders])

        _timed(workers, produce, is_done, load.opening())
        _timed(workers, lambda orders: undone.extend(produce(orders)), is_done, load.to_undo())
        rate = _timed(workers, produce, is_done, load.orders(client.outcomes(undone)))
        with database.connect() as connection:
            mixed.verify(connection, load)
    return rate


def _put_our_rules(database: sa.Engine, rules: Sequence[dict[str, Any]]) -> None:
    tenant = {"tenant_id": TENANT, "default_expiry_days": EXPIRY_DAYS, "transfer_enabled": True}
    with database.begin() as connection:
        programmes.put_tenant(connection, tenant_from(tenant))
        for rule in rules:
            programmes.put_rule(connection, TENANT, rule_from(rule))


def _enqueue(client: PointsClient, events: list[Event]) -> None:
    client.enqueue_many(
        [
            ApplyRule(
                tenant_id=TENANT,
                user_id=event.user_id,
                event_type=EVENT_TYPE,
                event_id=event.id,
                occurred_at=event.occurred_at,
                metadata={"amount_minor": event.amount_minor},
            )
            for event in events
        ]
    )


def _nothing_waits(database: sa.Engine) -> bool:
    with database.connect() as connection:
        return not connection.exec_driver_sql("SELECT EXISTS (SELECT FROM pending)").scalar_one()


def _audit(database: sa.Engine) -> None:
    """The ledger's own checker must agree."""
    if find_spec("pointledger.audit") is None:
        return
    found = import_module("pointledger.audit").audit(database).as_json()
    if found["violations"]:
        raise DifferentWork(f"the audit found {found['violations']} violations")


# ---------------------------------------------------------------------------------------------- theirs


def _theirs(stage: Stage, size: Size) -> float:
    redis_url = stage.valkey(1)
    with stage.database() as database_url:
        environment = {conventional.DATABASE_URL: database_url, conventional.REDIS_URL: redis_url}
        database = engine_for(database_url)
        _make_their_tables(database, size)
        app = conventional.app_for(redis_url)
        with stage.workers("tests.bench.conventional", _WORKERS, redis_url, environment) as workers:
            produce = partial(_send, app)
            warm_up = uniform("first", size.warm_up, users(size.users))
            events = uniform("event", size.theirs, users(size.users))
            _timed(workers, produce, partial(_has_outcomes, database, len(warm_up)), warm_up)
            all_events = warm_up + events
            rate = _timed(workers, produce, partial(_has_outcomes, database, len(all_events)), events)
        app.close()
        with database.connect() as connection:
            verify(connection, all_events)
        database.dispose()
    return rate


def _make_their_tables(database: sa.Engine, size: Size) -> None:
    """With all accounts, as ours are there after the first event of each user, and fresh statistics."""
    rule = {"tenant_id": TENANT, "event_type": EVENT_TYPE, "field": "amount_minor", "per": PER_MINOR}
    rule |= {"points": 1, "multiplier": MULTIPLIER, "expiry_days": EXPIRY_DAYS}
    with database.begin() as connection:
        tables.metadata.create_all(connection)
        connection.execute(sa.insert(tables.rules), rule)
        accounts = [{"tenant_id": TENANT, "user_id": user_id} for user_id in users(size.users)]
        connection.execute(sa.insert(tables.accounts), accounts)
        connection.exec_driver_sql("ANALYZE")


def _send(app: Celery, events: list[Event]) -> None:
    send_many(
        app,
        [
            {
                "tenant_id": TENANT,
                "user_id": event.user_id,
                "event_type": EVENT_TYPE,
                "event_id": event.id,
                "occurred_at": event.occurred_at.isoformat(),
                "metadata": {"amount_minor": event.amount_minor},
            }
            for event in events
        ],
    )


def _has_outcomes(database: sa.Engine, count: int) -> bool:
    with database.connect() as connection:
        return bool(connection.exec_driver_sql("SELECT count(*) FROM outcomes").scalar_one() >= count)
