"""Runs a worker's threads: one receives commands by name, the others send callbacks and results."""

import threading
from collections.abc import Callable
from typing import Any

from celery import bootsteps

from pointledger.integrations.celery_callbacks import (
    CallbackSender,
    Destination,
    ResultDestination,
    TaskDestination,
)
from pointledger.integrations.celery_commands import CommandsByName, open_commands

from .celery import settings
from .runtime import runtime

_POLL_SECONDS = 1.0  # for callbacks that became due in another process
_STOP_SECONDS = 10.0  # to finish the current message or callback


class Threads(bootsteps.StartStopStep):
    """A step of Celery's worker that starts and stops the threads.

    An error in a thread does not stop the worker. Work that is interrupted is delivered again.
    """

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, parent: Any) -> None:
        """Start the threads, before the worker receives its first message."""
        runtime()  # created once here, before several threads use it
        self._start_thread("commands", self._receive_commands)
        self._start_thread("callbacks", lambda: self._send(TaskDestination(settings)))
        if settings.result_url:
            self._start_thread("results", lambda: self._send(ResultDestination(settings)))

    def stop(self, parent: Any) -> None:
        """Stop the threads, which finish their current work."""
        self._stop.set()
        runtime().callbacks_due.set()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    terminate = stop

    def _start_thread(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _receive_commands(self) -> None:
        own, ingest_queue = runtime(), open_commands(settings)
        receiver = CommandsByName(own.database, own.acceptance, settings, own.callbacks_due.set)
        try:
            receiver.run(ingest_queue, self._stop.is_set, self._stop.wait)
        finally:
            ingest_queue.close()

    def _send(self, destination: Destination) -> None:
        own = runtime()
        due = own.callbacks_due.event()

        def wait() -> None:
            due.wait(_POLL_SECONDS)
            due.clear()

        sender = CallbackSender(own.database, settings, destination)
        try:
            sender.run(self._stop.is_set, wait, self._stop.wait)
        finally:
            sender.close()
