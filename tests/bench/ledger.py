"""Our side: a ledger of its own for each round, its workers, and handing commands over."""

import time
from collections.abc import Callable, Iterator, Sequence
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
from tests.bench.harness import DifferentWork
from tests.bench.past import Past, load, opening_rule
from tests.bench.stage import Stage, Trace, Workers
from tests.bench.workload import (
    EVENT_TYPE,
    EXPIRY_DAYS,
    MULTIPLIER,
    OPENING_MINOR,
    PER_MINOR,
    TENANT,
    Event,
)

T = TypeVar("T")

WORKERS = 2  # of every side: one per core of the machine from which the figures are
AT_ONCE = 1000  # commands that a producer hands over in one call, on every side
LEAST_RATE = 20  # commands per second; slower than that is stuck
_WAIT_SECONDS = 30.0  # for one outcome; then it is no latency any more
_TRACE_SECONDS = 0.25  # a point of the curve: some batches

RULE: dict[str, Any] = {
    "name": "baskets",
    "event_type": EVENT_TYPE,
    "base": {"kind": "per_unit", "field": "amount_minor", "per": PER_MINOR, "points": 1},
    "multiplier": MULTIPLIER,
}


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger in a database, without workers."""

    database_url: str
    settings: Settings
    database: sa.Engine
    opening: Rule

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are started with."""
        return {
            "POINTLEDGER_DATABASE_URL": self.settings.database,
            "POINTLEDGER_REDIS_URL": self.settings.redis,
            "POINTLEDGER_BROKER_URL": self.settings.broker,
            "POINTLEDGER_LANES": str(self.settings.lanes),
        }

    def verify(self, check: Callable[[sa.Connection], None]) -> None:
        """Checks what came of it, in the way given, and audits it. Raises DifferentWork."""
        with self.database.connect() as connection:
            check(connection)
        found = verify(self.database)
        if found.violations:
            broken = [finding.invariant.id for finding in found.findings if finding.violations]
            raise DifferentWork(f"the audit found {found.violations} violations of {', '.join(broken)}")

    def nothing_waits(self) -> bool:
        """Whether all that was accepted is applied."""
        with self.database.connect() as connection:
            return not connection.exec_driver_sql("SELECT EXISTS (SELECT FROM pending)").scalar_one()


@contextmanager
def new_ledger(
    stage: Stage,
    *,
    rules: Sequence[dict[str, Any]] = (RULE,),
    template: str | None = None,
    lanes: int | None = None,
) -> Iterator[Ledger]:
    """A new ledger with these rules, or a copy of the one at the template's URL; Valkey is empty. `lanes`: if
    not the usual number."""
    redis_url = stage.valkey(0)
    with stage.database(template) as database_url:
        settings = Settings(database_url=database_url, redis_url=redis_url, broker_url=redis_url)
        if lanes is not None:
            settings = settings.model_copy(update={"lanes": lanes})
        migrate(settings.owner, settings.lanes)
        database = engine_for(database_url)
        tenant = {"tenant_id": TENANT, "default_expiry_days": EXPIRY_DAYS, "transfer_enabled": True}
        with database.begin() as connection:
            program.put_tenant(connection, tenant_from(tenant))
            for rule in rules:
                program.put_rule(connection, TENANT, rule_from(rule))
            opening = program.put_rule(connection, TENANT, rule_from(opening_rule()))
        try:
            yield Ledger(database_url, settings, database, opening)
        finally:
            database.dispose()


def open_accounts(ledger: Ledger, users: int) -> Past:
    """Each user has paid a basket yesterday: all accounts exist, and have points."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    lifetime = timedelta(EXPIRY_DAYS)
    past = Past("opening", users, users, OPENING_MINOR, yesterday, timedelta(hours=1), lifetime)
    load(ledger.database, past, ledger.opening, ledger.settings.lanes)
    return past


@contextmanager
def at_work(
    stage: Stage, ledger: Ledger, workers: int = WORKERS, warm_up: Sequence[Event] = ()
) -> Iterator[tuple[PointsClient, Workers]]:
    """The ledger's workers, warmed up with these events, and a client."""
    with (
        stage.workers("workers", workers, ledger.settings.redis, ledger.environment) as started,
        PointsClient.connect(ledger.settings) as client,
    ):
        if warm_up:
            timed(started, lambda events: enqueue(client, events), ledger.nothing_waits, warm_up)
        yield client, started


def enqueue(client: PointsClient, events: Sequence[Event]) -> list[str]:
    """Hands the events over, in one call; their task ids."""
    return client.enqueue_many([command_of(event) for event in events])


def apply_one(client: PointsClient, event: Event) -> bool:
    """Hands one over and waits for its outcome; whether that was right."""
    outcome = client.wait(client.enqueue(command_of(event)), timeout=_WAIT_SECONDS)
    return outcome.state == "applied" and (outcome.data or {})["points_earned"] == event.points


def command_of(event: Event) -> ApplyRule:
    """The command of an event; making it is timed, too."""
    return ApplyRule(
        tenant_id=TENANT,
        user_id=event.user_id,
        event_type=EVENT_TYPE,
        event_id=event.id,
        occurred_at=event.occurred_at,
        metadata={"amount_minor": event.amount_minor},
    )


def timed(
    workers: Workers, produce: Callable[[Sequence[T]], object], is_done: Callable[[], bool], work: Sequence[T]
) -> float:
    """Hands the work over and waits for the last outcome; commands per second, on any side."""
    began = time.perf_counter()
    hand_over(produce, work)
    workers.wait_until(is_done, 10 + len(work) / LEAST_RATE, f"{len(work)} commands")
    return len(work) / (time.perf_counter() - began)


def hand_over(produce: Callable[[Sequence[T]], object], work: Sequence[T]) -> None:
    """Hands the work over, so much at once."""
    for start in range(0, len(work), AT_ONCE):
        produce(work[start : start + AT_ONCE])


_PER_SPAN = """
SELECT floor(extract(epoch FROM applied_at - %s) / %s)::int AS span, count(*) FROM outcomes
WHERE applied_at >= %s GROUP BY span ORDER BY span"""


def trace_outcomes(stage: Stage, database: sa.Engine, since: datetime, title: str, label: str) -> None:
    """Keeps the curve of outcomes per second, of any side: both write when they applied what."""
    with database.connect() as connection:
        found = connection.exec_driver_sql(_PER_SPAN, (since, _TRACE_SECONDS, since)).all()
    counts = {row[0]: row[1] for row in found}
    spans = range(max(counts, default=0) + 1)
    stage.keep(
        Trace(
            title,
            label,
            "seconds",
            "applied per second",
            [span * _TRACE_SECONDS for span in spans],
            [counts.get(span, 0) / _TRACE_SECONDS for span in spans],
        )
    )
