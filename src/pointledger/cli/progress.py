"""Counts the outcomes of many commands."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

import typer

from pointledger.cli.output import DONE, FAILED, PENDING
from pointledger.client.client import PointsClient

_CHUNK = 1000  # commands per query
_PAUSE_SECONDS = 0.1  # between queries without a new outcome, because they load the workers' database
STANDSTILL_SECONDS = 60.0  # a failing command is dead after 30 s, so nothing moves after that


class Tally:
    """Polls commands until they have outcomes, and counts the outcomes."""

    def __init__(self, client: PointsClient) -> None:
        self._client = client
        self._pending: deque[Sequence[str]] = deque()
        self.applied = 0
        self.refused: Counter[str] = Counter()
        self.dead = 0

    @property
    def done(self) -> int:
        """Return the number of commands with an outcome."""
        return self.applied + self.refused.total() + self.dead

    @property
    def pending(self) -> int:
        """Return the number of commands without an outcome."""
        return sum(len(chunk) for chunk in self._pending)

    def add(self, task_ids: Sequence[str]) -> None:
        """Add commands to poll."""
        for start in range(0, len(task_ids), _CHUNK):
            self._pending.append(task_ids[start : start + _CHUNK])

    def poll(self) -> bool:
        """Count the next chunk of pending commands. Return whether any of them has an outcome now."""
        if not self._pending:
            return False
        chunk = self._pending.popleft()
        counts = self._client.count_outcomes(chunk)
        self.applied += counts.applied
        self.refused.update(counts.refused)
        self.dead += counts.dead
        rest = counts.pending
        if len(rest) == len(chunk):  # query others next, because this chunk may be behind a failing command
            self._pending.append(chunk)
            return False
        if rest:
            self._pending.appendleft(rest)
        return True

    def wait(self, on_change: Callable[[], None]) -> None:
        """Poll until every command has an outcome, or no outcome has arrived for a minute."""
        moved_at = time.monotonic()
        while self._pending and time.monotonic() - moved_at < STANDSTILL_SECONDS:
            if self.poll():
                moved_at = time.monotonic()
                on_change()
            else:
                time.sleep(_PAUSE_SECONDS)

    def exit(self, *, waited: bool) -> typer.Exit:
        """Return the exit of the command, by the outcomes."""
        if waited and self.pending:
            return typer.Exit(PENDING)
        return typer.Exit(FAILED if self.dead or self.refused else DONE)
