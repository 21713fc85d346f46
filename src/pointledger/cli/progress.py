"""Outcomes of many commands, counted as they come."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

import typer

from pointledger.cli.output import DONE, FAILED, PENDING
from pointledger.client.client import PointsClient

_AT_ONCE = 1000  # outcomes per look
_PAUSE_SECONDS = 0.1  # when a look brought nothing: looking costs the workers their database
STANDSTILL_SECONDS = 60.0  # a failing command waits 30 s in all before it is dead; then nothing moves


class Tally:
    """Knows the commands it was given that have no outcome yet, and counts the outcomes of the others."""

    def __init__(self, client: PointsClient) -> None:
        self._client = client
        self._waiting: deque[Sequence[str]] = deque()
        self.applied = 0
        self.refused: Counter[str] = Counter()
        self.dead = 0

    @property
    def done(self) -> int:
        """Commands that have their outcome."""
        return self.applied + self.refused.total() + self.dead

    @property
    def pending(self) -> int:
        """Commands that have none yet."""
        return sum(len(part) for part in self._waiting)

    def add(self, task_ids: Sequence[str]) -> None:
        """Counts these, too."""
        for start in range(0, len(task_ids), _AT_ONCE):
            self._waiting.append(task_ids[start : start + _AT_ONCE])

    def look(self) -> bool:
        """Looks at those that have waited longest; whether any of them has its outcome now."""
        if not self._waiting:
            return False
        part = self._waiting.popleft()
        outcomes = self._client.outcomes(part)
        for outcome in outcomes:
            if outcome.state == "applied":
                self.applied += 1
            elif outcome.state == "refused":
                self.refused[outcome.reason or ""] += 1
            elif outcome.state == "dead":
                self.dead += 1
        rest = [task_id for task_id, outcome in zip(part, outcomes, strict=True) if not outcome.is_final]
        if len(rest) == len(part):  # the next look is at others: this part may wait for a failing command
            self._waiting.append(part)
            return False
        if rest:
            self._waiting.appendleft(rest)
        return True

    def wait(self, on_change: Callable[[], None]) -> None:
        """Until every command has its outcome, or nothing has moved for a minute."""
        moved_at = time.monotonic()
        while self._waiting and time.monotonic() - moved_at < STANDSTILL_SECONDS:
            if self.look():
                moved_at = time.monotonic()
                on_change()
            else:
                time.sleep(_PAUSE_SECONDS)

    def exit(self, *, waited: bool) -> typer.Exit:
        """How a command that handed them over ends."""
        if waited and self.pending:
            return typer.Exit(PENDING)
        return typer.Exit(FAILED if self.dead or self.refused else DONE)
