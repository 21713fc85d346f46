"""Wakes this worker without a Celery message while it has nothing to do.

For a single command, the message that is its doorbell costs a fifth of all CPU time. So an idle worker notes
itself in Redis, and the next ring wakes it: its script publishes the lane on the worker's channel. If none
is idle, a doorbell goes through Celery (`messaging/doorbell.py`).

A thread listens. It hands what it receives to Celery's loop, whose thread runs all tasks.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pointledger.logs import Log, Outage
from pointledger.messaging import redis_client
from pointledger.messaging.contract import idle_channel
from pointledger.messaging.notifications import lanes_in, listen_until
from pointledger.storage.errors import may_pass

from .celery import settings
from .runtime import runtime

_AGAIN_SECONDS = 1.0  # between two notes that this worker is idle, in case Redis has lost one

_log = Log("pointledger.workers")


class IdleWorker:
    """Lets rings wake this worker. Its methods belong to the thread that runs the tasks."""

    def __init__(self, takes_lanes: Callable[[], bool]) -> None:
        """`takes_lanes`: whether this worker receives doorbells, once it is connected to the broker."""
        self._takes_lanes = takes_lanes
        self._hub: Any = None  # while Celery's loop runs
        self._thread: threading.Thread | None = None
        self._is_listening = False
        self._is_idle = False  # a ring can wake it, or has
        self._redis = Outage(_log, "listen")
        self._database = Outage(_log, "drain", "database_is_away", "database_is_back")

    def open(self, hub: Any) -> None:
        """Begin: the loop runs."""
        self._hub = hub
        hub.call_repeatedly(_AGAIN_SECONDS, self.wait)
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="rings", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Let the next ring wake this worker. The next lanes that it takes end that, and so does `leave`."""
        if not (self._is_listening and self._hub is not None and self._takes_lanes()):
            return
        with self._survives():
            runtime().locks.become_idle()
            self._is_idle = True

    def leave(self) -> None:
        """Let no ring wake this worker. If one has, drain now: what comes next may take long."""
        with self._survives():
            lane = self._begin()
            if lane is not None:
                self._drain(lane)

    def close(self) -> None:
        """End: the loop does not run until `open`. A ring that has just come goes to another worker."""
        self._hub = None
        with self._survives():
            lane = self._begin()
            if lane is not None:
                runtime().doorbells.ring([lane])

    def _begin(self) -> int | None:
        """Let no ring wake this worker. Return a lane if one has, and is on its way."""
        was_idle, self._is_idle = self._is_idle, False
        return runtime().locks.become_busy() if was_idle else None

    def _on_ring(self, lane: int) -> None:
        self._is_idle = False
        with self._survives():
            self._drain(lane)
        self.wait()

    def _drain(self, lane: int) -> None:
        runtime().engine.drain(lane)
        self._database.over()

    @contextmanager
    def _survives(self) -> Iterator[None]:
        """Log an error: like one in a task, it must not end the worker. Beat rings again."""
        try:
            yield
        except Exception as error:
            self._database.noticed(error, bug=None if may_pass(error) else error)

    def _listen(self) -> None:
        client = redis_client.connect(settings)
        channel = idle_channel(settings.redis_prefix, runtime().locks.worker)
        never = threading.Event()  # the thread ends with the process
        listen_until(never, client, channel, self._note, self._redis, self._stop_listening)

    def _stop_listening(self) -> None:
        self._is_listening = False

    def _note(self, message: dict[str, Any]) -> None:
        """Hand to the loop what the thread has received."""
        hub = self._hub
        if message["type"] == "subscribe":  # also after a lost connection
            self._is_listening = True
            if hub is not None:
                hub.call_soon(self.wait)
        elif hub is not None:
            for lane in lanes_in(message, settings.lanes):
                hub.call_soon(self._on_ring, lane)
