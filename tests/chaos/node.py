"""A process of the system, under the pid that it has now."""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field

from tests.chaos.proxy import Link
from tests.processes import state_of


@dataclass
class Node:
    """A worker, beat, a client, a relay, the ingest or the API.

    `is_wanted` is False while a fault keeps it dead.
    """

    name: str
    command: list[str]
    database: Link
    redis: Link
    events: Link
    process: subprocess.Popen[bytes] | None = None
    lives: int = 0
    is_wanted: bool = True
    is_armed: bool = False  # failpoints are armed in this life
    environment: dict[str, str] = field(default_factory=dict)  # of its next life only

    @property
    def pid(self) -> int:
        assert self.process is not None, "it was started"
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def is_stopped(self) -> bool:
        return self.is_alive and state_of(self.pid) == "T"

    def send(self, number: signal.Signals) -> bool:
        """Signal it, and return whether it was alive."""
        if not self.is_alive:
            return False
        os.kill(self.pid, number)
        return True

    def stop(self) -> bool:
        return self.send(signal.SIGSTOP)

    def resume(self) -> bool:
        return self.send(signal.SIGCONT)

    def end(self, number: signal.Signals, seconds: float) -> None:
        """End it with this signal, or with SIGKILL after so many seconds."""
        if self.process is None:
            return
        if self.process.stdin:
            with suppress(OSError):
                self.process.stdin.close()
        self.send(signal.SIGCONT)
        self.send(number)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
