"""Holds the leaders of a client in the database, so that a test decides which commands come together."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import pytest
import sqlalchemy as sa

from pointledger import AnyCommand, PointsClient
from pointledger.client import gatherer
from pointledger.domain.commands.records import JournalRecord
from pointledger.storage.queue import journal
from tests.client.accepting import THREAD_SECONDS, earn
from tests.waiting import wait_until

MOST_THREADS = 40


class Held:
    """The leaders wait at their statements, until `go_on` or the end. `sizes`: the commands per statement."""

    def __init__(
        self, client: PointsClient, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.sizes: list[int] = []
        self.strike: Callable[[], object] = lambda: None  # runs before the statement of a group
        self.own = client._own
        self._client = client
        self._pool = pool
        self._may_go = threading.Semaphore(0)
        self._accept_each = journal.accept_each
        monkeypatch.setattr(journal, "accept_each", self._accepting)
        self.leaders = [self.submit(earn(user_id=f"leader-{seat}")) for seat in range(gatherer._LEADERS)]
        wait_until(lambda: len(self.sizes) == len(self.leaders), "every seat is taken")

    def _accepting(
        self, connection: sa.Connection, records: Sequence[JournalRecord], *more: int
    ) -> set[UUID]:
        self.sizes.append(len(records))
        if len(self.sizes) <= gatherer._LEADERS:
            assert self._may_go.acquire(timeout=THREAD_SECONDS)
        elif len(records) > 1:
            self.strike()
        return self._accept_each(connection, records, *more)

    def submit(self, command: AnyCommand) -> "Future[str]":
        return self._pool.submit(self._client.enqueue, command)

    def lay_down(self, *commands: AnyCommand) -> "list[Future[str]]":
        """Enqueue each command in a thread of its own. Return when all wait for a leader, in this order."""
        futures = []
        for command in commands:
            waiting = self.waiting
            futures.append(self.submit(command))
            wait_until(lambda before=waiting: self.waiting > before, "the caller waits")  # type: ignore[misc]
        return futures

    @property
    def waiting(self) -> int:
        return len(self.own.acceptance._gatherer._waiting)

    def go_on(self, leaders: int = 1) -> None:
        """Let one leader go, or more. The next one takes all that waits."""
        self._may_go.release(leaders)


@contextmanager
def held(client: PointsClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Hold the client's leaders. The end of the block lets them go, and waits for all calls."""
    monkeypatch.setattr(gatherer, "_QUEUE_SECONDS", THREAD_SECONDS)
    with ThreadPoolExecutor(MOST_THREADS) as pool:
        opened = Held(client, pool, monkeypatch)
        try:
            yield opened
        finally:
            opened.go_on(gatherer._LEADERS)


def results(futures: "list[Future[str]]") -> list[str | BaseException]:
    """Return the result or the error of each call."""
    return [future.exception(THREAD_SECONDS) or future.result() for future in futures]
