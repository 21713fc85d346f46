"""The last minutes of a tenant's work, for a page that shows them live: rate, depth and lag.

All who watch a tenant in one process share its readings, so that many watchers cost as much as one. Readings
are kept in memory while anyone asks for them, and none is made when no one does.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import redis
import sqlalchemy as sa

from pointledger.observability.counters import tenant_total
from pointledger.settings import Settings
from pointledger.storage.database import read_only
from pointledger.storage.queries import queue
from pointledger.storage.queries.current import moment_of

EVERY_SECONDS = 2.0  # between two readings: each costs some index probes for each lane
_KEPT_SECONDS = 900.0  # a quarter of an hour
_MOST_TENANTS = 200  # that are watched at once; each takes some 50 KB


@dataclass(frozen=True, slots=True)
class Beat:
    """A reading. Counts of what waits end at 10,000 for each lane."""

    at: datetime
    """The moment, by the database's clock."""
    per_second: float | None
    """Commands that got their outcome per second since the reading before, refused ones included. None: it is
    the first one, Redis is away, or no process counts the tenant by itself."""
    waiting: int
    """Pending commands."""
    oldest_seconds: float
    """The lag: the age of the first pending command. 0 if none waits."""


@dataclass(slots=True)
class _Watched:
    """A tenant's readings, and what the last one counted."""

    beats: deque[Beat] = field(default_factory=deque)
    read_at: float | None = None  # by the monotonic clock
    total: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Pulse:
    """The readings of one process. Threads may share it."""

    def __init__(
        self,
        database: sa.Engine,
        client: redis.Redis,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._client = client
        self._settings = settings
        self._clock = clock
        self._watched: OrderedDict[str, _Watched] = OrderedDict()
        self._lock = threading.Lock()

    def beats(self, tenant_id: str) -> list[Beat]:
        """Return the readings of the last quarter of an hour, oldest first, with a new one if the last is two
        seconds old. Raises QueryTimeout, DatabaseAway and DatabaseFailed."""
        with self._lock:
            watched = self._watched.setdefault(tenant_id, _Watched())
            self._watched.move_to_end(tenant_id)
            if len(self._watched) > _MOST_TENANTS:
                self._watched.popitem(last=False)
        with watched.lock:
            now = self._clock()
            if watched.read_at is None or now - watched.read_at >= EVERY_SECONDS:
                self._read(tenant_id, watched, now)
            return list(watched.beats)

    def _read(self, tenant_id: str, watched: _Watched, now: float) -> None:
        with read_only(self._database) as connection:
            at = moment_of(connection)
            (line,) = queue.tenants(connection, [tenant_id])
        total = self._total(tenant_id)
        rate = None
        if watched.read_at is not None and None not in (total, watched.total):
            # Counters restart at 0 if Redis loses its data.
            rate = max((total or 0.0) - (watched.total or 0.0), 0.0) / (now - watched.read_at)
        watched.beats.append(Beat(at, rate, line.commands, line.oldest_seconds or 0.0))
        watched.read_at, watched.total = now, total
        while (at - watched.beats[0].at).total_seconds() > _KEPT_SECONDS:
            watched.beats.popleft()

    def _total(self, tenant_id: str) -> float | None:
        try:
            return tenant_total(self._client, self._settings, tenant_id)
        except redis.RedisError:
            return None
