"""Decides whether a time-out counts as a command's failure.

A slow disk slows down every command. So a time-out is a command's own only if it happens to the command
alone, again, while others are applied. Until then the command waits, each time twice as long.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 15.0


class _TimedOut(NamedTuple):
    """How many commands the process had applied at the last time-out, and the pause that followed."""

    applied: int
    pause_seconds: float


class Timeouts:
    """The commands that have timed out alone in this process."""

    def __init__(self) -> None:
        self._applied = 0
        self._timed_out: dict[UUID, _TimedOut] = {}

    def note_applied(self, command_ids: Sequence[UUID]) -> None:
        """Note that these commands got their outcome."""
        self._applied += len(command_ids)
        if self._timed_out:
            for command_id in command_ids:
                self._timed_out.pop(command_id, None)

    def pause_after(self, command_id: UUID) -> float | None:
        """Return for how many seconds the command waits after a time-out; None if that is a failure."""
        known = self._timed_out.get(command_id)
        if known and self._applied > known.applied:
            del self._timed_out[command_id]
            return None
        pause = min(known.pause_seconds * 2, _LONGEST_PAUSE_SECONDS) if known else _FIRST_PAUSE_SECONDS
        self._timed_out[command_id] = _TimedOut(self._applied, pause)
        return pause
