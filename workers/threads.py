"""What a worker does beside its tasks: it takes commands by name from their queue, and sends the callbacks of
those whose outcome is there. Each in a thread of its own, from the worker's start to its end."""

import threading
from collections.abc import Callable
from typing import Any

from celery import bootsteps

from pointledger.integrations.celery_callbacks import CallbackSender, Destination, Results, Tasks
from pointledger.integrations.celery_commands import ByName, open_commands
from workers.celery import settings
from workers.machine import machine

_LOOK_SECONDS = 1.0  # at what is due, should nobody in this process have said so
_STOP_SECONDS = 10.0  # to finish what is at hand


class Threads(bootsteps.StartStopStep):
    """A step of Celery's worker. Nothing that arrives in these threads ends the worker, nor the other way
    round: what they were at comes again."""

    def __init__(self, parent: Any, **more: Any) -> None:
        super().__init__(parent, **more)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, parent: Any) -> None:
        """Before the worker takes its first message."""
        machine()  # made here, once, and not by two threads at once
        self._begin("commands", self._take_commands)
        self._begin("callbacks", lambda: self._send(Tasks(settings)))
        if settings.result_url:
            self._begin("results", lambda: self._send(Results(settings)))

    def stop(self, parent: Any) -> None:
        """What is at hand is finished."""
        self._stop.set()
        machine().callbacks_due.set()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    terminate = stop

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _take_commands(self) -> None:
        made, mailbox = machine(), open_commands(settings)
        taker = ByName(made.database, made.door, settings, made.callbacks_due.set)
        try:
            taker.run(mailbox, self._stop.is_set, self._stop.wait)
        finally:
            mailbox.close()

    def _send(self, destination: Destination) -> None:
        made = machine()
        due = made.callbacks_due.event()

        def wait() -> None:
            due.wait(_LOOK_SECONDS)
            due.clear()

        sender = CallbackSender(made.database, settings, destination)
        try:
            sender.run(self._stop.is_set, wait, self._stop.wait)
        finally:
            sender.close()
