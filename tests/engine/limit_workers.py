"""Workers for tests of shared limits, as processes of their own."""

import os
from typing import Any

from pointledger.engine import phases
from pointledger.settings import Settings
from tests.engine.many_workers import GrantAllLocks
from tests.ledger import Ledger

STATUS = 9  # the exit status of a worker that crashed


class _CrashingBooks:
    """The statements of a batch. The process ends when it has counted a grant and not committed it."""

    def __init__(self, books: Any) -> None:
        self._books = books

    def __getattr__(self, name: str) -> Any:
        return getattr(self._books, name)

    def count(self, *arguments: Any) -> None:
        assert self._books.count(*arguments), "the batch counts in a shared limit"
        os._exit(STATUS)


def work(settings: Settings, *, granted: bool, step: int = 1) -> None:
    """Apply all commands, lane by lane; a `step` of -1 takes the last lane first."""
    with Ledger(settings) as ledger:
        if granted:
            ledger.engine._locks = GrantAllLocks(ledger.redis, ledger.settings)
        while lanes := ledger.waiting_lanes():
            for lane in lanes[::step]:
                ledger.engine.drain(lane)


def crash(settings: Settings, *, granted: bool) -> None:
    """Crash between the counting of the first grant and its commit."""
    phases.books = _CrashingBooks(phases.books)  # type: ignore[assignment, attr-defined]
    work(settings, granted=granted)
