"""Metrics for Prometheus: what the database knows, asked when somebody asks, and what the processes count.

One exporter tells all of it, whichever and however many processes work: the gateway's /metrics, or
`pointledger metrics`. Labels are lanes, jobs, states and reasons; no tenant and no person.
"""

from collections.abc import Iterator

import redis
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from pointledger.errors import AnswerTooLate, DatabaseAway, DatabaseFailed
from pointledger.messaging.doorbell import beat_heard_seconds
from pointledger.observability.counters import sums
from pointledger.settings import Settings
from pointledger.storage.database import looking
from pointledger.storage.events import outbox
from pointledger.storage.queries import health
from pointledger.storage.queue import job_runs


class Exporter:
    """A collector for a registry of prometheus_client's."""

    def __init__(self, database: sa.Engine, client: redis.Redis, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Everything. A server that is away says so, and what the other one knows is told all the same."""
        up = GaugeMetricFamily("pointledger_up", "Whether a server answers", labels=["server"])
        for server, ask in (("postgres", self._from_database), ("redis", self._from_redis)):
            try:
                found = list(ask())
            except (AnswerTooLate, DatabaseAway, DatabaseFailed, redis.RedisError):
                found = []
            up.add_metric([server], bool(found))
            yield from found
        yield up

    def _from_database(self) -> Iterator[Metric]:
        with looking(self._database) as connection:
            yield CounterMetricFamily(
                "pointledger_commands_accepted",
                "Commands accepted, since Postgres' statistics began",
                health.accepted_count(connection),
            )
            yield from _backlog(connection, self._settings)
            yield from _troubles(connection)
            yield from _runs(connection)
            found = outbox.status(connection)
            yield GaugeMetricFamily("pointledger_outbox_events", "Events that wait for a relay", found.events)
            yield GaugeMetricFamily(
                "pointledger_outbox_seconds", "How long the oldest has", found.oldest_seconds or 0.0
            )

    def _from_redis(self) -> Iterator[Metric]:
        self._client.ping()
        heard = beat_heard_seconds(self._client, self._settings)
        if heard is not None:
            yield GaugeMetricFamily("pointledger_beat_seconds", "Since beat was heard", heard)
        yield from sums(self._client, self._settings)


def exposition(exporter: Exporter) -> bytes:
    """In Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(exporter)
    return generate_latest(registry)


def _backlog(connection: sa.Connection, settings: Settings) -> Iterator[Metric]:
    waiting = health.waiting_count(connection, settings.backlog_limit)
    lags = health.lags(connection)
    yield GaugeMetricFamily("pointledger_commands_waiting", "Up to the limit", waiting)
    yield GaugeMetricFamily("pointledger_commands_waiting_limit", "The limit", settings.backlog_limit)
    lag = GaugeMetricFamily(
        "pointledger_lane_lag_seconds",
        "How long a lane's next command has waited",
        labels=["lane"],
    )
    for lane in range(settings.lanes):
        lag.add_metric([str(lane)], lags.get(lane, 0.0))
    yield lag


def _troubles(connection: sa.Connection) -> Iterator[Metric]:
    found = health.troubles(connection)
    yield GaugeMetricFamily("pointledger_commands_dead", "Dead by now", found.dead)
    yield GaugeMetricFamily("pointledger_commands_failing", "Failed, to be tried again", found.failing)
    kept = GaugeMetricFamily("pointledger_letters", "What came and was no command", labels=["state"])
    kept.add_metric(["dead"], found.dead_letters)
    kept.add_metric(["held"], found.held_letters)
    yield kept
    yield GaugeMetricFamily("pointledger_tenants_paused", "Tenants that stand still", found.paused)


def _runs(connection: sa.Connection) -> Iterator[Metric]:
    """How far the nightly jobs are: none open, nothing to tell."""
    now = job_runs.now(connection)
    count = GaugeMetricFamily("pointledger_sweep_runs_open", "Not finished yet", labels=["job"])
    users = GaugeMetricFamily("pointledger_sweep_found", "Users found by open runs", labels=["job"])
    age = GaugeMetricFamily("pointledger_sweep_seconds", "Since the oldest was due", labels=["job"])
    for run in health.open_runs(connection):
        count.add_metric([run.job], run.open)
        users.add_metric([run.job], run.found)
        age.add_metric([run.job], (now - run.oldest_as_of).total_seconds())
    yield from (count, users, age)
