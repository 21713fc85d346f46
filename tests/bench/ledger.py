"""Provides our side: a new ledger for each round, its workers, and functions that enqueue commands."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa

from pointledger import ApplyRule, PointsClient
from pointledger.domain.program.rule import Rule, rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.observability.verify import verify
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.ledger import program
from pointledger.storage.migrate import migrate
from tests.bench.environment import BenchmarkEnvironment, CeleryWorkers, Curve
from tests.bench.harness import DifferentWork
from tests.bench.history import BasketHistory, load, opening_rule
from tests.bench.workload import (
    EVENT_TYPE,
    EXPIRY_DAYS,
    MULTIPLIER,
    OPENING_MINOR,
    PER_MINOR,
    TENANT,
    BasketEvent,
)

T = TypeVar("T")

CHUNK_COMMANDS = 1000  # that a producer sends in one call, on every side
MINIMUM_RATE = 20  # commands per second; a slower side counts as stuck
_WAIT_SECONDS = 30.0  # for one outcome; a longer wait counts as a failure
_CURVE_POINT_SECONDS = 0.25  # several batches per point

RULE: dict[str, Any] = {
    "name": "baskets",
    "event_type": EVENT_TYPE,
    "base": {"kind": "per_unit", "field": "amount_minor", "per": PER_MINOR, "points": 1},
    "multiplier": MULTIPLIER,
}


@dataclass(frozen=True, slots=True)
class BenchmarkLedger:
    """A ledger in a database, without workers."""

    database_url: str
    settings: Settings
    database: sa.Engine
    opening: Rule

    @property
    def env(self) -> dict[str, str]:
        """The environment variables of the ledger's processes."""
        return {
            "POINTLEDGER_DATABASE_URL": self.settings.database,
            "POINTLEDGER_REDIS_URL": self.settings.redis,
            "POINTLEDGER_BROKER_URL": self.settings.broker,
            "POINTLEDGER_LANES": str(self.settings.lanes),
        }

    def verify(self, check: Callable[[sa.Connection], None]) -> None:
        """Run the check and verify every invariant. Raises DifferentWork."""
        with self.database.connect() as connection:
            check(connection)
        found = verify(self.database)
        if found.violations:
            broken = [finding.invariant.id for finding in found.findings if finding.violations]
            raise DifferentWork(f"verify found {found.violations} violations of {', '.join(broken)}")

    def is_drained(self) -> bool:
        """Return whether no command is pending."""
        with self.database.connect() as connection:
            return not connection.exec_driver_sql("SELECT EXISTS (SELECT FROM pending)").scalar_one()


@contextmanager
def new_ledger(
    environment: BenchmarkEnvironment,
    *,
    rules: Sequence[dict[str, Any]] = (RULE,),
    lanes: int | None = None,
) -> Iterator[BenchmarkLedger]:
    """Create a ledger with these rules, as a copy of one that is migrated once. Valkey is empty."""
    redis_url = environment.valkey(0)
    lanes = lanes or Settings().lanes
    template = environment.template(lanes, lambda url: migrate(url, lanes))
    with environment.database(template) as database_url:
        settings = Settings(database_url=database_url, redis_url=redis_url, broker_url=redis_url, lanes=lanes)
        database = engine_for(database_url)
        tenant = {"tenant_id": TENANT, "default_expiry_days": EXPIRY_DAYS, "transfer_enabled": True}
        with database.begin() as connection:
            program.put_tenant(connection, tenant_from(tenant))
            for rule in rules:
                program.put_rule(connection, TENANT, rule_from(rule))
            opening = program.put_rule(connection, TENANT, rule_from(opening_rule()))
        try:
            yield BenchmarkLedger(database_url, settings, database, opening)
        finally:
            database.dispose()


def open_accounts(ledger: BenchmarkLedger, users: int) -> BasketHistory:
    """Create an account with points for each user, from a basket that was paid yesterday."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    lifetime = timedelta(EXPIRY_DAYS)
    history = BasketHistory("opening", users, users, OPENING_MINOR, yesterday, timedelta(hours=1), lifetime)
    load(ledger.database, history, ledger.opening, ledger.settings.lanes)
    return history


@contextmanager
def running_workers(
    environment: BenchmarkEnvironment,
    ledger: BenchmarkLedger,
    warm_up: Sequence[BasketEvent] = (),
    *,
    app: str = "workers",
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[PointsClient, CeleryWorkers]]:
    """Start the ledger's workers, warm them up with these events, and open a client.

    `app`: the module with their Celery app. `env`: more variables for them.
    """
    given = ledger.env | dict(env or {})
    with (
        environment.workers(app, environment.workers_per_side, ledger.settings.redis, given) as started,
        PointsClient.connect(ledger.settings) as client,
    ):
        if warm_up:
            timed(started, lambda events: enqueue(client, events), ledger.is_drained, warm_up)
        yield client, started


def enqueue(client: PointsClient, events: Sequence[BasketEvent]) -> list[str]:
    """Enqueue the events in one call, and return their task ids."""
    return client.enqueue_many([command_of(event) for event in events])


def apply_one(client: PointsClient, event: BasketEvent) -> bool:
    """Enqueue one event and wait for its outcome. Return whether the outcome is as expected."""
    outcome = client.wait(client.enqueue(command_of(event)), timeout=_WAIT_SECONDS)
    return outcome.state == "applied" and (outcome.data or {})["points_earned"] == event.points


def command_of(event: BasketEvent) -> ApplyRule:
    """Build the command of an event. Benchmarks time this, too."""
    return ApplyRule(
        tenant_id=TENANT,
        user_id=event.user_id,
        event_type=EVENT_TYPE,
        event_id=event.id,
        occurred_at=event.occurred_at,
        metadata={"amount_minor": event.amount_minor},
    )


def timed(
    workers: CeleryWorkers,
    produce: Callable[[Sequence[T]], object],
    is_done: Callable[[], bool],
    work: Sequence[T],
) -> float:
    """Send the work and wait for the last outcome. Return commands per second, for any side."""
    began = time.perf_counter()
    produce_in_chunks(produce, work)
    workers.wait_until(is_done, 10 + len(work) / MINIMUM_RATE, f"{len(work)} commands")
    return len(work) / (time.perf_counter() - began)


def produce_in_chunks(produce: Callable[[Sequence[T]], object], work: Sequence[T]) -> None:
    """Send the work in chunks."""
    for start in range(0, len(work), CHUNK_COMMANDS):
        produce(work[start : start + CHUNK_COMMANDS])


_PER_SPAN = """
SELECT floor(extract(epoch FROM applied_at - %s) / %s)::int AS span, count(*) FROM outcomes
WHERE applied_at >= %s GROUP BY span ORDER BY span"""


def keep_outcome_curve(
    environment: BenchmarkEnvironment, database: sa.Engine, since: datetime, title: str, label: str
) -> None:
    """Keep the curve of outcomes per second. Both sides have `outcomes.applied_at`."""
    with database.connect() as connection:
        found = connection.exec_driver_sql(_PER_SPAN, (since, _CURVE_POINT_SECONDS, since)).all()
    counts = {row[0]: row[1] for row in found}
    spans = range(max(counts, default=0) + 1)
    environment.keep_curve(
        Curve(
            title,
            label,
            "seconds",
            "applied per second",
            [span * _CURVE_POINT_SECONDS for span in spans],
            [counts.get(span, 0) / _CURVE_POINT_SECONDS for span in spans],
        )
    )
