"""Several workers over one ledger, with Redis' locks or without."""

import random
import threading

from pointledger.engine.drain import Engine
from pointledger.engine.locks import Locks, User
from tests.ledger import Ledger

SECONDS = 60  # bound of any wait


class NobodyWaits(Locks):
    """Every lock is granted to everybody, as after a failover to an empty Redis."""

    def enter(self, lane: int, token: str) -> bool:
        return True

    def leave(self, lane: int, token: str) -> bool:
        return True

    def take_users(self, lane: int, users: list[User], token: str) -> set[User]:
        return set()


def drain_with(
    ledger: Ledger, workers: int, locks_class: type[Locks] = Locks, *, batch_size: int | None = None
) -> None:
    """So many workers until nothing waits; no two of them ever share a connection."""
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
