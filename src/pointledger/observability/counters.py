"""Counts events in each process and adds them up in Redis.

Each process counts in memory. Once a second a thread adds the increments to a hash in Redis. So counting
costs a batch microseconds and no round trip. Metrics export the totals.

If Redis loses its data, counters restart at 0; Prometheus handles such resets. Figures that the database
knows are in `metrics.py`.
"""

import json
import threading
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric

from pointledger.logs import Log, Outage
from pointledger.settings import Settings

_EVERY_SECONDS = 1.0
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
# From what a worker takes when it is idle up to the longest backlog that runs down by itself.
_WAITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)

REGISTRY = CollectorRegistry()
OUTCOMES = Counter(
    "pointledger_outcomes", "Commands that got their outcome", ["state", "reason"], registry=REGISTRY
)
FAILURES = Counter(
    "pointledger_failed_attempts", "Failed attempts that count against a command", registry=REGISTRY
)
COMMANDS_DEAD = Counter(
    "pointledger_commands_given_up", "Commands given up after their last attempt", registry=REGISTRY
)
BATCH_SIZE = Histogram(
    "pointledger_batch_commands", "Commands per transaction", registry=REGISTRY, buckets=_SIZES
)
BATCH_SECONDS = Histogram(
    "pointledger_batch_seconds",
    "From the start of a batch to its commit",
    registry=REGISTRY,
    buckets=_SECONDS,
)


class CommandHistogram(Histogram):
    """A histogram that counts equal observations together, for which prometheus_client has no method."""

    def observe_many(self, amount: float, times: int) -> None:
        """Do what calling `observe` so many times does."""
        self._sum.inc(amount * times)
        self._buckets[bisect_left(self._upper_bounds, amount)].inc(times)


OUTCOME_SECONDS = CommandHistogram(
    "pointledger_outcome_seconds",
    "From a command's acceptance to the commit of its outcome",
    registry=REGISTRY,
    buckets=_WAITS,
)
TENANT_COMMANDS = Counter(
    "pointledger_tenant_commands", "Commands that got their outcome, by tenant", ["tenant"], registry=REGISTRY
)
TENANT_SECONDS = Counter(
    "pointledger_tenant_seconds",
    "Time of workers for the tenant's commands: each batch's time, shared by their number",
    ["tenant"],
    registry=REGISTRY,
)
LOCK_WAITS = Histogram(
    "pointledger_user_lock_wait_seconds",
    "Waits for users that another worker has locked",
    registry=REGISTRY,
    buckets=_SECONDS,
)
HELD_USERS = Counter(
    "pointledger_locked_users", "Users whose rows another session has locked for long", registry=REGISTRY
)
TIMED_OUT = Counter(
    "pointledger_timed_out_alone",
    "Commands that timed out alone and are tried again, without a failed attempt",
    registry=REGISTRY,
)
LANE_CONTENTIONS = Counter(
    "pointledger_lane_contentions", "Doorbells for a lane that another worker drains", registry=REGISTRY
)
BATCH_RETRIES = Counter(
    "pointledger_batch_retries",
    "Batches retried after a transient error, such as a deadlock",
    ["error"],
    registry=REGISTRY,
)
LOST_DOORBELLS = Counter(
    "pointledger_lost_doorbells",
    "Lanes whose doorbell was lost, found by beat; 0 in a healthy system",
    registry=REGISTRY,
)
RELAYED = Counter("pointledger_events_relayed", "Events that the broker has confirmed", registry=REGISTRY)
RECEIVED = Counter(
    "pointledger_messages_received",
    "Messages from other services, by entry point and state",
    ["entry_point", "state"],
    registry=REGISTRY,
)
DROPPED = Counter(
    "pointledger_dead_letters_dropped",
    "Old dead letters dropped because their source has sent too many, by entry point",
    ["entry_point"],
    registry=REGISTRY,
)

_MOST_TENANTS = 100  # with labels of their own in one process: each label costs memory wherever it is kept
OTHER_TENANTS = "(others)"  # no tenant's id has parentheses
_tenants: set[str] = set()

_log = Log(__name__)


def count_tenants(commands: Counts[str], seconds: float) -> None:
    """Count a batch: its commands by tenant, and the time that it took."""
    share = seconds / max(commands.total(), 1)
    for tenant_id, count in commands.items():
        if len(_tenants) < _MOST_TENANTS:
            _tenants.add(tenant_id)
        label = tenant_id if tenant_id in _tenants else OTHER_TENANTS
        TENANT_COMMANDS.labels(label).inc(count)
        TENANT_SECONDS.labels(label).inc(count * share)


class CounterFlusher:
    """Adds this process' counts to the totals in Redis."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._key = _key(settings)
        self._sent: dict[str, float] = {}
        self._redis = Outage(_log, "count")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="counters", daemon=True)

    def start(self) -> None:
        """Start to flush once a second."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and flush the rest."""
        self._stopping.set()
        self._thread.join(2 * _EVERY_SECONDS)
        self.flush()

    def flush(self) -> None:
        """Send the increments since the last flush. If Redis is away, the next flush sends them."""
        counted = {_field(name, labels): value for name, labels, value in _samples(REGISTRY.collect())}
        grown = {
            field: value - self._sent.get(field, 0.0)
            for field, value in counted.items()
            if value > self._sent.get(field, 0.0)
        }
        if not grown:
            return
        pipeline = self._client.pipeline()
        for field, amount in grown.items():
            pipeline.hincrbyfloat(self._key, field, amount)
        try:
            pipeline.execute()
        except redis.RedisError as error:
            self._redis.noticed(error)
            return
        self._redis.over()
        self._sent = counted

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_SECONDS):
            self.flush()


@contextmanager
def flushing(client: redis.Redis, settings: Settings) -> Iterator[None]:
    """Flush the counters while the block runs, and at its end."""
    flusher = CounterFlusher(client, settings)
    flusher.start()
    try:
        yield
    finally:
        flusher.stop()


def totals(client: redis.Redis, settings: Settings) -> Iterator[Metric]:
    """Yield the totals of all processes. Raises what Redis raises."""
    stored: dict[Any, Any] = client.hgetall(_key(settings))
    for local in REGISTRY.collect():
        found = {_field(name, labels): 0.0 for name, labels, _ in _samples([local])}
        names = {name for name, _, _ in _samples([local])} | {f"{local.name}_total"}
        found |= {field: float(value) for field, value in stored.items() if json.loads(field)[0] in names}
        metric = Metric(local.name, local.documentation, local.type)
        for field in sorted(found, key=_sort_key):
            name, labels = json.loads(field)
            metric.add_sample(name, labels, found[field])
        yield metric


def tenant_total(client: redis.Redis, settings: Settings, tenant_id: str) -> float | None:
    """Return how many of the tenant's commands got their outcome since the counters began.

    None if no process counts it by itself: it has had no command, or too many tenants have. Raises what Redis
    raises.
    """
    field = _field(f"{TENANT_COMMANDS._name}_total", {"tenant": tenant_id})
    found: Any = client.hget(_key(settings), field)
    return None if found is None else float(found)


def _samples(metrics: Iterable[Metric]) -> Iterator[tuple[str, dict[str, str], float]]:
    for metric in metrics:
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                yield sample.name, sample.labels, sample.value


def _field(name: str, labels: dict[str, str]) -> str:
    return json.dumps([name, dict(sorted(labels.items()))])


def _sort_key(field: str) -> tuple[str, float, str]:
    """Sort buckets by their bounds, because Prometheus requires it."""
    name, labels = json.loads(field)
    return name, float(labels.get("le", 0)), field


def _key(settings: Settings) -> str:
    return f"{settings.redis_prefix}:counters"
