"""Announcements: who waits for an outcome hears when its lane was worked on.

One subscription serves everybody who waits in a process; a thread, begun by the first of them, reads it.
Announcements may be lost: whoever waits looks by itself now and then.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from pointledger.logs import Log, Outage
from pointledger.settings import Settings

APPLIED = "applied"

_LOOK_SECONDS = 1.0  # as long as closing may take to be noticed
_PAUSE_SECONDS = 1.0  # after Redis failed

_log = Log(__name__)


def channel_of(settings: Settings, lane: int) -> str:
    """The channel on which a lane's batches are announced."""
    return f"{settings.redis_prefix}:{APPLIED}:{lane}"


class Announcements:
    """What is announced of every lane, for the threads of one process."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._channels = [channel_of(settings, lane) for lane in range(settings.lanes)]
        self._waiting: dict[int | None, set[threading.Event]] = defaultdict(set)
        self._heard = [0] * settings.lanes
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._redis = Outage(_log, "listen")

    @contextmanager
    def of(self, lane: int | None, heard: int = 0) -> Iterator[threading.Event]:
        """Is set when the lane was worked on, until whoever waits clears it; at once, unless it is known that
        nothing was announced since it had been `heard` so often. A lane that is not known yet cannot be heard
        of, only waited for."""
        news = threading.Event()
        with self._lock:
            self._waiting[lane].add(news)
            if lane is None or not heard or self._heard[lane] != heard:
                news.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="announcements", daemon=True)
                self._thread.start()
        try:
            yield news
        finally:
            with self._lock:
                self._waiting[lane].discard(news)

    def heard(self) -> list[int]:
        """How often something was heard of each lane; 0 of those that nobody listens to yet."""
        return self._heard.copy()

    def stop(self) -> None:
        """Ends the subscription, within a second or so."""
        self._closed.set()

    def close(self) -> None:
        """Ends the subscription, too, and wakes everybody who waits."""
        self.stop()
        with self._lock:
            for waiting in self._waiting.values():
                for news in waiting:
                    news.set()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._subscribed()
            except Exception as error:  # nobody else listens; and a connection may be closed under our hands
                if not self._closed.is_set():
                    self._redis.noticed(error)
                self._closed.wait(_PAUSE_SECONDS)

    def _subscribed(self) -> None:
        with self._client.pubsub() as subscription:  # type: ignore[no-untyped-call]  # redis-py
            subscription.subscribe(*self._channels)
            while not self._closed.is_set():
                message = subscription.get_message(timeout=_LOOK_SECONDS)
                if message:
                    self._redis.over()
                    self._tell(int(message["channel"].rpartition(":")[2]))

    def _tell(self, lane: int) -> None:
        """Also that it is heard from now on: what came before was not."""
        with self._lock:
            self._heard[lane] += 1
            for news in self._waiting[lane]:
                news.set()
