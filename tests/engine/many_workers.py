"""Runs several workers on one ledger. The tests' fixture `granted` decides whether Redis locks part them."""

import random
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from pointledger.engine.drain import Engine
from pointledger.engine.locks import Locks, Taken, User
from tests.ledger import Ledger

SECONDS = 60  # the bound of each wait


class GrantAllLocks(Locks):
    """Grants every lock to every worker, as after a failover to an empty Redis."""

    def take_lanes(self, lane: int, token: str) -> Taken:
        return Taken([lane])

    def next_lanes(self, token: str, new_token: str, kept: int | None, backlogs: Collection[int]) -> Taken:
        return Taken([] if kept is None else [kept], kept)

    def acquire_users(self, lanes: Collection[int], users: list[User], token: str) -> set[User]:
        return set()


def drain_with(ledger: Ledger, workers: int, *, batch_size: int | None = None) -> None:
    """Run so many workers until no command is pending; each has its own connections."""
    settings = ledger.settings
    if batch_size is not None:
        settings = settings.model_copy(update={"batch_size": batch_size})
    failures: list[BaseException] = []

    def work() -> None:
        engine = Engine(ledger.database, Locks(ledger.redis, settings), ledger.doorbells, settings)
        try:
            while lanes := ledger.waiting_lanes():
                random.shuffle(lanes)
                for lane in lanes:
                    engine.drain(lane)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads), "every worker ends"
    assert failures == []


def at_once(*calls: Callable[[], object]) -> None:
    """Run each call in its own thread, all at the same moment, and raise the first error."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        barrier.wait(SECONDS)
        call()

    with ThreadPoolExecutor(len(calls)) as threads:
        list(threads.map(run, calls))
