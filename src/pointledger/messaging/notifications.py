"""Notifies callers that wait for an outcome when a worker has processed its lane.

All callers in a process share one subscription, read by a thread that starts with the first of them.
Notifications can be lost, so callers also poll.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from pointledger.logs import Log, Outage
from pointledger.settings import Settings

APPLIED = "applied"

_READ_SECONDS = 1.0  # of one read; the thread notices a close after it
_PAUSE_SECONDS = 1.0  # after Redis failed

_log = Log(__name__)


def channel_of(settings: Settings, lane: int) -> str:
    """Return the Redis channel of the lane's notifications."""
    return f"{settings.redis_prefix}:{APPLIED}:{lane}"


class LaneNotifications:
    """Notifications about every lane, for the threads of one process."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._channels = [channel_of(settings, lane) for lane in range(settings.lanes)]
        self._waiting: dict[int | None, set[threading.Event]] = defaultdict(set)
        self._sequence = [0] * settings.lanes
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._redis = Outage(_log, "listen")

    @contextmanager
    def of(self, lane: int | None, sequence: int = 0) -> Iterator[threading.Event]:
        """Yield an event that is set when a worker has processed the lane; the caller clears it.

        It is set at once, unless the lane's number of notifications is still `sequence`. If the lane is not
        known yet, no notification arrives, and the caller only polls.
        """
        notified = threading.Event()
        with self._lock:
            self._waiting[lane].add(notified)
            if lane is None or not sequence or self._sequence[lane] != sequence:
                notified.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="notifications", daemon=True)
                self._thread.start()
        try:
            yield notified
        finally:
            with self._lock:
                self._waiting[lane].discard(notified)

    def sequence(self) -> list[int]:
        """Return the number of notifications of each lane: 0 before the thread has received one."""
        return self._sequence.copy()

    def stop(self) -> None:
        """End the subscription within about a second."""
        self._closed.set()

    def close(self) -> None:
        """End the subscription and wake all callers."""
        self.stop()
        with self._lock:
            for waiting in self._waiting.values():
                for notified in waiting:
                    notified.set()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._read()
            except Exception as error:  # the only reader must not end; `close` can close its connection
                if not self._closed.is_set():
                    self._redis.noticed(error)
                self._closed.wait(_PAUSE_SECONDS)

    def _read(self) -> None:
        with self._client.pubsub() as subscription:  # type: ignore[no-untyped-call]  # redis-py
            subscription.subscribe(*self._channels)
            while not self._closed.is_set():
                message = subscription.get_message(timeout=_READ_SECONDS)
                if message:
                    self._redis.over()
                    self._notify(int(message["channel"].rpartition(":")[2]))

    def _notify(self, lane: int) -> None:
        """Wake the lane's callers. Redis confirms each subscription with a message, which also counts."""
        with self._lock:
            self._sequence[lane] += 1
            for notified in self._waiting[lane]:
                notified.set()
