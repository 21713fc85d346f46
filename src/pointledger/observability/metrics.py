"""Exports metrics to Prometheus: figures from the database, and the totals of the processes' counters.

Any one exporter returns the metrics of all processes: /metrics on the operators' port of an API process, or
`pointledger metrics`. Labels are lanes, jobs, states, reasons and a bounded number of tenants, never users.
`GAUGES` and `ACCEPTED` come from the servers; `counters.py` has what processes count.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import redis
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from pointledger.errors import DatabaseAway, DatabaseFailed, QueryTimeout
from pointledger.messaging.doorbell import seconds_since_beat
from pointledger.observability.counters import totals
from pointledger.settings import Settings
from pointledger.storage.database import read_only
from pointledger.storage.events import outbox
from pointledger.storage.queries import health
from pointledger.storage.queue import job_runs

_MOST_TENANTS = 20  # labels of their own


class Gauge(NamedTuple):
    """A current figure."""

    name: str
    documentation: str
    labels: tuple[str, ...] = ()

    def metric(self, value: float | None = None) -> GaugeMetricFamily:
        """Make the metric with this value, or without one to add samples to."""
        return GaugeMetricFamily(self.name, self.documentation, value=value, labels=self.labels or None)


UP = Gauge("pointledger_up", "1 if the server answers, else 0", ("server",))
WAITING = Gauge("pointledger_commands_waiting", "Pending commands, counted up to the limit")
WAITING_LIMIT = Gauge("pointledger_commands_waiting_limit", "Pending commands above which none is accepted")
TENANT_WAITING = Gauge(
    "pointledger_tenant_commands_waiting", "Pending commands of the tenants that have the most", ("tenant",)
)
TENANT_LIMIT = Gauge(
    "pointledger_tenant_commands_waiting_limit", "Pending commands of a tenant above which none is accepted"
)
LANE_LAG = Gauge("pointledger_lane_lag_seconds", "How long the lane's next command has waited", ("lane",))
DEAD = Gauge("pointledger_commands_dead", "Dead commands")
FAILING = Gauge("pointledger_commands_failing", "Failed commands that will be retried")
DEAD_LETTERS = Gauge("pointledger_dead_letters", "Dead letters and deferred messages", ("state",))
PAUSED = Gauge("pointledger_tenants_paused", "Paused tenants")
RUNS_OPEN = Gauge("pointledger_job_runs_open", "Unfinished runs of the nightly job", ("job",))
RUNS_FOUND = Gauge("pointledger_job_users_found", "Users found by its unfinished runs", ("job",))
RUNS_SECONDS = Gauge("pointledger_job_oldest_age_seconds", "Age of its oldest unfinished run", ("job",))
OUTBOX = Gauge("pointledger_outbox_events", "Events pending in the outbox")
OUTBOX_SECONDS = Gauge("pointledger_outbox_oldest_age_seconds", "Age of the oldest pending event")
BEAT_SECONDS = Gauge("pointledger_beat_age_seconds", "Age of beat's last heartbeat; missing before the first")

GAUGES = (
    UP, WAITING, WAITING_LIMIT, TENANT_WAITING, TENANT_LIMIT, LANE_LAG, DEAD, FAILING, DEAD_LETTERS, PAUSED,
    RUNS_OPEN, RUNS_FOUND, RUNS_SECONDS, OUTBOX, OUTBOX_SECONDS, BEAT_SECONDS,
)  # fmt: skip
ACCEPTED = ("pointledger_commands_accepted", "Commands accepted since Postgres' statistics were reset")


class Exporter:
    """A collector for a registry of `prometheus_client`."""

    def __init__(self, database: sa.Engine, client: redis.Redis, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics. If one server is away, `pointledger_up` says so and the other's follow."""
        up = UP.metric()
        for server, read in (("postgres", self._from_database), ("redis", self._from_redis)):
            try:
                found = list(read())
            except (QueryTimeout, DatabaseAway, DatabaseFailed, redis.RedisError):
                found = []
            up.add_metric([server], bool(found))
            yield from found
        yield up

    def _from_database(self) -> Iterator[Metric]:
        with read_only(self._database) as connection:
            yield CounterMetricFamily(*ACCEPTED, health.accepted_count(connection))
            yield from _backlog(connection, self._settings)
            yield from _troubles(connection)
            yield from _runs(connection)
            found = outbox.status(connection)
            yield OUTBOX.metric(found.events)
            yield OUTBOX_SECONDS.metric(found.oldest_seconds or 0.0)

    def _from_redis(self) -> Iterator[Metric]:
        self._client.ping()
        seconds = seconds_since_beat(self._client, self._settings)
        if seconds is not None:
            yield BEAT_SECONDS.metric(seconds)
        yield from totals(self._client, self._settings)


def exposition(exporter: Exporter) -> bytes:
    """Format the metrics as Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(exporter)
    return generate_latest(registry)


def _backlog(connection: sa.Connection, settings: Settings) -> Iterator[Metric]:
    tenants = health.waiting_by_tenant(connection, settings.backlog_limit)
    lags = health.lags(connection)
    yield WAITING.metric(sum(waiting.commands for waiting in tenants.values()))
    yield WAITING_LIMIT.metric(settings.backlog_limit)
    by_tenant = TENANT_WAITING.metric()
    for tenant_id, waiting in heapq.nlargest(_MOST_TENANTS, tenants.items(), key=lambda item: item[1]):
        by_tenant.add_metric([tenant_id], waiting.commands)
    yield by_tenant
    yield TENANT_LIMIT.metric(settings.tenant_backlog_limit)
    lag = LANE_LAG.metric()
    for lane in range(settings.lanes):
        lag.add_metric([str(lane)], lags.get(lane, 0.0))
    yield lag


def _troubles(connection: sa.Connection) -> Iterator[Metric]:
    found = health.troubles(connection)
    yield DEAD.metric(found.dead)
    yield FAILING.metric(found.failing)
    messages = DEAD_LETTERS.metric()
    messages.add_metric(["dead"], found.dead_letters)
    messages.add_metric(["deferred"], found.deferred_messages)
    yield messages
    yield PAUSED.metric(found.paused)


def _runs(connection: sa.Connection) -> Iterator[Metric]:
    """Yield the progress of the nightly jobs. A job without open runs has no sample."""
    now = job_runs.now(connection)
    count, users, age = RUNS_OPEN.metric(), RUNS_FOUND.metric(), RUNS_SECONDS.metric()
    for run in health.open_runs(connection):
        count.add_metric([run.job], run.open)
        users.add_metric([run.job], run.found)
        age.add_metric([run.job], (now - run.oldest_as_of).total_seconds())
    yield from (count, users, age)
