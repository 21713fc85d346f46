"""Notifies callers that wait for an outcome when a worker has processed its lane.

A batch has one notification, which names its lanes. All callers in a process share one subscription, read by
a thread that starts with the first of them. Notifications can be lost, so callers also poll.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import redis

from pointledger.logs import Log, Outage
from pointledger.settings import Settings

READ_SECONDS = 1.0  # of one read; the thread notices a close after it
PAUSE_SECONDS = 1.0  # after Redis failed

_log = Log(__name__)


def channel_of(settings: Settings) -> str:
    """Return the Redis channel of the notifications."""
    return f"{settings.redis_prefix}:applied"


def notification_of(lanes: Iterable[int]) -> str:
    """Return the notification that these lanes have been processed."""
    return ",".join(map(str, lanes))


def lanes_in(message: dict[str, Any], lanes: int) -> set[int]:
    """Return the lanes that a message of the subscription names, of so many.

    The message that confirms the subscription counts for all, because earlier notifications were missed.
    """
    if message["type"] != "message":
        return set(range(lanes))
    named = (int(lane) for lane in message["data"].split(",") if lane.isdecimal())
    return {lane for lane in named if lane < lanes}


def listen_until(
    closed: threading.Event,
    client: redis.Redis,
    channel: str,
    on_message: Callable[[dict[str, Any]], None],
    outage: Outage,
    on_error: Callable[[], None] = lambda: None,
) -> None:
    """Read the channel in this thread until `closed`, and about a second more. Errors are logged, not raised.

    `on_message` also gets the messages that confirm the subscription, one after each lost connection.
    """

    def handle(message: dict[str, Any]) -> None:
        outage.over()
        on_message(message)

    while not closed.is_set():
        try:
            _read(closed, client, channel, handle)
        except Exception as error:  # the only reader must not end; `close` can close its connection
            on_error()
            if not closed.is_set():
                outage.noticed(error)
            closed.wait(PAUSE_SECONDS)


def _read(
    closed: threading.Event, client: redis.Redis, channel: str, on_message: Callable[[dict[str, Any]], None]
) -> None:
    with client.pubsub() as subscription:  # type: ignore[no-untyped-call]  # redis-py
        subscription.subscribe(channel)
        while not closed.is_set():
            if message := subscription.get_message(timeout=READ_SECONDS):
                on_message(message)


class LaneNotifications:
    """Notifications about every lane, for the threads of one process."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._channel = channel_of(settings)
        self._sequence = [0] * settings.lanes
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._redis = Outage(_log, "listen")

    def listen(self, on_processed: Callable[[set[int]], None]) -> None:
        """Start the thread, unless it runs: it calls `on_processed` with the lanes of its notifications."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._listen, args=(on_processed,), name="notifications", daemon=True
                )
                self._thread.start()

    def sequence(self) -> list[int]:
        """Return the number of notifications of each lane: 0 before the thread has received one."""
        return self._sequence.copy()

    def stop(self) -> None:
        """End the subscription within about a second."""
        self._closed.set()

    def _listen(self, on_processed: Callable[[set[int]], None]) -> None:
        def note(message: dict[str, Any]) -> None:
            self._note(lanes_in(message, len(self._sequence)), on_processed)

        listen_until(self._closed, self._client, self._channel, note, self._redis)

    def _note(self, lanes: set[int], on_processed: Callable[[set[int]], None]) -> None:
        for lane in lanes:
            self._sequence[lane] += 1  # first, so that no caller misses it between both
        on_processed(lanes)
