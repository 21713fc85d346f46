"""What processes count. Each counts in its own memory; a thread adds what has grown to a hash in Redis once
a second, so that counting costs a batch some microseconds and no round trip. Metrics are the sums.

Counters that are lost with Redis begin anew, which Prometheus knows how to read. What the database knows is
not counted here: see `metrics.py`.
"""

import json
import threading
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

REGISTRY = CollectorRegistry()
OUTCOMES = Counter(
    "pointledger_outcomes", "Commands that got their outcome", ["state", "reason"], registry=REGISTRY
)
FAILURES = Counter("pointledger_failed_attempts", "Attempts that a command was charged", registry=REGISTRY)
DEATHS = Counter("pointledger_commands_died", "Commands given up by the machine", registry=REGISTRY)
BATCH_SIZE = Histogram(
    "pointledger_batch_commands", "Commands per transaction", registry=REGISTRY, buckets=_SIZES
)
BATCH_SECONDS = Histogram(
    "pointledger_batch_seconds", "From the try to the commit", registry=REGISTRY, buckets=_SECONDS
)
LOCK_WAITS = Histogram(
    "pointledger_user_lock_wait_seconds",
    "Waits for users busy elsewhere",
    registry=REGISTRY,
    buckets=_SECONDS,
)
LANES_TAKEN = Counter(
    "pointledger_lanes_taken", "Doorbells for a lane that another worker was at", registry=REGISTRY
)
TRIED_AGAIN = Counter(
    "pointledger_batches_tried_again",
    "Deadlocks, lost connections and the like",
    ["error"],
    registry=REGISTRY,
)
RESCUED = Counter(
    "pointledger_lanes_rescued",
    "Lanes whose doorbell was lost, found by beat: 0 when healthy",
    registry=REGISTRY,
)
RELAYED = Counter("pointledger_events_relayed", "Events that the broker has", registry=REGISTRY)
RECEIVED = Counter(
    "pointledger_messages_received",
    "Messages of other services, by the door they came to and what became of them",
    ["door", "state"],
    registry=REGISTRY,
)

_log = Log(__name__)


class Sender:
    """Adds what this process has counted to the sums in Redis."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._key = _key(settings)
        self._sent: dict[str, float] = {}
        self._redis = Outage(_log, "count")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        """Sends once a second from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Sends what is left, and ends."""
        self._stopping.set()
        self._thread.join(2 * _EVERY_SECONDS)
        self.send()

    def send(self) -> None:
        """Sends what has grown; without Redis it waits for the next time."""
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
            self.send()


@contextmanager
def sending(client: redis.Redis, settings: Settings) -> Iterator[None]:
    """Sends what the block counts."""
    sender = Sender(client, settings)
    sender.start()
    try:
        yield
    finally:
        sender.stop()


def sums(client: redis.Redis, settings: Settings) -> Iterator[Metric]:
    """What all processes have counted together. Raises what Redis raises."""
    stored: dict[Any, Any] = client.hgetall(_key(settings))
    for mine in REGISTRY.collect():
        found = {_field(name, labels): 0.0 for name, labels, _ in _samples([mine])}
        names = {name for name, _, _ in _samples([mine])} | {f"{mine.name}_total"}
        found |= {field: float(value) for field, value in stored.items() if json.loads(field)[0] in names}
        metric = Metric(mine.name, mine.documentation, mine.type)
        for field in sorted(found, key=_place):
            name, labels = json.loads(field)
            metric.add_sample(name, labels, found[field])
        yield metric


def _samples(metrics: Iterable[Metric]) -> Iterator[tuple[str, dict[str, str], float]]:
    for metric in metrics:
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                yield sample.name, sample.labels, sample.value


def _field(name: str, labels: dict[str, str]) -> str:
    return json.dumps([name, dict(sorted(labels.items()))])


def _place(field: str) -> tuple[str, float, str]:
    """Buckets by their bounds, as Prometheus wants them."""
    name, labels = json.loads(field)
    return name, float(labels.get("le", 0)), field


def _key(settings: Settings) -> str:
    return f"{settings.redis_prefix}:counters"
