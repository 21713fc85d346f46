"""Runs several workers on one ledger, with or without Redis locks."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pointledger.engine.drain import Engine
from pointledger.engine.locks import Locks, User
from tests.ledger import Ledger

SECONDS = 60  # the bound of each wait


class GrantAllLocks(Locks):
    """Grants every lock to every worker, as after a failover to an empty Redis."""

    def acquire_lane(self, lane: int, token: str) -> bool:
        return True

    def release_lane_if_idle(self, lane: int, token: str) -> bool:
        return True

    def acquire_users(self, lane: int, users: list[User], token: str) -> set[User]:
        return set()


def drain_with(
    ledger: Ledger, workers: int, locks_class: type[Locks] = Locks, *, batch_size: int | None = None
) -> None:
    """Run so many workers until no command is pending; each has its own connections."""
    settings = ledger.settings
    if batch_size is not None:
        settings = settings.model_copy(update={"batch_size": batch_size})
    failures: list[BaseException] = []

    def work() -> None:
        engine = Engine(ledger.database, locks_class(ledger.redis, settings), ledger.doorbells, settings)
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
