"""Two workers take turns on a user: the Redis locks, seen at work between two real processes."""

import threading
from collections import defaultdict

from pointledger import Earn, Transfer
from pointledger_demo.programme import TENANT
from pointledger_demo.system import System
from tests.ledger import Ledger
from tests.waiting import wait_until


def test_two_workers_take_turns_on_a_user_whom_both_need(ledger: Ledger, system: System) -> None:
    """Everybody gives to one user: every batch of every lane needs that user's lock. Over time several turns
    hold it, one after the other, and none leaves it behind."""
    users = [f"user-{number}" for number in range(40)]
    earned = ledger.client.enqueue_many(
        [Earn(tenant_id=TENANT, user_id=user, amount=1_000) for user in [*users, "hot"]]
    )
    wait_until(
        lambda: all(outcome.is_final for outcome in ledger.client.outcomes(earned)), "everybody has points"
    )
    key = f"{ledger.settings.redis_prefix}:user:{TENANT}/hot"
    holders: dict[str, int] = defaultdict(int)
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            if token := ledger.redis.get(key):
                holders[str(token)] += 1

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(20):
        ledger.client.enqueue_many(
            [Transfer(tenant_id=TENANT, user_id=user, to_user_id="hot", amount=1) for user in users]
        )
    wait_until(lambda: ledger.counts("pending") == [0], "nothing waits")
    stop.set()
    watcher.join(30)

    assert ledger.balance("hot", TENANT) == 1_000 + 20 * len(users)
    assert len(holders) > 1, "one turn after the other"
    assert ledger.redis.get(key) is None, "and none is left behind"
    assert ledger.counts("failures") == [0]
    states = ledger.rows("SELECT DISTINCT state FROM outcomes")
    assert states == [("applied",)]
