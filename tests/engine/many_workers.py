"""Several workers over one ledger, with Redis' locks or without."""

import random
import threading

from pointledger.engine import Engine
from pointledger.locks import Locks, User
from pointledger.storage.database import engine_for
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


def drain_with(ledger: Ledger, workers: int, locks_class: type[Locks]) -> None:
    """So many workers, each with connections of its own, until nothing waits."""
    failures: list[BaseException] = []

    def work() -> None:
        database = engine_for(ledger.settings.database)
        engine = Engine(
            database, locks_class(ledger.redis, ledger.settings), ledger.doorbells, ledger.settings
        )
        try:
            while lanes := ledger.waiting_lanes():
                random.shuffle(lanes)
                for lane in lanes:
                    engine.drain(lane)
        except BaseException as error:
            failures.append(error)
        finally:
            database.dispose()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads), "every worker ends"
    assert failures == []
