"""Redis locks between two real worker processes."""

import threading
from collections import defaultdict

from pointledger import Earn, Transfer
from pointledger.engine.locks import Locks
from pointledger.messaging.contract import LANES_QUEUE, joined
from pointledger.settings import Settings
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import TENANT
from tests.ledger import Ledger
from tests.waiting import wait_until


def test_two_workers_lock_a_shared_user_one_after_the_other(ledger: Ledger, system: ProcessGroup) -> None:
    """All users give to one user, so every batch of every lane needs that user's lock. Several time slices
    hold it one after the other, and each releases it."""
    users = [f"user-{number}" for number in range(40)]
    earned = ledger.client.enqueue_many(
        [Earn(tenant_id=TENANT, user_id=user, amount=1_000) for user in [*users, "hot"]]
    )
    wait_until(
        lambda: all(outcome.is_final for outcome in ledger.client.outcomes(earned)), "all users have points"
    )
    key = f"{ledger.settings.redis_prefix}:user:{joined(TENANT, 'hot')}"
    holders: dict[str, int] = defaultdict(int)
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            if token := ledger.redis.get(key):
                holders[str(token)] += 1

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        ledger.client.enqueue_many(
            [Transfer(tenant_id=TENANT, user_id=user, to_user_id="hot", amount=1) for user in users]
        )
    wait_until(lambda: ledger.counts("pending") == [0], "no command is pending")
    stop.set()
    watcher.join(30)

    assert ledger.balance("hot", TENANT) == 1_000 + 20 * len(users)
    assert len(holders) > 1, "several time slices held the lock"
    assert ledger.redis.get(key) is None, "the lock is released"
    assert ledger.counts("failures") == [0]
    states = ledger.rows("SELECT DISTINCT state FROM outcomes")
    assert states == [("applied",)]


def test_a_worker_that_acquires_a_lane_lets_its_doorbell_ring_again(settings: Settings) -> None:
    with Ledger(settings) as own:
        own.doorbells.ring([7])
        own.doorbells.ring([7])
        queue = f"{settings.redis_prefix}:{LANES_QUEUE}"
        assert own.redis.llen(queue) == 1, "one doorbell is on its way"

        Locks(own.redis, settings).acquire_lane(7, "mine")

        own.doorbells.ring([7])
        assert own.redis.llen(queue) == 2
